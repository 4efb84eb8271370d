/**
 * libpq's connection parameters (PostgreSQL documentation, 34.1.2 and 34.15; PQconninfoOptions in fe-connect.c of
 * releases 15 to 18): those that are used, with the variable of each, and the others, which are accepted where their
 * value changes nothing and refused where ignoring it could cost TLS or lead to another server.
 */
import { Secret } from '../../lib/secret.ts';
import { bad, type Checked, good, type Origin, problemAt } from '../problem.ts';
import type { Environment } from '../system.ts';

/** Used, with the environment variable of each. */
export const keywordVariables = {
  host: 'PGHOST',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
} as const;

export type Keyword = keyof typeof keywordVariables;
export const isKeyword = (name: string): name is Keyword => Object.hasOwn(keywordVariables, name);

/** One parameter and its source. */
export interface Parameter {
  readonly value: string;
  readonly origin: Origin;
}

/** The parameters of one source. The password is separate, so that no text of the rest can contain it. */
export type Parameters = { readonly [Name in Exclude<Keyword, 'password'>]?: Parameter } & {
  readonly password?: { readonly value: Secret; readonly origin: Origin };
};

interface UnusedKeyword {
  /** The environment variable of the parameter, where it would change where or how we connect. */
  readonly variable?: string;
  /** Values that change nothing here; `any` for a parameter that never does. */
  readonly harmless: 'any' | readonly string[];
  /** Follows "is not supported: ". */
  readonly fix?: string;
}

const harmless: UnusedKeyword = { harmless: 'any' };
const tlsFiles = 'set sslrootcert, sslcert and sslkey';
const credentials = 'use a password or a client certificate';

/** Every other parameter of libpq 15 to 18. */
export const unusedKeywords: ReadonlyMap<string, UnusedKeyword> = new Map(
  Object.entries<UnusedKeyword>({
    // The exporter has its own deadlines, application name and encoding.
    application_name: harmless,
    fallback_application_name: harmless,
    client_encoding: harmless,
    keepalives: harmless,
    keepalives_idle: harmless,
    keepalives_interval: harmless,
    keepalives_count: harmless,
    tcp_user_timeout: harmless,
    // Kerberos is never used, and PostgreSQL has ignored compression since release 14.
    krbsrvname: harmless,
    gsslib: harmless,
    sslcompression: harmless,
    authtype: harmless,
    tty: harmless,
    service: {
      variable: 'PGSERVICE',
      harmless: [],
      fix: 'write host, port, dbname and user in place of the service',
    },
    servicefile: { variable: 'PGSERVICEFILE', harmless: 'any' },
    hostaddr: { variable: 'PGHOSTADDR', harmless: [], fix: 'set the address as host' },
    options: {
      variable: 'PGOPTIONS',
      harmless: [],
      fix: 'set such options on the role: ALTER ROLE ... SET ...',
    },
    sslcrl: { variable: 'PGSSLCRL', harmless: [], fix: tlsFiles },
    sslcrldir: { variable: 'PGSSLCRLDIR', harmless: [], fix: tlsFiles },
    sslpassword: { harmless: [], fix: 'use a key without a passphrase that only its owner can read' },
    sslsni: { variable: 'PGSSLSNI', harmless: ['1'], fix: 'SNI is always sent; leave it out' },
    sslcertmode: {
      variable: 'PGSSLCERTMODE',
      harmless: ['allow'],
      fix: 'leave sslcert out to send no certificate',
    },
    sslnegotiation: { variable: 'PGSSLNEGOTIATION', harmless: ['postgres'], fix: 'leave it out' },
    sslkeylogfile: { harmless: [], fix: 'leave it out: it would write the keys of the connection to a file' },
    ssl_min_protocol_version: {
      variable: 'PGSSLMINPROTOCOLVERSION',
      harmless: ['TLSv1', 'TLSv1.1', 'TLSv1.2'],
      fix: 'TLSv1.2 is the minimum here; raise it on the server (ssl_min_protocol_version)',
    },
    ssl_max_protocol_version: {
      variable: 'PGSSLMAXPROTOCOLVERSION',
      harmless: ['TLSv1.3'],
      fix: 'leave it out',
    },
    min_protocol_version: {
      variable: 'PGMINPROTOCOLVERSION',
      harmless: ['3.0'],
      fix: 'the protocol is 3.0; leave it out',
    },
    max_protocol_version: {
      variable: 'PGMAXPROTOCOLVERSION',
      harmless: ['3.0', '3.2', 'latest'],
      fix: 'the protocol is 3.0; leave it out',
    },
    requiressl: { variable: 'PGREQUIRESSL', harmless: ['0'], fix: 'write sslmode=require' },
    requirepeer: {
      variable: 'PGREQUIREPEER',
      harmless: [],
      fix: "restrict the permissions of the socket's directory",
    },
    require_auth: {
      variable: 'PGREQUIREAUTH',
      harmless: [],
      fix: 'use sslmode=verify-full to authenticate the server',
    },
    channel_binding: {
      variable: 'PGCHANNELBINDING',
      harmless: ['disable', 'prefer'],
      fix: 'use sslmode=verify-full to authenticate the server',
    },
    gssencmode: { variable: 'PGGSSENCMODE', harmless: ['disable', 'prefer'], fix: 'use TLS (sslmode)' },
    gssdelegation: { variable: 'PGGSSDELEGATION', harmless: ['0'], fix: credentials },
    scram_client_key: { harmless: [], fix: credentials },
    scram_server_key: { harmless: [], fix: credentials },
    oauth_issuer: { harmless: [], fix: credentials },
    oauth_client_id: { harmless: [], fix: credentials },
    oauth_client_secret: { harmless: [], fix: credentials },
    oauth_scope: { harmless: [], fix: credentials },
    target_session_attrs: {
      variable: 'PGTARGETSESSIONATTRS',
      harmless: ['any'],
      fix: 'set the one host to monitor',
    },
    load_balance_hosts: { variable: 'PGLOADBALANCEHOSTS', harmless: ['disable'], fix: 'set one host' },
    replication: { harmless: ['false', 'off', 'no', '0'], fix: 'leave it out' },
  }),
);

