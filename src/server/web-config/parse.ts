/**
 * Parses the text of a web configuration file into a validated, frozen value, or into a list of all its
 * problems: line, key, what was found, how to fix it. No message ever quotes a secret.
 */
import { resolve } from 'node:path';
import { type Document, isAlias, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { Secret } from '../../lib/secret.ts';
import {
  type ClientAuthType,
  clientAuthType,
  crossKeyProblems,
  type KeyPath,
  knownKeys,
  type TlsInput,
  type WebConfigInput,
  type WebConfigProblem,
  webConfigSchema,
} from './schema.ts';
import type { CipherSuite, Curve, TlsVersion } from './tls-names.ts';

export interface WebConfig {
  readonly tls: TlsConfig | undefined;
  /** The file enables HTTP/2, which this server does not support. */
  readonly isHttp2Requested: boolean;
  /** Set on every response; an empty value removes a default header. */
  readonly headers: ReadonlyMap<string, string>;
  /** User -> bcrypt hash. Empty: no authentication. */
  readonly users: ReadonlyMap<string, Secret>;
  readonly rateLimit: { readonly intervalMs: number; readonly burst: number } | undefined;
}

export interface TlsConfig {
  readonly cert: PemSource;
  readonly key: PemSource;
  readonly clientCa: PemSource | undefined;
  readonly clientAuthType: ClientAuthType;
  /** Empty: any name. */
  readonly clientAllowedSans: readonly string[];
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Empty: the default list. */
  readonly cipherSuites: readonly CipherSuite[];
  readonly preferServerCipherSuites: boolean;
  /** Empty: OpenSSL's default. */
  readonly curves: readonly Curve[];
}

/** `setting`: the key in the file, for messages. */
export type PemSource =
  | { readonly kind: 'file'; readonly setting: string; readonly path: string }
  | { readonly kind: 'inline'; readonly setting: string; readonly pem: Secret };

type ParsedWebConfig =
  | { readonly ok: true; readonly config: WebConfig }
  /** One sentence each, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly string[] };

/** @param directory the file's own: paths in the file are relative to it */
export function parseWebConfig(text: string, directory: string): ParsedWebConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    // The parser's message quotes the file, perhaps with a password: only its code is reported.
    return {
      ok: false,
      problems: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        const reason = error.code.toLowerCase().replaceAll('_', ' ');
        return `line ${line}, column ${col}: not valid YAML (${reason})`;
      }),
    };
  }
  const report = (problems: readonly WebConfigProblem[]): ParsedWebConfig => ({
    ok: false,
    problems: problems.map(({ path, message }) => {
      const line = lineOf(document, lines, path);
      const location = [line === undefined ? undefined : `line ${line}`, path.join('.') || undefined];
      return `${location.filter(Boolean).join(', ') || 'the file'}: ${message}`;
    }),
  });

  const input = toPlainData(document);
  if (input === undefined)
    return report([{ path: [], message: 'has too many aliases: write the values instead' }]);
  const parsed = webConfigSchema.safeParse(input);
  if (!parsed.success) return report(parsed.error.issues.flatMap((issue) => describe(issue, input)));
  const together = crossKeyProblems(parsed.data);
  if (together.length > 0) return report(together);
  const config = freeze(parsed.data, directory);
  const problem = lostUsersProblem(document, config.users.size);
  return problem === undefined ? { ok: true, config } : report([problem]);
}

/**
 * A file with `basic_auth_users` must require passwords: it is rejected when fewer users are left than it lists (a
 * name such as __proto__ that a plain object cannot hold), or when it lists none.
 */
function lostUsersProblem(document: Document, users: number): WebConfigProblem | undefined {
  const key = 'basic_auth_users';
  if (!document.has(key)) return undefined;
  const node = document.get(key, true);
  const map = isAlias(node) ? node.resolve(document) : node;
  const listed = isMap(map) ? map.items.length : 0;
  if (listed === 0)
    return {
      path: [key],
      message: 'lists no user, so no password would be required: add one or remove the key',
    };
  return users === listed
    ? undefined
    : { path: [key], message: 'has a user name that cannot be used (such as __proto__): rename that user' };
}

function toPlainData(document: Document): unknown {
  try {
    return document.toJS() ?? {};
  } catch {
    return undefined; // The library's limit on aliases of aliases.
  }
}

type Issue = NonNullable<ReturnType<typeof webConfigSchema.safeParse>['error']>['issues'][number];

function describe(issue: Issue, input: unknown): WebConfigProblem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path.join('.')).join(', ');
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `unknown key; known keys here: ${known}`,
    }));
  }
  const found = quoteValue(path, input);
  if (issue.code === 'invalid_type') {
    const expected = { object: 'a mapping of keys', record: 'a mapping of keys', array: 'a list' }[
      issue.expected as string
    ];
    return [
      {
        path,
        message: `must be ${expected ?? `a ${issue.expected}`}${found}${path.length > 0 ? ', or remove the key' : ''}`,
      },
    ];
  }
  if (issue.code === 'invalid_value') {
    return [{ path, message: `must be one of ${issue.values.filter(Boolean).join(', ')}${found}` }];
  }
  return [{ path, message: `${issue.message}${issue.message.startsWith('must ') ? found : ''}` }];
}

/** `, not "TLS14"`. Nothing for a value that may be a secret. */
function quoteValue(path: KeyPath, input: unknown): string {
  let value: unknown = input;
  for (const part of path) value = (value as Record<string | number, unknown> | null)?.[part];
  if (value === null || value === undefined) return ', but it is empty';
  const isSecret = path[0] === 'basic_auth_users' || path[1] === 'key' || path.length === 0;
  if (isSecret || typeof value === 'object') return '';
  const text = JSON.stringify(value);
  return `, not ${text.length > 60 ? `${text.slice(0, 60)}...` : text}`;
}

function freeze(input: WebConfigInput, directory: string): WebConfig {
  const http = input.http_server_config;
  const limit = input.rate_limit;
  const users = Object.entries(input.basic_auth_users ?? {});
  return Object.freeze({
    tls: input.tls_server_config && freezeTls(input.tls_server_config, directory),
    isHttp2Requested: http?.http2 ?? false,
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
    throw new Error('internal error: crossKeyProblems() accepted a file without certificate or key');
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

/** The line of the key at the path, or of the closest enclosing key that is in the file. */
function lineOf(document: Document, lines: LineCounter, path: KeyPath): number | undefined {
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
