/** sslmode, sslrootcert, sslcert and sslkey against a real server, as libpq treats them. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { DatabaseConnection, SslMode } from '../../../../src/config/database-connection.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { hasTool, testWith } from '../../../support/tools.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { startUnresponsive } from './proxy.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

const withOpenssl = testWith('openssl');

const hba = `
local   all all                      trust
hostssl all tls_only   127.0.0.1/32  scram-sha-256
hostssl all reader     127.0.0.1/32  cert
hostnossl all plain_only 127.0.0.1/32 scram-sha-256
host    all postgres,either 127.0.0.1/32 scram-sha-256`;

const roles = ['tls_only', 'reader', 'plain_only', 'either'];

interface Cluster {
  readonly server: TestPostgres;
  readonly database: TestDatabase;
}

let certificates: Certificates;
let encrypted: Cluster;
let elsewhere: Cluster;
let plain: Cluster;

async function start(certificate: string | undefined): Promise<Cluster> {
  const server = await startPostgres({
    config: certificate === undefined ? [] : ['ssl=on', 'ssl_ca_file=ca.crt'],
    files: {
      'pg_hba.conf': hba,
      ...(certificate === undefined
        ? {}
        : {
            'server.crt': certificates.text(`${certificate}.crt`),
            'server.key': certificates.text(`${certificate}.key`),
            'ca.crt': certificates.text('ca.crt'),
          }),
    },
  });
  const database = await server.createDatabase(
    roles.map((role) => `CREATE ROLE ${role} LOGIN PASSWORD 'the password'`).join(';'),
  );
  return { server, database };
}

beforeAll(async () => {
  if (!hasTool('openssl')) return;
  certificates = makeCertificates();
  [encrypted, elsewhere, plain] = await Promise.all([start('server'), start('elsewhere'), start(undefined)]);
}, 60_000);
afterAll(async () => {
  await Promise.all([encrypted?.server.stop(), elsewhere?.server.stop(), plain?.server.stop()]);
  certificates?.remove();
});

let database: Opened | undefined;
afterEach(() => database?.close());

interface Wanted {
  readonly mode: SslMode;
  readonly to?: Cluster;
  readonly user?: string;
  readonly host?: string;
  readonly password?: string;
  readonly root?: string;
  readonly cert?: string;
}

function connectionFor({
  mode,
  to = encrypted,
  user = 'either',
  host = 'localhost',
  password = 'the password',
  root,
  cert,
}: Wanted): DatabaseConnection {
  return {
    ...to.database.connection,
    user,
    host,
    password: async () => new Secret(password),
    ssl: {
      mode,
      ...(root === undefined ? {} : { rootCert: root === 'system' ? root : certificates.path(root) }),
      ...(cert === undefined
        ? {}
        : { cert: certificates.path(`${cert}.crt`), key: certificates.path(`${cert}.key`) }),
    },
  };
}

/** `tls`, `plain`, or the failure. */
async function outcome(wanted: Wanted): Promise<string | { reason: string; message: string }> {
  database = open(connectionFor(wanted));
  const result = await database.query(
    'SELECT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS ssl',
    within(5000),
  );
  if (!result.ok) return failureIn(result);
  const ssl = valueIn(result)[0]?.['ssl'];
  expect(database.connection()?.encrypted).toBe(ssl);
  return ssl === true ? 'tls' : 'plain';
}