/** Why an unused parameter stops the start; undefined when its value changes nothing. Quotes nothing of the value. */
export function refusal(name: string, value: string): string | undefined {
  const keyword = unusedKeywords.get(name);
  if (keyword === undefined || value === '') return undefined;
  if (keyword.harmless === 'any' || keyword.harmless.includes(value)) return undefined;
  return `${name} is not supported: ${keyword.fix ?? 'leave it out'}`;
}

/** The connection parameters of the variables. An unsupported variable is a problem, an empty one is not set. */
export function variableParameters(env: Environment): Checked<Parameters> {
  const problems = [...unusedKeywords].flatMap(([name, { variable }]) => {
    if (variable === undefined) return [];
    const refused = refusal(name, env[variable] ?? '');
    return refused === undefined ? [] : [problemAt(from(variable), refused)];
  });
  if (problems.length > 0) return bad(...problems);

  const parameters: { -readonly [Name in keyof Parameters]: Parameters[Name] } = {};
  for (const [name, variable] of Object.entries(keywordVariables)) {
    const value = env[variable];
    if (value === undefined || value === '' || !isKeyword(name)) continue;
    if (name === 'password') parameters.password = { value: new Secret(value), origin: from(variable) };
    else parameters[name] = { value, origin: from(variable) } satisfies Parameter;
  }
  return good(parameters);
}

/** Whether the variables alone name a database to monitor: PGPORT or PGUSER may be set for psql only. */
export const variablesNameDatabase = (env: Environment): boolean =>
  [env['PGHOST'], env['PGHOSTADDR'], env['PGDATABASE'], env['PGSERVICE']].some(
    (value) => (value ?? '') !== '',
  );

const from = (variable: string): Origin => ({ source: 'environment', name: variable });
