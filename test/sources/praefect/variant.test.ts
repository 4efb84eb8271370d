import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { isFailure } from '../../../src/sources/praefect/query.ts';
import { variantSql } from '../../../src/sources/praefect/relations.ts';
import { releasesOfVariant, type SchemaVariant, variantOf } from '../../../src/sources/praefect/variant.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../support/postgres.ts';
import { schemaVersions } from './queries/support.ts';

const detect = async (client: pg.Client) => variantOf((await client.query(variantSql)).rows);

const variantIn = async (client: pg.Client): Promise<SchemaVariant> => {
  const found = await detect(client);
  if (isFailure(found)) throw new Error(found.message);
  return found;
};

/** The features of each variant, written by hand from the README of the schemas. */
const expected: Record<
  (typeof schemaVersions)[number],
  readonly [name: string, features: string, rule: SchemaVariant['validPrimaries'], finalStates: string]
> = {
  '13.3': ['13.3', '', 'none', 'completed dead'],
  '13.4': ['13.3', '', 'none', 'completed dead'],
  '13.5': ['13.5', 'primary', 'none', 'dead'],
  '13.6': ['13.6', 'primary', 'none', 'dead'],
  '13.7': ['13.7', 'primary assignments', 'none', 'dead'],
  '13.8': ['13.8', 'primary assignments', 'none', 'dead'],
  '13.10': ['13.8', 'primary assignments', 'none', 'dead'],
  '14.0': ['14.0', 'primary assignments', 'by_path_highest', 'dead'],
  '14.3': ['14.3', 'primary assignments replicaPath', 'by_path_highest', 'dead'],
  '14.4': ['14.4', 'primary assignments replicaPath', 'by_path_highest', 'dead'],
  '14.5': ['14.5', 'primary assignments replicaPath', 'by_id', ''],
  '14.6': ['14.6', 'primary assignments replicaPath idNotNull', 'by_id', ''],
  '14.8': ['14.6', 'primary assignments replicaPath idNotNull', 'by_id', ''],
  '14.9': ['14.6', 'primary assignments replicaPath idNotNull', 'by_id', ''],
  '14.10': ['14.10', 'primary assignments replicaPath idNotNull verification', 'by_id', ''],
  '15.0': ['15.0', 'primary assignments replicaPath idNotNull verification', 'by_id', ''],
  '15.1': ['15.0', 'primary assignments replicaPath idNotNull verification', 'by_id', ''],
  '16.7': ['15.0', 'primary assignments replicaPath idNotNull verification', 'by_id', ''],
  '17.2': ['15.0', 'primary assignments replicaPath idNotNull verification', 'by_id', ''],
  '19.0': ['19.0', 'primary assignments replicaPath idNotNull verification writeLocks', 'by_id', ''],
};

