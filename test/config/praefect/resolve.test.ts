import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { loadSettings } from '../../../src/config/load.ts';
import { type ResolvedPraefect, resolvePraefect } from '../../../src/config/praefect/resolve.ts';
import { type Checked, problemText } from '../../../src/config/problem.ts';
import type { System } from '../../../src/config/system.ts';
import { type MemoryFile, type MemoryFiles, memoryFiles, memorySystem } from '../memory-system.ts';

const toml = readFileSync(new URL('./fixtures/linux-package-13.5.toml', import.meta.url), 'utf8');
const tomlPath = '/var/opt/gitlab/praefect/config.toml';
const withToml = { [tomlPath]: toml };
const configFile = `--praefect.config-file=${tomlPath}`;
const url = '--praefect.database.url=postgres://reader:pw-url@db:5433/praefect';

async function read(
  args: readonly string[],
  files: MemoryFiles = {},
  env: Record<string, string> = {},
  system: System = memorySystem(files, env),
): Promise<Checked<ResolvedPraefect>> {
  const loaded = await loadSettings(args, system);
  expect(loaded.problems).toEqual([]);
  return resolvePraefect(loaded.settings, loaded.origins, system);
}

/** The connection with its password revealed, or the messages. */
async function connection(...given: Parameters<typeof read>): Promise<unknown> {
  const sources = await read(...given);
  if (!sources.ok) return sources.problems.map(problemText);
  const { database } = sources.value;
  return database && { ...database, password: (await database.password())?.reveal() };
}

const defaults = { ssl: { mode: 'prefer' }, connectTimeoutMs: 10_000, password: undefined };

describe('the address comes from the first source that has one', () => {
  test('without an address no database is monitored', async () => {
    const sources = await read([], {}, { PGUSER: 'me', PGPORT: '5433', PGPASSWORD: 'x' });
    expect(sources.ok && sources.value.database).toBeUndefined();
    expect(sources.ok && sources.value.databaseText).toBe(
      "Praefect's database is not monitored: none of praefect.database.url, praefect.config-file and PGHOST is set",
    );
  });

  test('praefect.database.url takes precedence over all other sources', async () => {
    expect(await connection([url, configFile], withToml, { PGHOST: 'other' })).toEqual({
      ...defaults,
      host: 'db',
      port: 5433,
      database: 'praefect',
      user: 'reader',
      password: 'pw-url',
    });
  });

  test("Praefect's config.toml takes precedence over the variables", async () => {
    expect(await connection([configFile], withToml, { PGHOST: 'other' })).toEqual({
      host: 'postgres.internal',
      port: 5432,
      database: 'praefect_production',
      user: 'praefect',
      password: 'SENTINEL-password',
      ssl: { mode: 'require' },
      connectTimeoutMs: 10_000,
    });
  });

  test('the variables alone give a connection', async () => {
    const env = {
      PGHOST: 'db',
      PGPORT: '6432',
      PGUSER: 'u',
      PGPASSWORD: 'p',
      PGDATABASE: 'd',
      PGSSLMODE: 'disable',
      PGCONNECT_TIMEOUT: '3',
    };
    expect(await connection([], {}, env)).toEqual({
      host: 'db',
      port: 6432,
      user: 'u',
      password: 'p',
      database: 'd',
      ssl: { mode: 'disable' },
      connectTimeoutMs: 3000,
    });
  });

  test('parameters that the address lacks come from the variables, then from the defaults of libpq', async () => {
    expect(
      await connection(['--praefect.database.url=postgres://db'], {}, { PGUSER: 'u', PGSSLMODE: 'disable' }),
    ).toEqual({
      ...defaults,
      host: 'db',
      port: 5432,
      user: 'u',
      database: 'u',
      ssl: { mode: 'disable' },
    });
    expect(await connection(['--praefect.database.url=dbname=d'])).toEqual({
      ...defaults,
      host: 'localhost',
      port: 5432,
      user: 'exporter',
      database: 'd',
    });
    expect(
      await connection(['--praefect.database.url=dbname=d'], { '/var/run/postgresql': { folder: true } }),
    ).toMatchObject({
      host: '/var/run/postgresql',
      ssl: { mode: 'disable' },
    });
  });

  test('one line names the database and the source of its address', async () => {
    const text = async (args: string[], env: Record<string, string> = {}) => {
      const sources = await read(args, withToml, env);
      return sources.ok ? sources.value.databaseText : sources.problems;
    };
    expect(await text([url])).toBe(
      'database praefect at db:5433 as reader, sslmode prefer, address from praefect.database.url, password from --praefect.database.url',
    );
    expect(await text([configFile])).toBe(
      `database praefect_production at postgres.internal:5432 as praefect, sslmode require, address from ${tomlPath}, password from Praefect's configuration ${tomlPath}`,
    );
    expect(await text([], { PGHOST: '/run/pg', PGUSER: 'u' })).toBe(
      'database u at /run/pg/.s.PGSQL.5432 as u, sslmode disable, address from the PG* variables, password from /home/exporter/.pgpass, if it exists',
    );
    expect(await text(['--praefect.database.url=postgres://u:p@[::1]/d'])).toContain(
      'database d at [::1]:5432 as u',
    );
  });
});

