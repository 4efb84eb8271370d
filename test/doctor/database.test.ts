/** Doctor's checks of Praefect's database, on a real server: roles with missing, excess and the right privileges. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { DatabaseConnection } from '../../src/config/database-connection.ts';
import { checkDatabase } from '../../src/doctor/database.ts';
import type { DoctorFinding } from '../../src/doctor/finding.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { defaultThresholds } from '../../src/rules/thresholds.ts';
import { praefectSchema, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts';

const roleSql = readFileSync(join(import.meta.dirname, '../../deploy/sql/role.sql'), 'utf8');

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

/** A database with Praefect's tables, the exporter's role, and the statements in `more`. */
async function database(schema: string, more = ''): Promise<TestDatabase> {
  const place = await server.createDatabase();
  const admin = await place.client();
  await admin.query(
    `DO $$ BEGIN CREATE ROLE praefect LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  );
  await admin.query(
    `GRANT ALL ON DATABASE ${place.name} TO praefect; GRANT ALL ON SCHEMA public TO praefect; SET ROLE praefect`,
  );
  await admin.query(`${praefectSchema(schema)}; RESET ALL; RESET ROLE`);
  await admin.query(roleSql);
  await admin.query(`ALTER ROLE gitaly_exporter PASSWORD 'of the exporter'; ${more}`);
  return place;
}

const asExporter = (place: TestDatabase): DatabaseConnection => ({
  ...place.connection,
  user: 'gitaly_exporter',
  password: async () => new Secret('of the exporter'),
});

const check = async (connection: DatabaseConnection): Promise<ReadonlyMap<string, DoctorFinding>> => {
  const { findings } = await checkDatabase(connection, systemClock, AbortSignal.timeout(20_000));
  return new Map(findings.map((finding) => [finding.check.id, finding]));
};

const statuses = (found: ReadonlyMap<string, DoctorFinding>): Readonly<Record<string, string>> =>
  Object.fromEntries([...found].map(([id, { status }]) => [id, status]));

test.each(['13.3', '19.0'])(
  'every check passes with the role of role.sql on the schema of GitLab %s',
  async (schema) => {
    const found = await check(asExporter(await database(schema)));
    expect(statuses(found)).toEqual({
      database_reachable: 'pass',
      database_tls: 'pass',
      database_primary: 'pass',
      database_schema: 'pass',
      database_tables: 'pass',
      database_sequence: 'pass',
      database_statistics: 'pass',
      database_least_rights: 'pass',
    });
    expect(found.get('database_reachable')?.detail).toMatch(/^PostgreSQL 18\.\d+, 127\.0\.0\.1:\d+\//);
    expect(found.get('database_schema')?.detail).toBe(`schema of GitLab ${schema}`);
  },
);

test('a clock that is hours off is a warning', async () => {
  const clock = { ...systemClock, now: () => Date.now() + 18_000_000 };
  const { findings } = await checkDatabase(
    asExporter(await database('19.0')),
    clock,
    AbortSignal.timeout(20_000),
  );
  expect(findings.find(({ check: { id } }) => id === 'database_primary')).toMatchObject({
    status: 'warn',
    detail: expect.stringMatching(/^its clock is (4 h 59 min|5 h) behind this host's$/),
  });
});

test('clocks are judged by the threshold of the alert on them', async () => {
  const clock = { ...systemClock, now: () => Date.now() + 18_000_000 };
  const thresholds = { clockSkew: { ...defaultThresholds.clockSkew, value: 20_000 } };
  const connection = asExporter(await database('19.0'));
  const { findings } = await checkDatabase(connection, clock, AbortSignal.timeout(20_000), thresholds);
  expect(findings.find(({ check: { id } }) => id === 'database_primary')).toMatchObject({ status: 'pass' });
});

test('a standby fails, and the fix is the address of the primary', async () => {
  const standby = await startPostgres();
  try {
    const place = await standby.createDatabase(praefectSchema('19.0'));
    await standby.becomeStandby();
    expect((await check(place.connection)).get('database_primary')).toMatchObject({
      status: 'fail',
      detail: 'the server is a standby (in recovery)',
      fixes: [{ text: expect.stringContaining('praefect.database.url') }],
    });
  } finally {
    await standby.stop();
  }
});

test('a table without SELECT is named, and the printed GRANT fixes it', async () => {
  const place = await database('19.0', 'REVOKE SELECT ON repositories, node_status FROM gitaly_exporter');
  const before = (await check(asExporter(place))).get('database_tables');
  expect(before).toMatchObject({ status: 'fail', detail: 'no SELECT on node_status, repositories' });
  const sql = before?.fixes.find(({ kind }) => kind === 'sql')?.text ?? '';
  expect(sql).toBe('GRANT SELECT ON node_status, repositories TO gitaly_exporter;');
  await (await place.client()).query(sql);
  expect((await check(asExporter(place))).get('database_tables')?.status).toBe('pass');
});

test('missing privileges on the sequence and the statistics are warnings', async () => {
  const place = await database(
    '19.0',
    'REVOKE SELECT ON replication_queue_id_seq FROM gitaly_exporter; REVOKE pg_read_all_stats FROM gitaly_exporter',
  );
  const found = await check(asExporter(place));
  expect(found.get('database_sequence')).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('no SELECT on'),
  });
  expect(found.get('database_statistics')).toMatchObject({ status: 'warn' });
  await (await place.client()).query('GRANT pg_read_all_stats TO gitaly_exporter');
});

describe('privileges that are not needed are a warning', () => {
  test('a superuser', async () => {
    const place = await database('19.0');
    const found = await check(place.connection);
    expect(found.get('database_least_rights')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('"postgres" is a superuser'),
      fixes: [{ kind: 'text', text: expect.stringContaining('role.sql') }],
    });
    expect(found.get('database_tables')?.status).toBe('pass');
  });

  test('write access and a strong role; the printed SQL fixes it', async () => {
    const place = await database(
      '19.0',
      'GRANT INSERT, DELETE ON replication_queue TO gitaly_exporter; GRANT pg_signal_backend TO gitaly_exporter; ALTER ROLE gitaly_exporter CREATEDB',
    );
    const before = (await check(asExporter(place))).get('database_least_rights');
    expect(before).toMatchObject({ status: 'warn' });
    expect(before?.detail).toContain('can create databases');
    expect(before?.detail).toContain('is a member of pg_signal_backend');
    expect(before?.detail).toContain('can write to replication_queue');
    const sql = before?.fixes.find(({ kind }) => kind === 'sql')?.text ?? '';
    await (await place.client()).query(sql);
    expect((await check(asExporter(place))).get('database_least_rights')?.status).toBe('pass');
  });

  test("Praefect's own role, which owns the tables", async () => {
    const place = await database('19.0', "ALTER ROLE praefect PASSWORD 'of praefect'");
    const found = await check({
      ...place.connection,
      user: 'praefect',
      password: async () => new Secret('of praefect'),
    });
    expect(found.get('database_least_rights')?.detail).toContain('can write to node_status');
  });
});

describe('a failure of access is one finding, and the checks that depend on it are omitted', () => {
  test('the connection is refused', async () => {
    const found = await check({ ...(await database('19.0')).connection, port: 1 });
    expect(statuses(found)).toEqual({ database_reachable: 'fail' });
    expect(found.get('database_reachable')?.detail).toContain('127.0.0.1:1/');
  });

  test('the password is wrong, and is not shown', async () => {
    const found = await check({
      ...asExporter(await database('19.0')),
      password: async () => new Secret('hunter2'),
    });
    expect(found.get('database_reachable')).toMatchObject({ status: 'fail' });
    expect(found.get('database_reachable')?.fixes[0]?.text).toContain('check the user and the password');
    expect(JSON.stringify([...found])).not.toContain('hunter2');
  });

  test("a database without Praefect's tables", async () => {
    const found = await check((await server.createDatabase()).connection);
    expect(statuses(found)).toEqual({
      database_reachable: 'pass',
      database_tls: 'pass',
      database_primary: 'pass',
      database_schema: 'fail',
    });
  });

  test('a server that hangs, until the signal aborts', async () => {
    const place = await database('19.0');
    server.pause();
    try {
      const { findings } = await checkDatabase(place.connection, systemClock, AbortSignal.timeout(200));
      expect(findings).toMatchObject([{ status: 'fail', check: { id: 'database_reachable' } }]);
    } finally {
      server.resume();
    }
  });
});

test('the report contains the versions of server and schema, and the number of live Praefects', async () => {
  const place = await database('19.0');
  await (await place.client()).query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    VALUES ('p1', 'default', 'g1', now(), now()), ('p1', 'default', 'g2', now(), now()),
           ('p2', 'default', 'g1', now() - interval '10 seconds', now()),
           ('gone', 'default', 'g1', now() - interval '2 minutes', now()),
           ('ahead', 'default', 'g1', now() + interval '7 years', now())`);
  const { postgresqlVersion, schemaVariant, livePraefects } = await checkDatabase(
    asExporter(place),
    systemClock,
    AbortSignal.timeout(20_000),
  );
  expect(postgresqlVersion).toMatch(/^18\.\d+$/);
  expect(schemaVariant).toBe('19.0');
  expect(livePraefects).toBe(2);
});
