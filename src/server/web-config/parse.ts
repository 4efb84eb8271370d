/**
 * From the text of a web configuration file to a checked, frozen value, or to a list of everything that is
 * wrong with it: line, key, what was found, the mend. No message ever quotes a secret.
 */
import { resolve } from 'node:path';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { Secret } from '../../lib/secret.ts';
import { clientAuthType, contradictions, type Path, type Problem } from './contradictions.ts';
import {
  type ClientAuthType,
  knownKeys,
  type TlsInput,
  type WebConfigInput,
  webConfigSchema,
} from './schema.ts';
import type { CipherSuite, Curve, TlsVersion } from './tls-names.ts';

export interface WebConfig {
  readonly tls: TlsConfig | undefined;
  /** Offered over TLS only, to clients that ask for it. */
  readonly http2: boolean;
  /** Set on every answer; an empty value takes away what would else be sent. */
  readonly headers: ReadonlyMap<string, string>;
  /** User -> bcrypt hash. Empty: everybody is let in. */
  readonly users: ReadonlyMap<string, Secret>;
  readonly rateLimit: { readonly intervalMs: number; readonly burst: number } | undefined;
}

export interface TlsConfig {
  readonly cert: PemSource;
  readonly key: PemSource;
  readonly clientCa: PemSource | undefined;
  readonly clientAuthType: ClientAuthType;
  /** Empty: any name will do. */
  readonly clientAllowedSans: readonly string[];
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Empty: the default list. */
  readonly cipherSuites: readonly CipherSuite[];
  readonly preferServerCipherSuites: boolean;
  /** Empty: OpenSSL's own. */
  readonly curves: readonly Curve[];
}

/** `setting` is the key in the file, for messages. */
export type PemSource =
  | { readonly kind: 'file'; readonly setting: string; readonly path: string }
  | { readonly kind: 'inline'; readonly setting: string; readonly pem: Secret };

export type ParsedWebConfig =
  | { readonly ok: true; readonly config: WebConfig }
  /** One sentence each, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** `directory`: what the paths in the file are relative to, which is the file's own directory. */
export function parseWebConfig(text: string, directory: string): ParsedWebConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    // The parser's own words quote the file, and with it perhaps a password: only its code is passed on.
    return {
      ok: false,
      problems: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        const what = error.code.toLowerCase().replaceAll('_', ' ');
        return `line ${line}, column ${col}: this is not valid YAML (${what})`;
      }),
    };
  }
  const report = (problems: readonly Problem[]): ParsedWebConfig => ({
    ok: false,
    problems: problems.map(({ path, message }) => {
      const line = lineOf(document, lines, path);
      const place = [line === undefined ? undefined : `line ${line}`, path.join('.') || undefined];
      return `${place.filter(Boolean).join(', ') || 'the file'}: ${message}`;
    }),
  });

  const input = plain(document);
  if (input === undefined)
    return report([{ path: [], message: 'has too many aliases: write the values out' }]);
  const parsed = webConfigSchema.safeParse(input);
  if (!parsed.success) return report(parsed.error.issues.flatMap((issue) => describe(issue, input)));
  const problems = contradictions(parsed.data);
  if (problems.length > 0) return report(problems);
  return { ok: true, config: freeze(parsed.data, directory) };
}

function plain(document: Document): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    return undefined; // The library's guard against aliases of aliases.
  }
}

type Issue = NonNullable<ReturnType<typeof webConfigSchema.safeParse>['error']>['issues'][number];

function describe(issue: Issue, input: unknown): Problem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path.join('.')).join(', ');
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `this key is not known; known here: ${known}`,
    }));
  }
  const found = quote(path, input);
  if (issue.code === 'invalid_type') {
    const expected = { object: 'a mapping of keys', record: 'a mapping of keys', array: 'a list' }[
      issue.expected as string
    ];
    return [
      {
        path,
        message: `must be ${expected ?? `a ${issue.expected}`}${found}${path.length > 0 ? '; else remove the key' : ''}`,
      },
    ];
  }
  if (issue.code === 'invalid_value') {
    return [{ path, message: `must be one of ${issue.values.filter(Boolean).join(', ')}${found}` }];
  }
  return [{ path, message: `${issue.message}${issue.message.startsWith('must ') ? found : ''}` }];
}

/** `, not "TLS14"`; of what may be a secret, only its kind. */
function quote(path: Path, input: unknown): string {
  let value: unknown = input;
  for (const part of path) value = (value as Record<string | number, unknown> | null)?.[part];
  if (value === null || value === undefined) return ', but it is empty';
  const secret = path[0] === 'basic_auth_users' || path[1] === 'key' || path.length === 0;
  if (secret || typeof value === 'object') return '';
  const text = JSON.stringify(value);
  return `, not ${text.length > 60 ? `${text.slice(0, 60)}...` : text}`;
}

function freeze(input: WebConfigInput, directory: string): WebConfig {
  const http = input.http_server_config;
  const limit = input.rate_limit;
  const users = Object.entries(input.basic_auth_users ?? {});
  return Object.freeze({
    tls: input.tls_server_config && freezeTls(input.tls_server_config, directory),
    http2: http?.http2 ?? true,
    headers: new Map(Object.entries(http?.headers ?? {})),
    users: new Map(users.map(([name, hash]) => [name, new Secret(hash)])),
    rateLimit:
      limit !== undefined && limit.interval > 0
        ? { intervalMs: limit.interval, burst: limit.burst }
        : undefined,
  });
}

function freezeTls(tls: TlsInput, directory: string): TlsConfig {
  const source = (name: 'cert' | 'key' | 'client_ca'): PemSource | undefined => {
    const inline = tls[name];
    if (inline !== undefined) return { kind: 'inline', setting: name, pem: new Secret(inline) };
    const file = tls[`${name}_file`];
    return file === undefined
      ? undefined
      : { kind: 'file', setting: `${name}_file`, path: resolve(directory, file) };
  };
  const cert = source('cert');
  const key = source('key');
  if (cert === undefined || key === undefined)
    throw new Error('contradictions() lets nothing without them pass');
  return Object.freeze({
    cert,
    key,
    clientCa: source('client_ca'),
    clientAuthType: clientAuthType(tls),
    clientAllowedSans: tls.client_allowed_sans ?? [],
    minVersion: tls.min_version,
    maxVersion: tls.max_version,
    cipherSuites: tls.cipher_suites ?? [],
    preferServerCipherSuites: tls.prefer_server_cipher_suites,
    curves: tls.curve_preferences ?? [],
  });
}

/** The line of the key at the path, or of the nearest thing around it that is in the file. */
function lineOf(document: Document, lines: LineCounter, path: Path): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const last = path[depth - 1];
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(last))
      : undefined;
    const node = pair?.key ?? (isMap(parent) ? undefined : document.getIn(path.slice(0, depth), true));
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}
