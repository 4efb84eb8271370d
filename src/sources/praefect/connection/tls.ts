/**
 * libpq's sslmode, sslrootcert, sslcert and sslkey as options of Node's tls (PostgreSQL documentation, 32.19 "SSL
 * Support", and src/interfaces/libpq/fe-secure-openssl.c for what the documentation leaves open).
 */
import { isIP } from 'node:net';
import * as tls from 'node:tls';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { readErrorText, readTextFile } from '../../../lib/files.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded } from './fault.ts';

export type Encryption = 'plain' | 'tls';

/** The kinds of connection to try, in order; a later one only if `mayFallBack` allows it. */
export function encryptionsFor({ host, ssl }: DatabaseConnection): readonly Encryption[] {
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
 * Whether the other kind of connection may succeed: TLS failed, or pg_hba.conf has no line for this kind (28000).
 * libpq also retries after a wrong password, which only turns one failed login into two.
 */
export const mayFallBack = (fault: DatabaseFault): boolean =>
  fault.reason === 'tls' || fault.sqlState === '28000';

/**
 * Options for tls.connect, without the socket. Reads the files at each call, so that renewed certificates take
 * effect with the next connection.
 *
 * - With a root certificate the chain is verified in every mode; without one, verify-ca and verify-full fail, and
 *   the other modes encrypt without authentication of the server.
 * - Only verify-full compares the host name.
 * - `system` is accepted with verify-full only: a store that trusts every public CA proves nothing else.
 */
export async function tlsOptions({
  host,
  ssl,
}: DatabaseConnection): Promise<DatabaseResult<tls.ConnectionOptions>> {
  if (ssl.rootCert === undefined && ssl.mode.startsWith('verify-'))
    return misconfigured(
      `sslmode=${ssl.mode} needs a root certificate`,
      "set sslrootcert to the CA's file, or to `system` with verify-full",
    );
  if (ssl.rootCert === 'system' && ssl.mode !== 'verify-full')
    return misconfigured(
      `sslrootcert=system does not go with sslmode=${ssl.mode}`,
      'use sslmode=verify-full, or a file',
    );
  const root = await readRoot(ssl.rootCert);
  if (!root.ok) return root;
  const cert = await readSetting('sslcert', ssl.cert);
  if (!cert.ok) return cert;
  const key = await readSetting('sslkey', ssl.key);
  if (!key.ok) return key;
  return succeeded({
    host, // compared with the certificate; servername goes to the server and may not be an IP address
    ...(isIP(host) === 0 ? { servername: host } : {}),
    rejectUnauthorized: root.value !== undefined,
    ...(root.value === undefined ? {} : { ca: root.value }),
    ...(ssl.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(cert.value === undefined ? {} : { cert: cert.value }),
    ...(key.value === undefined ? {} : { key: key.value }),
  });
}

async function readRoot(
  rootCert: string | undefined,
): Promise<DatabaseResult<string | string[] | undefined>> {
  if (rootCert !== 'system') return readSetting('sslrootcert', rootCert);
  const store = tls.getCACertificates('system');
  return store.length > 0
    ? succeeded(store)
    : misconfigured(
        "sslrootcert=system, but the system's store holds no certificate",
        'install ca-certificates, or set sslrootcert to a file',
      );
}

async function readSetting(
  setting: string,
  path: string | undefined,
): Promise<DatabaseResult<string | undefined>> {
  if (path === undefined) return succeeded(undefined);
  try {
    return succeeded(await readTextFile(path));
  } catch (error) {
    return misconfigured(
      `${setting} ${path} cannot be read (${readErrorText(error)})`,
      'check the path and the file mode',
    );
  }
}

const misconfigured = (found: string, fix: string): DatabaseResult<never> =>
  faulty({ reason: 'tls', found, fix });