const featuresOf = (variant: SchemaVariant): string =>
  Object.entries({
    primary: variant.repositories.primary,
    assignments: variant.assignments,
    replicaPath: variant.repositories.replicaPath,
    idNotNull: variant.storageRepositories.repositoryIdNotNull,
    verification: variant.storageRepositories.verification,
    writeLocks: variant.tables.has('repository_reference_write_locks'),
  })
    .filter(([, present]) => present)
    .map(([name]) => name)
    .join(' ');

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    server = await startPostgres({ version });
    database = await server.createDatabase();
    client = await database.client();
  });
  afterAll(() => server.stop());

  /** Replaces the current content: a hundred times faster than a new database each time. */
  const load = (sql: string) =>
    client.query(`
      RESET ROLE;
      DROP SCHEMA IF EXISTS public, praefect, other, postgres, "it's ""odd"" \\ " CASCADE;
      CREATE SCHEMA public;
      GRANT USAGE ON SCHEMA public TO public;
      ${sql};
      RESET ALL`);

  test.each(schemaVersions)(
    'the schema of GitLab %s is detected by its tables and columns',
    async (gitlab) => {
      await load(praefectSchema(gitlab));
      const variant = await variantIn(client);
      const [name, features, validPrimaries, finalStates] = expected[gitlab];
      expect({
        name: variant.name,
        features: featuresOf(variant),
        validPrimaries: variant.validPrimaries,
        finalStates: variant.finalStates.join(' '),
      }).toEqual({ name, features, validPrimaries, finalStates });
      expect(Object.isFrozen(variant)).toBe(true);
    },
  );

  test.each(['12.9', '12.10', '13.0', '13.1', '13.2'])('%s is too old', async (gitlab) => {
    await load(praefectSchema(gitlab));
    expect(await detect(client)).toEqual({
      reason: 'unsupported_schema',
      message: `database "${database.name}" has the tables of a Praefect older than 13.3, which this build does not support: upgrade Praefect`,
    });
  });

  test('a database without any of the tables is reported as the wrong database', async () => {
    await load('CREATE TABLE public.projects (id int)');
    expect(await detect(client)).toMatchObject({
      reason: 'missing_schema',
      message: expect.stringContaining("has none of Praefect's tables"),
    });
  });

  test('tables in a schema outside the search_path are found, regardless of its name', async () => {
    await load(`${praefectSchema('17.2')}; ALTER SCHEMA public RENAME TO praefect`);
    expect((await variantIn(client)).relation('node_status')).toBe('"praefect".node_status');
    await load(`${praefectSchema('17.2')}; ALTER SCHEMA public RENAME TO "it's ""odd"" \\ "`);
    const { relation } = await variantIn(client);
    expect((await client.query(`SELECT count(*) AS rows FROM ${relation('node_status')}`)).rows).toEqual([
      { rows: '0' },
    ]);
  });

  test('of several schemas the first in the search_path is used, and without one the message names the fix', async () => {
    await load(
      `CREATE SCHEMA praefect; ${praefectSchema('14.9').replaceAll('public.', 'praefect.')}; ${praefectSchema('17.2')}`,
    );
    expect(await variantIn(client)).toMatchObject({ name: '15.0' });
    await client.query('ALTER SCHEMA public RENAME TO other');
    expect(await detect(client)).toEqual({
      reason: 'missing_schema',
      message: `several schemas of database "${database.name}" have Praefect's tables ("other", "praefect"), and none of them is in the search_path ("$user", public): ALTER ROLE "postgres" SET search_path = the one to monitor`,
    });
    await client.query('ALTER SCHEMA praefect RENAME TO postgres');
    expect(await variantIn(client)).toMatchObject({ name: '14.6' });
  });

  test("a table that another role created next to Praefect's is not read", async () => {
    await load(praefectSchema('17.2'));
    await client.query(`
      CREATE ROLE owner_of_17; CREATE ROLE intruder; GRANT CREATE ON SCHEMA public TO intruder;
      DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
          EXECUTE format('ALTER TABLE public.%I OWNER TO owner_of_17', name);
        END LOOP;
      END $$;
      SET ROLE intruder; CREATE TABLE public.repository_reference_write_locks (expired_at timestamptz); RESET ROLE`);
    const found = await variantIn(client);
    expect({ name: found.name, tables: [...found.tables] }).toMatchObject({ name: '15.0' });
    expect(found.tables).not.toContain('repository_reference_write_locks');
  });

  test('a role without USAGE on the schema is a missing permission', async () => {
    await load(`${praefectSchema('17.2')}; REVOKE USAGE ON SCHEMA public FROM public`);
    await client.query('CREATE ROLE stranger; SET ROLE stranger');
    expect(await detect(client)).toEqual({
      reason: 'permission',
      message: `role "stranger" may not use schema "public" of database "${database.name}": GRANT USAGE ON SCHEMA "public" TO "stranger"`,
    });
  });

  test('a variant without a column that all known ones have is unsupported, and the column is named', async () => {
    await load(
      `${praefectSchema('17.2')}; ALTER TABLE public.replication_queue RENAME COLUMN job TO payload`,
    );
    expect(await detect(client)).toMatchObject({
      reason: 'unsupported_schema',
      message: expect.stringContaining('lacks replication_queue.job,'),
    });
  });

  test('a migration in progress is detected by the tables that exist already', async () => {
    await load(
      `${praefectSchema('14.0')}; ALTER TABLE public.repositories ADD COLUMN repository_id bigserial`,
    );
    expect(await variantIn(client)).toMatchObject({
      name: '14.3',
      repositories: { replicaPath: false },
      validPrimaries: 'by_path_highest',
    });
  });

  test('a newer Praefect with more tables and columns is detected as the newest known variant', async () => {
    await load(
      `${praefectSchema('19.0')}; ALTER TABLE public.repositories ADD COLUMN size bigint; CREATE TABLE public.partitions (id bigint)`,
    );
    expect((await variantIn(client)).name).toBe('19.0');
  });

  describe('the fingerprint', () => {
    test.each([
      'ANALYZE',
      'VACUUM FULL public.repositories',
      'CREATE INDEX ON public.repositories ("primary")',
      'GRANT SELECT ON public.repositories TO public',
    ])('is unchanged by %s', async (sql) => {
      await load(praefectSchema('19.0'));
      const before = await variantIn(client);
      await client.query(sql);
      expect((await variantIn(client)).fingerprint).toBe(before.fingerprint);
    });

    test.each([
      'ALTER TABLE public.repositories ADD COLUMN size bigint',
      'ALTER TABLE public.storage_repositories DROP COLUMN verified_at',
      'ALTER TABLE public.storage_repositories ALTER COLUMN generation DROP NOT NULL',
      'DROP TABLE public.repository_reference_write_locks',
      'CREATE OR REPLACE VIEW public.healthy_storages AS SELECT shard_name AS virtual_storage, node_name AS storage FROM public.node_status',
      'CREATE TABLE public.other (LIKE public.storage_cleanups); DROP TABLE public.storage_cleanups; ALTER TABLE public.other RENAME TO storage_cleanups',
    ])('is changed by %s', async (sql) => {
      await load(praefectSchema('19.0'));
      const before = await variantIn(client);
      await client.query(sql);
      expect((await variantIn(client)).fingerprint).not.toBe(before.fingerprint);
    });

    test('differs between two databases with one schema', async () => {
      await load(praefectSchema('19.0'));
      const other = await (await server.createDatabase(praefectSchema('19.0'))).client();
      expect((await variantIn(other)).fingerprint).not.toBe((await variantIn(client)).fingerprint);
    });
  });

  test('the schema is read while a migration has exclusive locks on the tables', async () => {
    await load(praefectSchema('14.9'));
    const migration = await database.client();
    await migration.query(
      'BEGIN; LOCK public.repositories, public.storage_repositories, public.replication_queue',
    );
    await client.query('SET lock_timeout = 100');
    expect(await variantIn(client)).toMatchObject({ name: '14.6' });
    await migration.query('ROLLBACK');
  });
});

test('a variant names the releases that have its schema', () => {
  expect(releasesOfVariant('15.0')).toEqual({ from: '15.0', before: '19.0' });
  expect(releasesOfVariant('19.0')).toEqual({ from: '19.0', before: undefined });
  expect(releasesOfVariant('')).toBeUndefined();
  expect(releasesOfVariant('constructor')).toBeUndefined();
});
