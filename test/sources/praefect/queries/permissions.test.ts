/**
 * Least privilege: each query needs SELECT on the tables that it names, and a missing privilege affects only
 * that query.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { Secret } from '../../../../src/lib/secret.ts';
import {
  loadCapture,
  praefectCapture,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { blockOf, type CollectorName, collectorNames, only, openCollectors, samplesIn } from './support.ts';

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    server = await startPostgres({ version });
    database = await server.createDatabase();
    client = await database.client();
    // 13.5 with the sql elector: its collectors read the most tables.
    await loadCapture(client, praefectCapture('13.5/01-healthy'), 'now');
    await client.query("CREATE ROLE reader LOGIN PASSWORD 'reader-password'");
  });
  afterAll(() => server.stop());
  afterEach(() => client.query('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader'));

  const tables = [
    'schema_migrations',
    'node_status',
    'shard_primaries',
    'replication_queue',
    'replication_queue_job_lock',
    'repositories',
  ];

  /** The failures of all collectors, with SELECT on all these tables except one. */
  async function failuresWithout(missing: string): Promise<Partial<Record<CollectorName, string>>> {
    await client.query(`
      GRANT SELECT ON ${tables.filter((table) => table !== missing).join(', ')} TO reader;
      GRANT SELECT ON SEQUENCE replication_queue_id_seq TO reader;
      ${missing === 'the sequence' ? 'REVOKE ALL ON SEQUENCE replication_queue_id_seq FROM reader' : ''}`);
    const collectors = openCollectors({
      ...database.connection,
      user: 'reader',
      password: async () => new Secret('reader-password'),
    });
    const failures: Partial<Record<CollectorName, string>> = {};
    for (const name of collectorNames) {
      const outcome = await collectors.run(name);
      if (outcome.kind === 'failed') failures[name] = `${outcome.reason}: ${outcome.message}`;
    }
    await collectors.close();
    return failures;
  }

  test('row-level security that would hide rows is a failure, and not a table with fewer rows', async () => {
    await client.query(`
      ALTER TABLE node_status ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON node_status USING (shard_name <> 'default')`);
    try {
      const failures = await failuresWithout('none of them');
      expect(Object.keys(failures)).toEqual(['praefect_health']);
      expect(failures.praefect_health).toMatch(
        /^permission: .*row-level security would hide rows from user "reader".* Fix: ALTER TABLE \.\.\. DISABLE ROW LEVEL SECURITY/,
      );
    } finally {
      await client.query(
        'ALTER TABLE node_status DISABLE ROW LEVEL SECURITY; DROP POLICY own ON node_status',
      );
    }
  });

  const naming = (what: string) => expect.stringMatching(new RegExp(`^permission: .*${what}`));

  test('SELECT on six tables and the sequence is all that the collectors need', async () => {
    expect(await failuresWithout('nothing')).toEqual({});
  });

  test.each<[string, CollectorName]>([
    ['schema_migrations', 'praefect_database'],
    ['node_status', 'praefect_health'],
    ['shard_primaries', 'praefect_shard_primaries'],
    ['replication_queue', 'praefect_queue'],
    ['replication_queue_job_lock', 'praefect_queue'],
  ])('without %s only %s fails, and names it', async (table, collector) => {
    expect(await failuresWithout(table)).toEqual({ [collector]: naming(table) });
  });

  test('without repositories only praefect_shard_primaries fails, as the elector is unknown', async () => {
    expect(await failuresWithout('repositories')).toEqual({
      praefect_shard_primaries: naming('repositories'),
    });
  });

  test.each(['13.5/01-healthy', '14.9/01-healthy', '19/healthy/before'])(
    'with deploy/sql/role.sql on %s every collector succeeds, and no value is hidden',
    async (capture) => {
      const own = await server.createDatabase();
      const owner = await own.client();
      await loadCapture(owner, praefectCapture(capture), 'now');
      await owner.query(readFileSync(join(import.meta.dirname, '../../../../deploy/sql/role.sql'), 'utf8'));
      await owner.query("ALTER ROLE gitaly_exporter PASSWORD 'reader-password'");
      const collectors = openCollectors({
        ...own.connection,
        user: 'gitaly_exporter',
        password: async () => new Secret('reader-password'),
      });
      const samples = {};
      for (const name of collectorNames) {
        const outcome = await collectors.run(name);
        expect({ name, ...outcome }).not.toMatchObject({ kind: 'failed' });
        Object.assign(samples, samplesIn(blockOf(outcome)));
      }
      await collectors.close();
      expect(samples).toMatchObject({
        'praefect_db_connections{state="idle"}': expect.any(Number),
        'praefect_db_read_only{reason="setting"}': 0,
        praefect_db_longest_transaction_seconds: expect.any(Number),
        praefect_db_replication_jobs_enqueued_total: expect.any(Number),
      });
    },
  );

  test('without the sequence or the locks the queue is still reported', async () => {
    expect(await failuresWithout('the sequence')).toEqual({
      praefect_queue: naming("the sequence of replication_queue's ids"),
    });
    await client.query('REVOKE SELECT ON replication_queue_job_lock FROM reader');
    const collectors = openCollectors({
      ...database.connection,
      user: 'reader',
      password: async () => new Secret('reader-password'),
    });
    await collectors.run('praefect_health');
    const samples = samplesIn(blockOf(await collectors.run('praefect_queue')));
    await collectors.close();
    expect(Object.keys(only(samples, 'praefect_db_replication_jobs{')).length).toBeGreaterThan(10);
    expect(only(samples, '_total')).toEqual({});
    expect(only(samples, 'lock_')).toEqual({});
    expect(Object.keys(only(samples, 'storage_unknown'))).toHaveLength(5);
  });
});
