/**
 * libpq's sslmode, sslrootcert, sslcert and sslkey as Node's tls understands them (PostgreSQL documentation,
 * 32.19 "SSL Support", and src/interfaces/libpq/fe-secure-openssl.c for what the documentation leaves open).
 */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import * as tls from 'node:tls';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { type Finding, found, type Result, succeeded } from './finding.ts';
import { codeOf } from './system-errors.ts';

export type Attempt = 'plain' | 'tls';

/** What is tried, in order; a later one only when `mayFallBack` says so of the finding before. */
export function attemptsFor({ host, ssl }: DatabaseConnection): readonly Attempt[] {
  // libpq ignores sslmode on a Unix socket: no server speaks TLS there.
  if (host.startsWith('/')) return ['plain'];
  switch (ssl.mode) {
    case 'disable':
      return ['plain'];
    case 'allow':
      return ['plain', 'tls'];
    case 'prefer':
      return ['tls', 'plain'];
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return ['tls'];
  }
}

/**
 * Whether the other kind of connection may do better: TLS itself failed, or pg_hba.conf has no line for this
 * kind (28000). libpq would try again after a wrong password as well, which only makes two failed logins of one.
 */
export const mayFallBack = (finding: Finding): boolean =>
  finding.reason === 'tls' || finding.sqlState === '28000';

/**
 * Options for tls.connect, but for the socket. Files are read at each call, so that renewed certificates count
 * from the next connection on.
 *
 * - A root certificate is verified against in every mode, when it is given; without one, verify-ca and
 *   verify-full refuse, and the other modes encrypt without knowing the other end.
 * - The host's name is compared in verify-full alone.
 * - `system` goes with verify-full only: a store that trusts every public authority proves nothing else.
 */
export async function tlsOptions({ host, ssl }: DatabaseConnection): Promise<Result<tls.ConnectionOptions>> {
  if (ssl.rootCert === undefined && ssl.mode.startsWith('verify-'))
    return misconfigured(
      `sslmode=${ssl.mode} needs a root certificate`,
      "set sslrootcert to the authority's file, or to `system` with verify-full",
    );
  if (ssl.rootCert === 'system' && ssl.mode !== 'verify-full')
    return misconfigured(
      `sslrootcert=system does not go with sslmode=${ssl.mode}`,
      'use sslmode=verify-full, or a file',
    );
  const root = await rootOf(ssl.rootCert);
  if (!root.ok) return root;
  const cert = await fileOf('sslcert', ssl.cert);
  if (!cert.ok) return cert;
  const key = await fileOf('sslkey', ssl.key);
  if (!key.ok) return key;
  return succeeded({
    host, // compared with the certificate; servername, which is sent along, may not be an address
    ...(isIP(host) === 0 ? { servername: host } : {}),
    rejectUnauthorized: root.value !== undefined,
    ...(root.value === undefined ? {} : { ca: root.value }),
    ...(ssl.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(cert.value === undefined ? {} : { cert: cert.value }),
    ...(key.value === undefined ? {} : { key: key.value }),
  });
}

async function rootOf(rootCert: string | undefined): Promise<Result<string | string[] | undefined>> {
  if (rootCert !== 'system') return fileOf('sslrootcert', rootCert);
  const store = tls.getCACertificates('system');
  return store.length > 0
    ? succeeded(store)
    : misconfigured(
        "sslrootcert=system, but the system's store holds no certificate",
        'install ca-certificates, or set sslrootcert to a file',
      );
}

async function fileOf(setting: string, path: string | undefined): Promise<Result<string | undefined>> {
  if (path === undefined) return succeeded(undefined);
  try {
    return succeeded(await readFile(path, 'utf8'));
  } catch (error) {
    return misconfigured(
      `${setting} ${path} cannot be read (${codeOf(error)})`,
      'check the path and its mode',
    );
  }
}

const misconfigured = (what: string, mend: string): Result<never> =>
  found({ reason: 'tls', found: what, mend });
