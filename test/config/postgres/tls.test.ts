import { describe, expect, test } from '@jest/globals';
import { resolveTls } from '../../../src/config/postgres/tls.ts';
import { type Origin, problemText } from '../../../src/config/problem.ts';
import { type MemoryFiles, memorySystem } from '../memory-system.ts';

const origin: Origin = { source: 'flag', name: '--praefect.database.url' };
const home = '/home/exporter/.postgresql';
const root = { [`${home}/root.crt`]: 'PEM' };
const client = { [`${home}/postgresql.crt`]: 'PEM', [`${home}/postgresql.key`]: 'PEM' };
const named = { '/ca.pem': 'PEM', '/client.pem': 'PEM', '/client.key': 'PEM' };

async function tls(given: Record<string, string>, files: MemoryFiles = {}, host = 'db'): Promise<unknown> {
  const parameters = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, { value, origin }]),
  );
  const result = await resolveTls(parameters, host, memorySystem(files));
  return result.ok ? result.value : result.problems.map(problemText);
}

describe('TLS parameters have the same effect as in libpq', () => {
  test.each<[Record<string, string>, MemoryFiles, unknown]>([
    [{}, {}, { mode: 'prefer' }],
    [{}, root, { mode: 'prefer' }],
    [{ sslmode: 'disable' }, { ...root, ...client }, { mode: 'disable' }],
    [{ sslmode: 'allow' }, {}, { mode: 'allow' }],
    [{ sslmode: 'prefer', sslrootcert: '/ca.pem' }, named, { mode: 'prefer' }],
    [{ sslmode: 'require' }, {}, { mode: 'require' }],
    // With a root certificate file, sslmode=require verifies the chain.
    [{ sslmode: 'require' }, root, { mode: 'verify-ca', rootCert: `${home}/root.crt` }],
    [{ sslmode: 'require', sslrootcert: '/ca.pem' }, named, { mode: 'verify-ca', rootCert: '/ca.pem' }],
    [{ sslmode: 'verify-ca' }, root, { mode: 'verify-ca', rootCert: `${home}/root.crt` }],
    [
      { sslmode: 'verify-full', sslrootcert: '/ca.pem' },
      { ...named, ...root },
      { mode: 'verify-full', rootCert: '/ca.pem' },
    ],
    [{ sslrootcert: 'system' }, {}, { mode: 'verify-full', rootCert: 'system' }],
    [{ sslmode: 'verify-full', sslrootcert: 'system' }, {}, { mode: 'verify-full', rootCert: 'system' }],
    [
      { sslmode: 'require' },
      client,
      { mode: 'require', cert: `${home}/postgresql.crt`, key: `${home}/postgresql.key` },
    ],
    [
      { sslmode: 'require', sslcert: '/client.pem', sslkey: '/client.key' },
      { ...named, ...client },
      { mode: 'require', cert: '/client.pem', key: '/client.key' },
    ],
    [
      { sslmode: 'require', sslcert: '/client.pem' },
      { ...named, ...client },
      { mode: 'require', cert: '/client.pem', key: `${home}/postgresql.key` },
    ],
  ])('%j with the files %j', async (given, files, expected) => {
    expect(await tls(given, files)).toEqual(expected);
  });

  test('a Unix socket has no TLS, regardless of sslmode', async () => {
    expect(await tls({ sslmode: 'verify-full' }, {}, '/var/run/postgresql')).toEqual({ mode: 'disable' });
  });
});

describe('a missing certificate or key is an error that names it', () => {
  const at = '--praefect.database.url:';
  test.each<[Record<string, string>, MemoryFiles, string[]]>([
    [
      { sslmode: 'on' },
      {},
      [`${at} sslmode: found "on", expected one of disable, allow, prefer, require, verify-ca, verify-full`],
    ],
    [
      { sslmode: 'verify_full' },
      {},
      [
        `${at} sslmode: found "verify_full", expected one of disable, allow, prefer, require, verify-ca, verify-full: did you mean verify-full?`,
      ],
    ],
    [
      { sslmode: 'require', sslrootcert: 'system' },
      {},
      [
        `${at} sslrootcert=system needs sslmode=verify-full, found "require": anyone can get a certificate that the system trusts`,
      ],
    ],
    [
      { sslmode: 'verify-full' },
      {},
      [
        `${at} sslmode=verify-full needs a root certificate, and none exists at ${home}/root.crt: set sslrootcert, or sslrootcert=system for the authorities that the system trusts (for a cloud database, the certificate bundle of the cloud provider)`,
      ],
    ],
    [
      { sslmode: 'require', sslrootcert: '/gone.pem' },
      {},
      [`${at} sslrootcert: the file /gone.pem does not exist`],
    ],
    [
      { sslmode: 'verify-full', sslrootcert: '/ca.pem' },
      { '/ca.pem': { code: 'EACCES' } },
      [`${at} sslrootcert: the file /ca.pem is not readable by this user`],
    ],
    [
      { sslmode: 'require', sslcert: '/client.pem' },
      { '/client.pem': 'PEM' },
      [`${at} the client certificate has no key: set sslkey, or put the key at ${home}/postgresql.key`],
    ],
    [
      { sslmode: 'require', sslrootcert: '/a', sslcert: '/b', sslkey: '/c' },
      {},
      [
        `${at} sslrootcert: the file /a does not exist`,
        `${at} sslcert: the file /b does not exist`,
        `${at} sslkey: the file /c does not exist`,
      ],
    ],
  ])('%j', async (given, files, expected) => {
    expect(await tls(given, files)).toEqual(expected);
  });
});
