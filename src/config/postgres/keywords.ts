/**
 * libpq's connection parameters (PostgreSQL documentation, 34.1.2 and 34.15): which we honour, which variable
 * stands for each, and which we refuse unless they ask for what happens anyway. A parameter that was quietly
 * ignored could cost TLS or lead to another server.
 */

import type { Secret } from '../../lib/secret.ts';
import type { Origin } from '../problem.ts';

/** Honoured, with the variable that stands for it. */
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
export const keywords = Object.keys(keywordVariables) as readonly Keyword[];
export const isKeyword = (name: string): name is Keyword => Object.hasOwn(keywordVariables, name);

/** One parameter and who said it. */
export interface Parameter {
  readonly value: string;
  readonly origin: Origin;
}

/** What one source says of a connection. The password is apart, so that no text of the rest can hold it. */
export type Parameters = { readonly [Name in Exclude<Keyword, 'password'>]?: Parameter } & {
  readonly password?: { readonly value: Secret; readonly origin: Origin };
};

interface Refused {
  /** The variable that would mean the same to libpq; only those that change where or how we would connect. */
  readonly variable?: string;
  /** Values that ask for what happens anyway. */
  readonly harmless: readonly string[];
  /** Follows "is not supported: ". */
  readonly mend: string;
}

const tlsFiles = 'give sslrootcert, sslcert and sslkey';

export const refusedKeywords: Readonly<Record<string, Refused>> = {
  service: {
    variable: 'PGSERVICE',
    harmless: [],
    mend: 'write out host, port, dbname and user in place of the service',
  },
  hostaddr: { variable: 'PGHOSTADDR', harmless: [], mend: 'give the address as host' },
  options: {
    variable: 'PGOPTIONS',
    harmless: [],
    mend: 'set such options on the role: ALTER ROLE ... SET ...',
  },
  application_name: { harmless: ['gitaly-exporter'], mend: 'it is always gitaly-exporter' },
  sslcrl: { variable: 'PGSSLCRL', harmless: [], mend: tlsFiles },
  sslcrldir: { variable: 'PGSSLCRLDIR', harmless: [], mend: tlsFiles },
  sslpassword: { harmless: [], mend: 'give a key without a passphrase, readable by its owner alone' },
  sslcertmode: {
    variable: 'PGSSLCERTMODE',
    harmless: ['allow'],
    mend: 'leave sslcert out to send no certificate',
  },
  sslnegotiation: { variable: 'PGSSLNEGOTIATION', harmless: ['postgres'], mend: 'leave it out' },
  sslcompression: { harmless: ['0'], mend: 'leave it out' },
  ssl_min_protocol_version: {
    variable: 'PGSSLMINPROTOCOLVERSION',
    harmless: ['TLSv1', 'TLSv1.1', 'TLSv1.2'],
    mend: 'it is TLSv1.2; raise it on the server (ssl_min_protocol_version)',
  },
  ssl_max_protocol_version: {
    variable: 'PGSSLMAXPROTOCOLVERSION',
    harmless: ['TLSv1.3'],
    mend: 'leave it out',
  },
  requiressl: { variable: 'PGREQUIRESSL', harmless: ['0'], mend: 'write sslmode=require' },
  requirepeer: {
    variable: 'PGREQUIREPEER',
    harmless: [],
    mend: 'guard the folder of the socket by its permissions',
  },
  require_auth: {
    variable: 'PGREQUIREAUTH',
    harmless: [],
    mend: 'use sslmode=verify-full to be sure of the server',
  },
  channel_binding: {
    variable: 'PGCHANNELBINDING',
    harmless: ['disable', 'prefer'],
    mend: 'use sslmode=verify-full to be sure of the server',
  },
  gssencmode: {
    variable: 'PGGSSENCMODE',
    harmless: ['disable', 'prefer'],
    mend: 'use TLS (sslmode) in its place',
  },
  krbsrvname: { harmless: [], mend: 'log in with a password or a client certificate' },
  target_session_attrs: {
    variable: 'PGTARGETSESSIONATTRS',
    harmless: ['any'],
    mend: 'give the one host that is to be watched',
  },
  load_balance_hosts: { variable: 'PGLOADBALANCEHOSTS', harmless: ['disable'], mend: 'give one host' },
  replication: { harmless: ['false', 'off', 'no', '0'], mend: 'leave it out' },
};

/** Why a parameter that is not honoured stops the start; undefined when it asks for what happens anyway. */
export function refusal(name: string, value: string): string | undefined {
  const refused = Object.hasOwn(refusedKeywords, name) ? refusedKeywords[name] : undefined;
  if (refused === undefined || value === '' || refused.harmless.includes(value)) return undefined;
  return `${name} is not supported: ${refused.mend}`;
}
