/** Praefect's database as doctor sees it, on a real server: roles with too little, with too much, and the right one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { DatabaseConnection } from '../../src/config/database-connection.ts';
import { lookAtDatabase } from '../../src/doctor/database.ts';
import type { Finding } from '../../src/doctor/finding.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { praefectSchema, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts';

const roleSql = readFileSync(join(import.meta.dirname, '../../deploy/sql/role.sql'), 'utf8');

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

/** Praefect's tables in a database of their own, the exporter's role in it, and what else is wanted. */
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

const look = async (connection: DatabaseConnection): Promise<ReadonlyMap<string, Finding>> => {
  const { findings } = await lookAtDatabase(connection, systemClock, AbortSignal.timeout(20_000));
  return new Map(findings.map((finding) => [finding.check.id, finding]));
};

const statuses = (found: ReadonlyMap<string, Finding>): Readonly<Record<string, string>> =>
  Object.fromEntries([...found].map(([id, { status }]) => [id, status]));

test.each(['13.3', '19.0'])(
  'with the role of role.sql all is well on the schema of GitLab %s',
  async (schema) => {
    const found = await look(asExporter(await database(schema)));
    expect(statuses(found)).toEqual({
      database_reachable: 'pass',
      database_tls: 'pass',
      database_schema: 'pass',
      database_tables: 'pass',
      database_sequence: 'pass',
      database_statistics: 'pass',
      database_least_rights: 'pass',
    });
    expect(found.get('database_reachable')?.found).toMatch(/^PostgreSQL 18\.\d+, 127\.0\.0\.1:\d+\//);
    expect(found.get('database_schema')?.found).toBe(`the form of GitLab ${schema}`);
  },
);

test('a table that may not be read is named, with its grant, and that mends it', async () => {
  const place = await database('19.0', 'REVOKE SELECT ON repositories, node_status FROM gitaly_exporter');
  const before = (await look(asExporter(place))).get('database_tables');
  expect(before).toMatchObject({ status: 'fail', found: 'may not read node_status, repositories' });
  const sql = before?.mend.find(({ kind }) => kind === 'sql')?.text ?? '';
  expect(sql).toBe('GRANT SELECT ON node_status, repositories TO gitaly_exporter;');
  await (await place.client()).query(sql);
  expect((await look(asExporter(place))).get('database_tables')?.status).toBe('pass');
});

test('what is absent without the sequence and the statistics is said, and is no failure', async () => {
  const place = await database(
    '19.0',
    'REVOKE SELECT ON replication_queue_id_seq FROM gitaly_exporter; REVOKE pg_read_all_stats FROM gitaly_exporter',
  );
  const found = await look(asExporter(place));
  expect(found.get('database_sequence')).toMatchObject({
    status: 'warn',
    found: expect.stringContaining('may not read'),
  });
  expect(found.get('database_statistics')).toMatchObject({ status: 'warn' });
  await (await place.client()).query('GRANT pg_read_all_stats TO gitaly_exporter');
});

describe('rights that are not needed are a warning', () => {
  test('a superuser', async () => {
    const place = await database('19.0');
    const found = await look(place.connection);
    expect(found.get('database_least_rights')).toMatchObject({
      status: 'warn',
      found: expect.stringContaining('"postgres" is a superuser'),
      mend: [{ kind: 'do', text: expect.stringContaining('role.sql') }],
    });
    expect(found.get('database_tables')?.status).toBe('pass');
  });

  test('writing, and a strong role; what is said to mend it does', async () => {
    const place = await database(
      '19.0',
      'GRANT INSERT, DELETE ON replication_queue TO gitaly_exporter; GRANT pg_signal_backend TO gitaly_exporter; ALTER ROLE gitaly_exporter CREATEDB',
    );
    const before = (await look(asExporter(place))).get('database_least_rights');
    expect(before).toMatchObject({ status: 'warn' });
    expect(before?.found).toContain('may create databases');
    expect(before?.found).toContain('is a member of pg_signal_backend');
    expect(before?.found).toContain('may write to replication_queue');
    const sql = before?.mend.find(({ kind }) => kind === 'sql')?.text ?? '';
    await (await place.client()).query(sql);
    expect((await look(asExporter(place))).get('database_least_rights')?.status).toBe('pass');
  });

  test("Praefect's own role, which owns the tables", async () => {
    const place = await database('19.0', "ALTER ROLE praefect PASSWORD 'of praefect'");
    const found = await look({
      ...place.connection,
      user: 'praefect',
      password: async () => new Secret('of praefect'),
    });
    expect(found.get('database_least_rights')?.found).toContain('may write to node_status');
  });
});

describe('what stands in the way is one finding, and the rest is left out', () => {
  test('nothing listens there', async () => {
    const found = await look({ ...(await database('19.0')).connection, port: 1 });
    expect(statuses(found)).toEqual({ database_reachable: 'fail' });
    expect(found.get('database_reachable')?.found).toContain('127.0.0.1:1/');
  });

  test('the password is wrong, and is not shown', async () => {
    const found = await look({
      ...asExporter(await database('19.0')),
      password: async () => new Secret('hunter2'),
    });
    expect(found.get('database_reachable')).toMatchObject({ status: 'fail' });
    expect(found.get('database_reachable')?.mend[0]?.text).toContain('check the user and the password');
    expect(JSON.stringify([...found])).not.toContain('hunter2');
  });

  test("a database without Praefect's tables", async () => {
    const found = await look((await server.createDatabase()).connection);
    expect(statuses(found)).toEqual({
      database_reachable: 'pass',
      database_tls: 'pass',
      database_schema: 'fail',
    });
  });

  test('a server that hangs, until the signal aborts', async () => {
    const place = await database('19.0');
    server.pause();
    try {
      const { findings } = await lookAtDatabase(place.connection, systemClock, AbortSignal.timeout(200));
      expect(findings).toMatchObject([{ status: 'fail', check: { id: 'database_reachable' } }]);
    } finally {
      server.resume();
    }
  });
});

test('what the checks need is told beside: the version, and who is alive', async () => {
  const place = await database('19.0');
  await (await place.client()).query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    VALUES ('p1', 'default', 'g1', now(), now()), ('p1', 'default', 'g2', now(), now()),
           ('p2', 'default', 'g1', now() - interval '10 seconds', now()),
           ('gone', 'default', 'g1', now() - interval '2 minutes', now())`);
  const { postgresqlVersion, livePraefects } = await lookAtDatabase(
    asExporter(place),
    systemClock,
    AbortSignal.timeout(20_000),
  );
  expect(postgresqlVersion).toMatch(/^18\.\d+$/);
  expect(livePraefects).toBe(2);
});
