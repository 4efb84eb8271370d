/** deploy/sql/role.sql: what the exporter's role may read, and what it may not do. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { Secret } from '../../../../src/lib/secret.ts';
import { praefectTables, praefectViews } from '../../../../src/sources/praefect/relations.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { failureIn, type Opened, open, valueIn, within } from './support.ts';

const sql = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../../../deploy/sql', name), 'utf8');
const setPassword = "ALTER ROLE gitaly_exporter PASSWORD 'of the exporter'";

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server?.stop());

  const clients: pg.Client[] = [];
  const databases: Opened[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end();
    for (const database of databases.splice(0)) await database.close();
  });

  async function connectAs(place: TestDatabase, user: string, password: string): Promise<pg.Client> {
    const client = new pg.Client({ ...place.connection, user, password, ssl: false });
    await client.connect();
    clients.push(client);
    return client;
  }

  /** A database whose tables belong to `praefect`, as in GitLab's documentation, with the role created in it. */
  async function praefectDatabase(schema: string): Promise<TestDatabase & { readonly admin: pg.Client }> {
    const place = await server.createDatabase();
    const admin = await place.client();
    await admin.query(`
      DO $$ BEGIN CREATE ROLE praefect LOGIN CREATEROLE PASSWORD 'of praefect'; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
      GRANT ALL ON DATABASE ${place.name} TO praefect;
      GRANT ALL ON SCHEMA public TO praefect;
      SET ROLE praefect`);
    await admin.query(`${praefectSchema(schema)}; RESET ALL; RESET ROLE`);
    await admin.query(sql('role.sql'));
    await admin.query(setPassword);
    return { ...place, admin };
  }

  const asExporter = (place: TestDatabase): Opened => {
    const database = open({
      ...place.connection,
      user: 'gitaly_exporter',
      password: async () => new Secret('of the exporter'),
    });
    databases.push(database);
    return database;
  };

  test.each(['13.3', '14.5', '19.0'])(
    'the role reads every existing table and view of GitLab %s',
    async (schema) => {
      const place = await praefectDatabase(schema);
      const { rows } = await place.admin.query<{ name: string }>(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')",
      );
      const existing = rows.map(({ name }) => name);
      const wanted = [...praefectTables, ...praefectViews].filter((name) => existing.includes(name));
      expect(wanted.length).toBeGreaterThan(7);
      const database = asExporter(place);
      for (const name of wanted)
        expect(valueIn(await database.query(`SELECT * FROM public.${name}`, within(5000)))).toEqual([]);
      expect(
        valueIn(await database.query('SELECT last_value FROM public.replication_queue_id_seq', within(5000))),
      ).toEqual([{ last_value: '1' }]);
      // A table that the exporter does not read is not granted.
      expect(failureIn(await database.query('SELECT * FROM public.hello_world', within(5000)))).toMatchObject(
        {
          reason: 'permission',
          message: expect.stringContaining('may not read table "hello_world"'),
        },
      );
    },
  );

  test('a second run of role.sql changes nothing', async () => {
    const { admin } = await praefectDatabase('14.5');
    const state = `
      SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
      UNION ALL SELECT 'role', r.rolconnlimit::text || s.setconfig::text
        FROM pg_roles r JOIN pg_db_role_setting s ON s.setrole = r.oid WHERE rolname = 'gitaly_exporter'
      UNION ALL SELECT 'future', defaclacl::text FROM pg_default_acl ORDER BY 1, 2`;
    const before = (await admin.query(state)).rows;
    expect(before.filter(({ relname }) => relname === 'future')).toHaveLength(2);
    await admin.query(sql('role.sql'));
    expect((await admin.query(state)).rows).toEqual(before);
  });

  test('tables and recreated views of a later migration are readable immediately', async () => {
    const place = await praefectDatabase('14.4');
    const owner = await connectAs(place, 'praefect', 'of praefect');
    await owner.query(`
      CREATE TABLE repository_reference_write_locks (lock_id text);
      DROP VIEW valid_primaries; CREATE VIEW valid_primaries AS SELECT 1 AS repository_id`);
    const database = asExporter(place);
    valueIn(await database.query('SELECT * FROM public.repository_reference_write_locks', within(5000)));
    valueIn(await database.query('SELECT * FROM public.valid_primaries', within(5000)));
  });

  test('the role cannot write, create, or read anything else, even without a read-only transaction', async () => {
    const place = await praefectDatabase('19.0');
    await place.admin.query('CREATE SCHEMA secrets; CREATE TABLE secrets.keys (k text)');
    const exporter = await connectAs(place, 'gitaly_exporter', 'of the exporter');
    for (const statement of [
      'DELETE FROM public.replication_queue',
      'UPDATE public.repositories SET generation = 0',
      "INSERT INTO virtual_storages VALUES ('x')",
      'TRUNCATE node_status',
      'DO $$ BEGIN LOCK TABLE repositories IN EXCLUSIVE MODE; END $$',
      "SELECT nextval('replication_queue_id_seq')",
      'SELECT * FROM public.repositories FOR UPDATE',
      'DROP VIEW valid_primaries',
      'CREATE TABLE public.mine (a int)',
      'CREATE SCHEMA mine',
      'CREATE ROLE mine',
      'SELECT * FROM secrets.keys',
      'SELECT * FROM pg_authid',
      "SELECT pg_read_file('postgresql.conf')",
      "COPY repositories TO PROGRAM 'cat'",
      'SELECT pg_reload_conf()',
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    ])
      await expect(exporter.query(statement)).rejects.toMatchObject({ code: '42501' });
  });

  test("the role's time and connection limits hold without the exporter", async () => {
    const place = await praefectDatabase('19.0');
    const exporter = await connectAs(place, 'gitaly_exporter', 'of the exporter');
    const { rows } = await exporter.query(
      `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
              current_setting('idle_in_transaction_session_timeout') AS idle,
              pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all,
              (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') AS read_only_from`,
    );
    expect(rows).toEqual([
      { statement: '1min', lock: '2s', idle: '1min', sees_all: true, read_only_from: 'default' },
    ]);
    for (let n = 1; n < 5; n += 1) await connectAs(place, 'gitaly_exporter', 'of the exporter');
    await expect(connectAs(place, 'gitaly_exporter', 'of the exporter')).rejects.toMatchObject({
      code: '53300',
    });
  });

  test('tables in a schema of another name are found without configuration', async () => {
    const place = await server.createDatabase(`
      CREATE SCHEMA gitaly;
      CREATE TABLE gitaly.replication_queue (id bigserial PRIMARY KEY);
      CREATE TABLE gitaly.repositories (virtual_storage text);
      ${sql('role.sql')}; ${setPassword}`);
    expect(valueIn(await asExporter(place).query('SELECT * FROM gitaly.repositories', within(5000)))).toEqual(
      [],
    );
  });

  test("role.sql run by Praefect's own role does what that role may do, and reports the rest", async () => {
    const place = await server.createDatabase();
    const admin = await place.client();
    await admin.query(`
      CREATE ROLE owner_of_all LOGIN CREATEROLE PASSWORD 'x';
      ALTER DATABASE ${place.name} OWNER TO owner_of_all; GRANT ALL ON SCHEMA public TO owner_of_all`);
    const name = `exporter_of_${place.name}`;
    const owner = await connectAs(place, 'owner_of_all', 'x');
    await owner.query(`${praefectSchema('19.0')}; RESET ALL`);
    const notices: string[] = [];
    owner.on('notice', (notice) => notices.push(notice.message ?? ''));
    await owner.query(sql('role.sql').replaceAll('gitaly_exporter', name));
    // Up to PostgreSQL 15 a role with CREATEROLE can grant any role except a superuser's.
    expect(notices.filter((notice) => notice.includes('pg_read_all_stats was not granted'))).toHaveLength(
      version >= 16 ? 1 : 0,
    );
    await owner.query(`ALTER ROLE ${name} PASSWORD 'of the exporter'`);
    const exporter = await connectAs(place, name, 'of the exporter');
    expect((await exporter.query('SELECT * FROM repositories')).rows).toEqual([]);
  });

  test('in a database without Praefect role.sql fails and changes nothing', async () => {
    const place = await server.createDatabase();
    const client = await place.client();
    await expect(client.query(sql('role.sql').replaceAll('gitaly_exporter', 'absent'))).rejects.toThrow(
      `there is no table replication_queue in database ${place.name}`,
    );
    await client.query('ROLLBACK');
    expect((await client.query("SELECT FROM pg_roles WHERE rolname = 'absent'")).rows).toEqual([]);
  });

  test('the statements of docs/database-access.md run', async () => {
    const place = await praefectDatabase('19.0');
    const text = readFileSync(join(import.meta.dirname, '../../../../docs/database-access.md'), 'utf8');
    const statements = [...text.matchAll(/`((?:GRANT|REVOKE|ALTER) [^`]*)`/g)].map(([, statement]) =>
      statement!.replaceAll(/\s+/g, ' ').replace('DATABASE ...', `DATABASE ${place.name}`),
    );
    expect(statements).toHaveLength(3);
    await place.admin.query('BEGIN');
    for (const statement of statements) await place.admin.query(statement);
    await place.admin.query('ROLLBACK');
  });

  test('drop-role.sql removes everything', async () => {
    const place = await server.createDatabase(praefectSchema('19.0'));
    const renamed = (name: string): string => sql(name).replaceAll('gitaly_exporter', 'short_lived');
    const client = await place.client();
    await client.query(renamed('role.sql'));
    await client.query(renamed('drop-role.sql'));
    await client.query(renamed('drop-role.sql'));
    expect((await client.query("SELECT FROM pg_roles WHERE rolname = 'short_lived'")).rows).toEqual([]);
  });
});
