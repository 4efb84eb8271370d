/**
 * The web configuration file: the format of Prometheus' exporter-toolkit (docs/web-configuration.md there), as
 * a schema for the parsed YAML. It accepts what the toolkit accepts, except unknown keys.
 */
import { validateHeaderValue } from 'node:http';
import { z } from 'zod';
import { parseGoDuration } from '../../config/go-duration.ts';
import { cipherSuiteNames, curveNames, tlsVersionNames } from './tls-names.ts';

/** Go's tls.ClientAuthType, from the loosest to the strictest. */
export const clientAuthTypes = [
  'NoClientCert',
  'RequestClientCert',
  'VerifyClientCertIfGiven',
  'RequireAnyClientCert',
  'RequireAndVerifyClientCert',
] as const;
export type ClientAuthType = (typeof clientAuthTypes)[number];

/** The headers that the file may set, and their allowed values: the toolkit's list. */
const configurableHeaders = {
  'Content-Security-Policy': undefined,
  'X-Frame-Options': ['deny', 'sameorigin'],
  'X-Content-Type-Options': ['nosniff'],
  'X-XSS-Protection': undefined,
  'Strict-Transport-Security': undefined,
} as const satisfies Record<string, readonly string[] | undefined>;

// YAML 1.1, which the toolkit reads, has more spellings of true and false than YAML 1.2.
const booleanWords: Readonly<Record<string, boolean>> = { yes: true, on: true, no: false, off: false };
const boolean = z.preprocess(
  (value) => (typeof value === 'string' ? (booleanWords[value.toLowerCase()] ?? value) : value),
  z.boolean(),
);

const path = z.string().min(1, 'is empty: set the path of a file, relative to this one');
const pem = z.string().min(1, 'is empty: put the PEM text here, or remove the key');

const listOf = <T extends z.ZodType>(item: T) =>
  z.array(item).min(1, 'is empty: list at least one, or remove it');

const header = z.preprocess((value) => (typeof value === 'number' ? String(value) : value), z.string());

/** A map with an own check of each entry, which returns what is wrong with it, and how to fix it. */
const entries = (value: z.ZodType<string>, problemsOf: (name: string, value: string) => Iterable<string>) =>
  z.record(z.string(), value).superRefine((given, context) => {
    for (const [name, each] of Object.entries(given))
      for (const message of problemsOf(name, each))
        context.addIssue({ code: 'custom', path: [name], message });
  });

const headers = entries(header, (name, value) => {
  const known: Readonly<Record<string, readonly string[] | undefined>> = configurableHeaders;
  if (!Object.hasOwn(known, name)) return [`cannot be set; only these can: ${Object.keys(known).join(', ')}`];
  const allowed = known[name];
  if (value !== '' && allowed !== undefined && !allowed.includes(value))
    return [`must be ${allowed.join(' or ')}, or empty`];
  return fitsInHeader(name, value) ? [] : ['contains characters that are not allowed in a header'];
});

