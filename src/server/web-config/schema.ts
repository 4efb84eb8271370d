/**
 * The web configuration file: the format of Prometheus' exporter-toolkit (docs/web-configuration.md there), as
 * a schema for what was parsed from YAML. What the toolkit takes is taken; unknown keys are not.
 */
import { validateHeaderValue } from 'node:http';
import { z } from 'zod';
import { cipherSuiteNames, curveNames, tlsVersionNames } from './tls-names.ts';

/** Go's tls.ClientAuthType, in rising order of what is asked of a client. */
export const clientAuthTypes = [
  'NoClientCert',
  'RequestClientCert',
  'VerifyClientCertIfGiven',
  'RequireAnyClientCert',
  'RequireAndVerifyClientCert',
] as const;
export type ClientAuthType = (typeof clientAuthTypes)[number];

/** The headers that the file may set, and what they may say; the toolkit's list. */
export const configurableHeaders = {
  'Content-Security-Policy': undefined,
  'X-Frame-Options': ['deny', 'sameorigin'],
  'X-Content-Type-Options': ['nosniff'],
  'X-XSS-Protection': undefined,
  'Strict-Transport-Security': undefined,
} as const satisfies Record<string, readonly string[] | undefined>;

// YAML 1.1, which the toolkit reads, has more words for true and false than YAML 1.2.
const words: Readonly<Record<string, boolean>> = { yes: true, on: true, no: false, off: false };
const boolean = z.preprocess(
  (value) => (typeof value === 'string' ? (words[value.toLowerCase()] ?? value) : value),
  z.boolean(),
);

const path = z.string().min(1, 'is empty: give the path of a file, relative to this one');
const pem = z.string().min(1, 'is empty: put the PEM text here, or remove the key');

const header = z.preprocess((value) => (typeof value === 'number' ? String(value) : value), z.string());

const headers = z.record(z.string(), header).superRefine((given, context) => {
  const known: Readonly<Record<string, readonly string[] | undefined>> = configurableHeaders;
  for (const [name, value] of Object.entries(given)) {
    const allowed = known[name];
    if (!Object.hasOwn(known, name)) {
      const names = Object.keys(known).join(', ');
      context.addIssue({ code: 'custom', path: [name], message: `cannot be set; these can: ${names}` });
    } else if (value !== '' && allowed !== undefined && !allowed.includes(value)) {
      context.addIssue({
        code: 'custom',
        path: [name],
        message: `must be ${allowed.join(' or ')}, or empty`,
      });
    } else if (!fitsInHeader(name, value)) {
      context.addIssue({ code: 'custom', path: [name], message: 'holds characters that no header may hold' });
    }
  }
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

const users = z.record(z.string(), z.string()).superRefine((given, context) => {
  for (const [name, hash] of Object.entries(given)) {
    if (name.includes(':')) {
      const message = 'holds a colon, which basic authentication cannot carry in the name of a user';
      context.addIssue({ code: 'custom', path: [name], message });
    }
    if (!bcryptHash.test(hash)) {
      const message = "is no bcrypt hash: make one with htpasswd -nBC 10 '' | tr -d ':\\n'";
      context.addIssue({ code: 'custom', path: [name], message });
    }
  }
});

const duration = z.union([z.string(), z.number()]).transform((value, context) => {
  const ms = goDuration(String(value));
  if (ms !== undefined) return ms;
  context.addIssue({ code: 'custom', message: 'must be a duration such as 500ms, 1s or 1m30s' });
  return z.NEVER;
});

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `1m30s` in milliseconds, as Go's time.ParseDuration without the units below a millisecond. */
function goDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    ms += Number(number) * (unitMs[unit ?? ''] ?? 0);
  }
  return ms;
}

export const webConfigSchema = z.strictObject({
  tls_server_config: z
    .strictObject({
      cert: pem.optional(),
      key: pem.optional(),
      client_ca: pem.optional(),
      cert_file: path.optional(),
      key_file: path.optional(),
      client_ca_file: path.optional(),
      // RequireClientCert is the toolkit's older name for RequireAnyClientCert.
      client_auth_type: z.enum([...clientAuthTypes, 'RequireClientCert', '']).optional(),
      client_allowed_sans: z.array(z.string().min(1)).optional(),
      min_version: z.enum(tlsVersionNames).default('TLS12'),
      max_version: z.enum(tlsVersionNames).default('TLS13'),
      cipher_suites: z.array(z.enum(cipherSuiteNames)).optional(),
      prefer_server_cipher_suites: boolean.default(true),
      curve_preferences: z.array(z.enum(curveNames)).optional(),
    })
    .optional(),
  http_server_config: z
    .strictObject({ http2: boolean.default(true), headers: headers.optional() })
    .optional(),
  basic_auth_users: users.optional(),
  rate_limit: z
    .strictObject({ interval: duration.default(0), burst: z.int().nonnegative().default(0) })
    .optional(),
});

export type WebConfigInput = z.output<typeof webConfigSchema>;
export type TlsInput = NonNullable<WebConfigInput['tls_server_config']>;

/** The keys that a mapping at this place may hold; for the message about one that it may not. */
export function knownKeys(place: string): readonly string[] {
  const shape = webConfigSchema.shape;
  const sections: Readonly<Record<string, object>> = {
    '': shape,
    tls_server_config: shape.tls_server_config.unwrap().shape,
    http_server_config: shape.http_server_config.unwrap().shape,
    rate_limit: shape.rate_limit.unwrap().shape,
  };
  return Object.keys(sections[place] ?? {});
}
