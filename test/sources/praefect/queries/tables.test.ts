import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { only, openCollectors, type Samples } from './support.ts';

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server.stop());

  const rows = (samples: Samples, kind: 'live' | 'dead') =>
    samples[`praefect_db_table_${kind}_rows{table="replication_queue"}`];

  test("rows and sizes of Praefect's tables are reported, and of no others", async () => {
    const database = await server.createDatabase(
      `${praefectSchema('19.0')}; CREATE TABLE public.projects (id int); CREATE SCHEMA copy; CREATE TABLE copy.repositories (id int)`,
    );
    const client = await database.client();
    await client.query(`
      SET search_path TO public;
      ALTER TABLE replication_queue SET (autovacuum_enabled = off);
      INSERT INTO replication_queue (job) SELECT '{}' FROM generate_series(1, 1000);
      DELETE FROM replication_queue WHERE id <= 300`);
    await client.query('SELECT pg_stat_force_next_flush()');
    const collectors = openCollectors(database.connection);
    const samples = await collectors.samples('praefect_tables');

    expect(rows(samples, 'live')).toBe(700);
    expect(rows(samples, 'dead')).toBe(300);
    expect(samples['praefect_db_table_size_bytes{table="replication_queue"}']).toBeGreaterThan(40_000);
    expect(samples['praefect_db_transactions_to_wraparound']).toBeGreaterThan(2_000_000_000);
    expect(Object.keys(only(samples, 'size_bytes'))).toHaveLength(12);
    expect(only(samples, 'projects')).toEqual({});

    // A crash or a failover resets the statistics, but keeps the rows.
    await client.query('ANALYZE replication_queue');
    await client.query('SELECT pg_stat_reset()');
    expect(rows(await collectors.samples('praefect_tables'), 'live')).toBe(700);
    await collectors.close();
  });

  test('a table that the variant lacks has no samples', async () => {
    const collectors = openCollectors((await server.createDatabase(praefectSchema('13.5'))).connection);
    const samples = await collectors.samples('praefect_tables');
    expect(
      Object.keys(only(samples, 'size_bytes')).map((series) => /table="(.*)"/.exec(series)?.[1]),
    ).toEqual([
      'node_status',
      'replication_queue',
      'replication_queue_job_lock',
      'replication_queue_lock',
      'repositories',
      'schema_migrations',
      'shard_primaries',
      'storage_repositories',
    ]);
    await collectors.close();
  });
});