describe('the password', () => {
  const passwordFile = '--praefect.database.password-file=/run/password';
  const passfile = (text: string): MemoryFile => ({ text, mode: 0o600 });

  test.each<[string, string[], MemoryFiles, Record<string, string>, string | undefined]>([
    [
      'password-file takes precedence over the address',
      [url, passwordFile],
      { '/run/password': 'pw-file\n' },
      {},
      'pw-file',
    ],
    [
      'passfile takes precedence over the address',
      [url, '--praefect.database.passfile=/pp'],
      { '/pp': passfile('db:5433:praefect:reader:pw-pass') },
      {},
      'pw-pass',
    ],
    ['the address takes precedence over PGPASSWORD', [url], {}, { PGPASSWORD: 'pw-env' }, 'pw-url'],
    [
      'PGPASSWORD takes precedence over PGPASSFILE',
      ['--praefect.database.url=postgres://u@db/d'],
      { '/pp': passfile('*:*:*:*:pw-pass') },
      { PGPASSWORD: 'pw-env', PGPASSFILE: '/pp' },
      'pw-env',
    ],
    [
      'PGPASSFILE names the passfile',
      ['--praefect.database.url=postgres://u@db/d'],
      { '/pp': passfile('*:*:*:*:pw-pass') },
      { PGPASSFILE: '/pp' },
      'pw-pass',
    ],
    [
      'the passfile of the address takes precedence over PGPASSFILE',
      ['--praefect.database.url=postgres://u@db/d?passfile=/pp'],
      { '/pp': passfile('*:*:*:*:pw-pass') },
      { PGPASSFILE: '/other' },
      'pw-pass',
    ],
    [
      '~/.pgpass is the default passfile',
      ['--praefect.database.url=postgres://u@db/d'],
      { '/home/exporter/.pgpass': passfile('*:*:*:*:pw-home') },
      {},
      'pw-home',
    ],
    [
      '~/.pgpass without a matching line gives no password',
      ['--praefect.database.url=postgres://u@db/d'],
      { '/home/exporter/.pgpass': passfile('x:*:*:*:pw-home') },
      {},
      undefined,
    ],
    [
      'a passfile matches the default socket directory as localhost',
      ['--praefect.database.url=host=/var/run/postgresql user=u'],
      { '/home/exporter/.pgpass': passfile('localhost:*:*:*:pw-home') },
      {},
      'pw-home',
    ],
    ['no source gives no password', ['--praefect.database.url=postgres://u@db/d'], {}, {}, undefined],
    [
      'spaces in the password file are kept',
      [url, passwordFile],
      { '/run/password': ' p w \r\n' },
      {},
      ' p w ',
    ],
  ])('%s', async (_name, args, files, env, expected) => {
    expect(await connection(args, files, env)).toMatchObject({ password: expected });
  });

  test("another user does not get the password of Praefect's own user", async () => {
    const args = [configFile, '--praefect.database.user=reader'];
    expect(await connection(args, withToml)).toMatchObject({ user: 'reader', password: undefined });
    const files = { ...withToml, '/run/password': 'pw-file' };
    expect(await connection([...args, passwordFile], files)).toMatchObject({
      user: 'reader',
      password: 'pw-file',
    });
  });

  test('the password is read for each connection', async () => {
    const files: Record<string, string> = { [tomlPath]: toml, '/run/password': 'first' };
    const system: System = { ...memorySystem(), files: memoryFiles(files) };
    const byFile = await read([configFile, passwordFile], {}, {}, system);
    const byToml = await read([configFile], {}, {}, system);
    if (!byFile.ok || !byToml.ok) throw new Error('unexpected');
    files['/run/password'] = 'second';
    files[tomlPath] = toml.replace('SENTINEL-password', 'rotated');
    expect((await byFile.value.database!.password())?.reveal()).toBe('second');
    expect((await byToml.value.database!.password())?.reveal()).toBe('rotated');

    delete files['/run/password'];
    await expect(byFile.value.database!.password()).rejects.toThrow(
      'praefect.database.password-file /run/password does not exist',
    );
    files[tomlPath] = 'password = "SENTINEL';
    await expect(byToml.value.database!.password()).rejects.toThrow(
      `Praefect's configuration ${tomlPath} is no longer valid`,
    );
  });
});