describe('sslmode', () => {
  const cases: readonly (readonly [what: string, wanted: () => Wanted, outcome: unknown])[] = [
    ['disable: plain, although the server offers TLS', () => ({ mode: 'disable' }), 'plain'],
    ['allow: plain where the server accepts it', () => ({ mode: 'allow' }), 'plain'],
    ['allow: TLS where pg_hba.conf requires it', () => ({ mode: 'allow', user: 'tls_only' }), 'tls'],
    ['prefer: TLS where the server offers it', () => ({ mode: 'prefer' }), 'tls'],
    ['prefer: plain where the server does not offer TLS', () => ({ mode: 'prefer', to: plain }), 'plain'],
    ['prefer: plain where pg_hba.conf requires it', () => ({ mode: 'prefer', user: 'plain_only' }), 'plain'],
    [
      'prefer: plain where the certificate is not trusted',
      () => ({ mode: 'prefer', root: 'other-ca.crt' }),
      'plain',
    ],
    ['require: TLS without authentication of the server', () => ({ mode: 'require', to: elsewhere }), 'tls'],
    [
      'require with a root certificate: the chain is verified',
      () => ({ mode: 'require', root: 'ca.crt' }),
      'tls',
    ],
    [
      'verify-ca: only the chain is verified',
      () => ({ mode: 'verify-ca', to: elsewhere, root: 'ca.crt' }),
      'tls',
    ],
    ['verify-full: chain and host name are verified', () => ({ mode: 'verify-full', root: 'ca.crt' }), 'tls'],
    ['a certificate of our own', () => ({ mode: 'require', user: 'reader', cert: 'reader' }), 'tls'],
    [
      'disable: refused where pg_hba.conf wants TLS',
      () => ({ mode: 'disable', user: 'tls_only' }),
      { reason: 'authentication', message: expect.stringContaining('try sslmode=require') },
    ],
    [
      'require: fails where the server does not offer TLS',
      () => ({ mode: 'require', to: plain }),
      { reason: 'tls', message: expect.stringContaining('the server does not offer TLS') },
    ],
    [
      'require: fails with another root certificate',
      () => ({ mode: 'require', root: 'other-ca.crt' }),
      { reason: 'tls', message: expect.stringMatching(/is not trusted|cannot be verified/) },
    ],
    [
      'verify-ca: fails without a root certificate',
      () => ({ mode: 'verify-ca' }),
      { reason: 'tls', message: expect.stringContaining('sslmode=verify-ca needs a root certificate') },
    ],
    [
      'verify-ca: fails with another root certificate',
      () => ({ mode: 'verify-ca', root: 'other-ca.crt' }),
      { reason: 'tls', message: expect.stringMatching(/is not trusted|cannot be verified/) },
    ],
    [
      'verify-full: fails with a certificate for another host',
      () => ({ mode: 'verify-full', to: elsewhere, root: 'ca.crt' }),
      { reason: 'tls', message: expect.stringContaining('certificate is for another host') },
    ],
    [
      'verify-full: fails for an address that the certificate lacks',
      () => ({ mode: 'verify-full', host: '127.0.0.1', root: 'ca.crt' }),
      { reason: 'tls', message: expect.stringContaining('certificate is for another host') },
    ],
    [
      'verify-full: fails against the public CAs',
      () => ({ mode: 'verify-full', root: 'system' }),
      {
        reason: 'tls',
        message: expect.stringMatching(/is not trusted|cannot be verified|holds no certificate/),
      },
    ],
    [
      'require: fails with the public CAs',
      () => ({ mode: 'require', root: 'system' }),
      {
        reason: 'tls',
        message: expect.stringContaining('sslrootcert=system does not go with sslmode=require'),
      },
    ],
    [
      'verify-full: fails with a missing root certificate file',
      () => ({ mode: 'verify-full', root: 'missing.crt' }),
      {
        reason: 'tls',
        message: expect.stringMatching(/sslrootcert .*missing\.crt cannot be read \(ENOENT\)/),
      },
    ],
    [
      'require: fails without a client certificate where the server requires one',
      () => ({ mode: 'require', user: 'reader' }),
      { reason: 'tls', message: expect.stringContaining('set sslcert and sslkey') },
    ],
    [
      'require: fails with a client certificate that the server does not trust',
      () => ({ mode: 'require', user: 'reader', cert: 'stranger' }),
      { reason: 'tls', message: expect.stringContaining('the server does not trust the client certificate') },
    ],
    [
      'prefer: a wrong password is not sent again unencrypted',
      () => ({ mode: 'prefer', password: 'wrong' }),
      { reason: 'authentication', message: expect.not.stringContaining('first attempt') },
    ],
  ];
  for (const [what, wanted, expected] of cases) {
    withOpenssl(what, async () => {
      expect(await outcome(wanted())).toEqual(expected);
    });
  }

  withOpenssl('prefer: reports both attempts when both failed', async () => {
    const failure = await outcome({ mode: 'prefer', user: 'tls_only', root: 'other-ca.crt' });
    expect(failure).toEqual({
      reason: 'authentication',
      message: expect.stringMatching(/no encryption.*\(first attempt: .*(not trusted|cannot be verified)/),
    });
  });
});

withOpenssl('a Unix socket ignores sslmode', async () => {
  expect(await outcome({ mode: 'verify-full', host: encrypted.server.folder })).toBe('plain');
});

withOpenssl('certificates are read again for each connection', async () => {
  copyFileSync(certificates.path('other-ca.crt'), certificates.path('renewed.crt'));
  const connection = connectionFor({ mode: 'verify-full', root: 'renewed.crt' });
  database = open(connection);
  expect(failureIn(await database.query('SELECT 1', within(5000))).reason).toBe('tls');
  copyFileSync(certificates.path('ca.crt'), certificates.path('renewed.crt'));
  expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
});

withOpenssl('a key that does not match the certificate fails with a message', async () => {
  writeFileSync(certificates.path('mixed.crt'), certificates.text('reader.crt'));
  writeFileSync(certificates.path('mixed.key'), certificates.text('stranger.key'));
  expect(await outcome({ mode: 'require', user: 'reader', cert: 'mixed' })).toMatchObject({
    reason: 'tls',
    message: expect.stringMatching(/key values mismatch/i),
  });
});

withOpenssl('a query over TLS is canceled over TLS', async () => {
  database = open(connectionFor({ mode: 'verify-full', user: 'tls_only', root: 'ca.crt' }));
  const admin = await encrypted.database.client();
  const running = async (): Promise<number> => {
    const { rows } = await admin.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
    );
    return rows[0].n;
  };
  const query = database.query('SELECT pg_sleep(60)', within(300, 30_000));
  await until(async () => (await running()) === 1);
  expect((await query).ok).toBe(false);
  await until(async () => (await running()) === 0);
});

withOpenssl('COPY over TLS loses nothing', async () => {
  database = open(connectionFor({ mode: 'require' }));
  let bytes = 0;
  valueIn(
    await database.transaction(within(20_000), (transaction) =>
      transaction.copy("SELECT repeat('x', 1000) FROM generate_series(1, 20000)", (chunk) => {
        bytes += chunk.length;
      }),
    ),
  );
  expect(bytes).toBe(19 + 20_000 * (2 + 4 + 1000) + 2);
});

test.each([
  ['data before TLS begins', 'Sxxxx', /man in the middle/],
  ['an unknown reply', 'H', /was "H", expected S or N/],
])('%s fails the connection', async (_, bytes, message) => {
  const peer = await startUnresponsive(Buffer.from(bytes));
  database = open({
    host: '127.0.0.1',
    port: peer.port,
    database: 'praefect',
    user: 'reader',
    password: async () => undefined,
    ssl: { mode: 'require' },
    connectTimeoutMs: 1000,
  });
  expect(failureIn(await database.query('SELECT 1', within(5000)))).toEqual({
    reason: 'tls',
    message: expect.stringMatching(message),
  });
  await until(() => peer.open() === 0);
  await peer.close();
});