function fitsInHeader(name: string, value: string): boolean {
  try {
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

const bcryptHash = /^\$2[abxy]?\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$/;

const users = entries(z.string(), function* (name, hash) {
  if (name.includes(':')) yield 'contains a colon, which basic authentication does not allow in a user name';
  if (!bcryptHash.test(hash))
    yield "is not a bcrypt hash: create one with htpasswd -nBC 10 '' | tr -d ':\\n'";
});

const duration = z.union([z.string(), z.number()]).transform((value, context) => {
  const seconds = parseGoDuration(String(value));
  if (seconds !== undefined && seconds >= 0) return seconds * 1000;
  context.addIssue({ code: 'custom', message: 'must be a duration such as 500ms, 1s or 1m30s' });
  return z.NEVER;
});

export const webConfigSchema = z.strictObject({
  tls_server_config: z
    .strictObject({
      cert: pem.optional(),
      key: pem.optional(),
      client_ca: pem.optional(),
      cert_file: path.optional(),
      key_file: path.optional(),
      client_ca_file: path.optional(),
      // RequireClientCert is the toolkit's older name of RequireAnyClientCert.
      client_auth_type: z.enum([...clientAuthTypes, 'RequireClientCert', '']).optional(),
      client_allowed_sans: listOf(z.string().min(1)).optional(),
      min_version: z.enum(tlsVersionNames).default('TLS12'),
      max_version: z.enum(tlsVersionNames).default('TLS13'),
      cipher_suites: listOf(z.enum(cipherSuiteNames)).optional(),
      prefer_server_cipher_suites: boolean.default(true),
      curve_preferences: listOf(z.enum(curveNames)).optional(),
    })
    .optional(),
  http_server_config: z.strictObject({ http2: boolean.optional(), headers: headers.optional() }).optional(),
  basic_auth_users: users.optional(),
  rate_limit: z
    .strictObject({ interval: duration.default(0), burst: z.int().nonnegative().default(0) })
    .optional(),
});

export type WebConfigInput = z.output<typeof webConfigSchema>;
export type TlsInput = NonNullable<WebConfigInput['tls_server_config']>;

/** The keys that are allowed in a section (`` is the top level), for the message about an unknown one. */
export function knownKeys(section: string): readonly string[] {
  const shape = webConfigSchema.shape;
  const sections: Readonly<Record<string, object>> = {
    '': shape,
    tls_server_config: shape.tls_server_config.unwrap().shape,
    http_server_config: shape.http_server_config.unwrap().shape,
    rate_limit: shape.rate_limit.unwrap().shape,
  };
  return Object.keys(sections[section] ?? {});
}

/** Keys and indices from the top of the file. */
export type KeyPath = readonly (string | number)[];

export interface WebConfigProblem {
  readonly path: KeyPath;
  /** What is wrong with it, and how to fix it. */
  readonly message: string;
}

/** Keys that are valid alone but not together, in the order of the file's sections. */
export function crossKeyProblems(input: WebConfigInput): WebConfigProblem[] {
  const problems: WebConfigProblem[] = [];
  const limit = input.rate_limit;
  if (limit !== undefined && limit.interval > 0 && limit.burst === 0) {
    problems.push({
      path: ['rate_limit', 'burst'],
      message: 'must be 1 or more: 0 would reject every request',
    });
  }
  const tls = input.tls_server_config;
  if (tls === undefined) return problems;
  const add = (key: string, message: string) => problems.push({ path: ['tls_server_config', key], message });

  for (const name of ['cert', 'key', 'client_ca'] as const) {
    const file = `${name}_file` as const;
    if (tls[name] !== undefined && tls[file] !== undefined) {
      add(file, `is set together with ${name}: remove one of them`);
    }
    if (name !== 'client_ca' && tls[name] === undefined && tls[file] === undefined) {
      add(file, `is missing: TLS needs it (or ${name} with the PEM text itself)`);
    }
  }
  const type = clientAuthType(tls);
  const hasCa = tls.client_ca !== undefined || tls.client_ca_file !== undefined;
  const caKey = tls.client_ca === undefined ? 'client_ca_file' : 'client_ca';
  if (hasCa && type === 'NoClientCert') {
    add(caKey, 'has no effect without client_auth_type: set RequireAndVerifyClientCert, or remove it');
  }
  if (!hasCa && type === 'RequireAndVerifyClientCert') {
    const message = `is missing: without it ${type} would accept a certificate of any public CA`;
    add('client_ca_file', message);
  }
  if (tls.client_allowed_sans !== undefined && !type.includes('Verify')) {
    const message = `needs client_auth_type: RequireAndVerifyClientCert; with ${type} a client can put any name into its own certificate`;
    add('client_allowed_sans', message);
  }
  if (tlsVersionNames.indexOf(tls.min_version) > tlsVersionNames.indexOf(tls.max_version)) {
    add('min_version', `is ${tls.min_version}, above max_version (${tls.max_version})`);
  }
  return problems;
}

/** The type in effect: NoClientCert by default. */
export function clientAuthType(tls: TlsInput): ClientAuthType {
  const given = tls.client_auth_type;
  if (given === undefined || given === '') return 'NoClientCert';
  return given === 'RequireClientCert' ? 'RequireAnyClientCert' : given;
}