describe('every problem is reported', () => {
  test.each<[string[], MemoryFiles, Record<string, string>, string[]]>([
    [[configFile], {}, {}, [`--praefect.config-file: Praefect's configuration ${tomlPath} does not exist`]],
    [
      [configFile, url],
      { [tomlPath]: 'x' },
      {},
      [`${tomlPath}:1: invalid TOML: incomplete key-value: cannot find end of key`],
    ],
    // The variables do not replace a file that was configured.
    [
      [configFile],
      { [tomlPath]: '[database]\nport = "x"' },
      { PGHOST: 'other' },
      [`${tomlPath}:2: database.port: expected an unquoted integer`],
    ],
    [
      [],
      {},
      { PGSERVICE: 'praefect' },
      ['PGSERVICE: service is not supported: write host, port, dbname and user in place of the service'],
    ],
    [
      [url],
      {},
      { PGSERVICE: 'praefect', PGHOSTADDR: '10.0.0.1', PGCHANNELBINDING: 'require', PGGSSENCMODE: 'disable' },
      [
        'PGSERVICE: service is not supported: write host, port, dbname and user in place of the service',
        'PGHOSTADDR: hostaddr is not supported: set the address as host',
        'PGCHANNELBINDING: channel_binding is not supported: use sslmode=verify-full to authenticate the server',
      ],
    ],
    [
      [],
      {},
      { PGHOST: 'one,two', PGPORT: '99999', PGCONNECT_TIMEOUT: '5s', PGSSLMODE: 'on' },
      [
        'PGHOST: host: several hosts are not supported; set the one to monitor',
        'PGPORT: port: found "99999", expected a number from 1 to 65535',
        'PGCONNECT_TIMEOUT: connect_timeout: found "5s", expected whole seconds; durations with a unit belong in praefect.database.connect-timeout',
        'PGSSLMODE: sslmode: found "on", expected one of disable, allow, prefer, require, verify-ca, verify-full',
      ],
    ],
    [
      [url, '--praefect.database.password-file=/gone'],
      {},
      {},
      ['praefect.database.password-file /gone does not exist'],
    ],
    [
      [url, '--praefect.database.password-file=/empty'],
      { '/empty': '\n' },
      {},
      ['praefect.database.password-file /empty is empty'],
    ],
    [
      [url, '--praefect.database.passfile=/pp'],
      { '/pp': { text: 'x:*:*:*:SENTINEL', mode: 0o600 } },
      {},
      ['the passfile /pp has no line that matches db:5433:praefect:reader'],
    ],
  ])('%j %j %j', async (args, files, env, expected) => {
    expect(await connection(args, files, env)).toEqual(expected);
  });

  test('PG* variables that only psql uses are ignored', async () => {
    expect(
      await connection([url], {}, { PGSERVICE: '', PGTZ: 'UTC', PGAPPNAME: 'x', PGOPTIONS: '' }),
    ).toMatchObject({ host: 'db' });
  });

  test('without a database the PG* variables are not checked', async () => {
    expect(await connection([], {}, { PGCHANNELBINDING: 'require' })).toBeUndefined();
  });
});

describe('configured storages', () => {
  const storages = async (args: string[]) => {
    const sources = await read(args, withToml);
    return (
      sources.ok &&
      sources.value.configuredStorages?.map(({ name, storages }) => `${name}: ${storages.join(' ')}`)
    );
  };

  test('come from praefect.virtual-storage, else from Praefect, else are undefined', async () => {
    expect(await storages([configFile, '--praefect.virtual-storage=mine=a,b'])).toEqual(['mine: a b']);
    expect(await storages([configFile])).toEqual(['default: gitaly-1 gitaly-2 gitaly-3']);
    expect(await storages([url])).toBeUndefined();
  });
});

test('connect-timeout takes precedence over the connect_timeout of the address', async () => {
  const long = '--praefect.database.url=postgres://u@db/d?connect_timeout=20';
  expect(await connection([long])).toMatchObject({ connectTimeoutMs: 20_000 });
  expect(await connection([long, '--praefect.database.connect-timeout=2s'])).toMatchObject({
    connectTimeoutMs: 2000,
  });
  expect(await connection(['--praefect.database.url=postgres://u@db/d?connect_timeout=0'])).toMatchObject({
    connectTimeoutMs: 10_000,
  });
});
