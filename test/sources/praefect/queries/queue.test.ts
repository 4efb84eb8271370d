import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createDatabaseClock } from '../../../../src/sources/praefect/database-clock.ts';
import { healthOf } from '../../../../src/sources/praefect/health.ts';
import { knownStorages } from '../../../../src/sources/praefect/queries/known-storages.ts';
import {
  createRemovedCounter,
  queueBlock,
  queueSnapshot,
} from '../../../../src/sources/praefect/queries/queue.ts';
import { type QueueRows, queueSql } from '../../../../src/sources/praefect/queries/queue-rows.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { variantIn } from '../mirror/support.ts';
import { type OpenedCollectors, only, openCollectors, samplesIn } from './support.ts';

const enqueued = 'praefect_db_replication_jobs_enqueued_total';
const removed = 'praefect_db_replication_jobs_removed_total';
const jobs = (storage: string, state: string, change = 'update', virtualStorage = 'default') =>
  `praefect_db_replication_jobs{virtual_storage="${virtualStorage}",storage="${storage}",state="${state}",change="${change}"}`;
const stale = (storage: string, reason: string) =>
  `praefect_db_replication_stale_jobs{virtual_storage="default",storage="${storage}",reason="${reason}"}`;

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let client: pg.Client;
  let collectors: OpenedCollectors;
  beforeAll(async () => {
    // Far from UTC: the queue's timestamps are in UTC, without a time zone.
    server = await startPostgres({ version, config: ['timezone=Pacific/Auckland'] });
    database = await server.createDatabase(praefectSchema('19.0'));
    client = await database.client();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    collectors = openCollectors(database.connection);
    await client.query(`
      TRUNCATE replication_queue, replication_queue_lock, node_status RESTART IDENTITY CASCADE;
      INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
      SELECT 'p1', 'default', storage, now(), now() FROM unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage`);
  });
  afterEach(() => collectors.close());

  /** Enqueues as Praefect does: created_at has its default, in UTC. */
  const enqueue = (target: string, count = 1, state = 'ready', change = 'update') =>
    client.query(`
      INSERT INTO replication_queue (state, lock_id, job)
      SELECT '${state}', 'default|${target}|' || n, jsonb_build_object('change', '${change}',
             'virtual_storage', 'default', 'target_node_storage', '${target}', 'relative_path', n || '.git')
        FROM generate_series(1, ${count}) AS n`);
  /** Dequeues as Praefect does: with a row in each of the two lock tables. */
  const lock = (triggeredAt: string) =>
    client.query(`
      INSERT INTO replication_queue_lock (id, acquired)
      SELECT DISTINCT lock_id, true FROM replication_queue WHERE state = 'in_progress';
      INSERT INTO replication_queue_job_lock (job_id, lock_id, triggered_at)
      SELECT id, lock_id, ${triggeredAt} FROM replication_queue WHERE state = 'in_progress'`);
  const utc = (ago: string) => `(now() AT TIME ZONE 'UTC') - interval '${ago}'`;

  const read = async () => {
    await collectors.run('praefect_health');
    return collectors.samples('praefect_queue');
  };

  test('an empty queue reports 0 for each known target and state', async () => {
    const samples = await read();
    expect(only(samples, 'praefect_db_replication_jobs{')).toEqual({
      [jobs('gitaly-1', 'ready')]: 0,
      [jobs('gitaly-1', 'in_progress')]: 0,
      [jobs('gitaly-1', 'failed')]: 0,
      [jobs('gitaly-2', 'ready')]: 0,
      [jobs('gitaly-2', 'in_progress')]: 0,
      [jobs('gitaly-2', 'failed')]: 0,
    });
    expect(Object.values(only(samples, 'stale_jobs'))).toEqual([0, 0, 0, 0, 0, 0]);
    expect(only(samples, 'oldest')).toEqual({});
    expect(samples[enqueued]).toBe(0);
  });

  test('the timestamp of the oldest job is correct in any time zone of the server', async () => {
    await enqueue('gitaly-2');
    await client.query(`UPDATE replication_queue SET created_at = ${utc('90 seconds')}`);
    const expected = Date.now() / 1000 - 90;
    const samples = await read();
    const oldest =
      samples[
        'praefect_db_replication_oldest_job_timestamp_seconds{virtual_storage="default",storage="gitaly-2",state="ready"}'
      ];
    expect(Math.abs((oldest ?? 0) - expected)).toBeLessThan(5);
  });

  test('a job from the future is not the oldest, and when all jobs are, there is no oldest', async () => {
    await enqueue('gitaly-2', 2);
    await client.query(
      `UPDATE replication_queue SET created_at = ${utc('90 seconds')} + CASE WHEN id % 2 = 0 THEN interval '2 hours' ELSE interval '0' END`,
    );
    const oldest = Object.values(only(await read(), 'oldest'));
    expect(oldest).toHaveLength(1);
    expect(Math.abs((oldest[0] ?? 0) - (Date.now() / 1000 - 90))).toBeLessThan(5);
    for (const time of [utc('-2 hours'), "'infinity'"]) {
      await client.query(`UPDATE replication_queue SET created_at = ${time}`);
      expect(only(await read(), 'oldest')).toEqual({});
    }
  });

  test.each([
    ['59 seconds', 0],
    ['61 seconds', 3],
    ['103 seconds', 3],
    ['-1 seconds', 0],
    ['-2 hours', 3],
  ])('with locks refreshed %s ago %i jobs in progress have an expired lock', async (ago, expired) => {
    await enqueue('gitaly-2', 3, 'in_progress');
    await lock(utc(ago));
    expect(await read()).toMatchObject({
      [jobs('gitaly-2', 'in_progress')]: 3,
      [stale('gitaly-2', 'lock_expired')]: expired,
      [stale('gitaly-2', 'lock_missing')]: 0,
      [stale('gitaly-2', 'storage_unknown')]: 0,
    });
  });

  test('jobs in progress without a lock are counted separately', async () => {
    await enqueue('gitaly-2', 3, 'in_progress');
    await lock(utc('1 second'));
    await enqueue('gitaly-1', 2, 'in_progress');
    expect(await read()).toMatchObject({
      [stale('gitaly-2', 'lock_missing')]: 0,
      [stale('gitaly-1', 'lock_missing')]: 2,
    });
  });

  test('each unfinished job for a storage that no Praefect contacts counts once; dead jobs do not count', async () => {
    await enqueue('removed-1', 4);
    await enqueue('removed-1', 2, 'in_progress');
    await enqueue('removed-1', 1, 'dead');
    await lock(utc('500 seconds'));
    expect(await read()).toMatchObject({
      [stale('removed-1', 'storage_unknown')]: 6,
      [stale('removed-1', 'lock_expired')]: 0,
      [stale('removed-1', 'lock_missing')]: 0,
      [jobs('removed-1', 'dead')]: 1,
    });
  });

  test('other changes have a series once they occur, next to the zero of update', async () => {
    await enqueue('gitaly-2', 2, 'ready', 'delete_replica');
    expect(await read()).toMatchObject({
      [jobs('gitaly-2', 'ready', 'delete_replica')]: 2,
      [jobs('gitaly-2', 'ready')]: 0,
    });
  });

  test('a job without the usual keys is counted under empty names', async () => {
    await client.query("INSERT INTO replication_queue (job) VALUES ('{}'), (NULL)");
    expect((await read())[jobs('', 'ready', '', '')]).toBe(2);
  });

  describe('enqueued and removed', () => {
    test('are correct after a restart of the exporter, and include jobs that were added and removed between two reads', async () => {
      await enqueue('gitaly-2', 10);
      expect(await read()).toMatchObject({ [enqueued]: 10 });
      await client.query('DELETE FROM replication_queue WHERE id <= 4');
      expect(await read()).toMatchObject({ [enqueued]: 10, [removed]: 4 });
      await enqueue('gitaly-2', 5);
      await client.query('DELETE FROM replication_queue');
      expect(await read()).toMatchObject({ [enqueued]: 15, [removed]: 10 });
      expect(await read()).toMatchObject({ [enqueued]: 15, [removed]: 15 });

      const restarted = openCollectors(database.connection);
      expect(await restarted.samples('praefect_queue')).not.toHaveProperty(removed);
      expect(await restarted.samples('praefect_queue')).toMatchObject({ [enqueued]: 15, [removed]: 15 });
      await restarted.close();
    });

    test('do not decrease while an insert is not yet committed', async () => {
      await enqueue('gitaly-2', 2);
      await read();
      await read();
      await client.query('BEGIN');
      await enqueue('gitaly-2', 30);
      const during = await read();
      await client.query('COMMIT');
      const after = await read();
      const later = await read();
      expect([during, after, later].map((samples) => [samples[enqueued], samples[removed]])).toEqual([
        [32, 0],
        [32, 0],
        [32, 0],
      ]);
    });

    test('include the gap of a rolled-back insert', async () => {
      await read();
      await client.query('BEGIN');
      await enqueue('gitaly-2', 3);
      await client.query('ROLLBACK');
      await read();
      expect(await read()).toMatchObject({ [enqueued]: 3, [removed]: 3 });
    });

    test('start from the beginning with a restored database', async () => {
      await enqueue('gitaly-2', 20);
      await client.query('DELETE FROM replication_queue');
      await read();
      expect(await read()).toMatchObject({ [enqueued]: 20, [removed]: 20 });
      await client.query("SELECT setval('replication_queue_id_seq', 5)");
      expect(await read()).not.toHaveProperty(removed);
      expect(await read()).toMatchObject({ [enqueued]: 5, [removed]: 5 });
    });
  });

  test('a long queue is counted in memory and not sorted on disk', async () => {
    await client.query('SET session_replication_role = replica');
    await enqueue('gitaly-2', 20_000);
    await client.query('ANALYZE replication_queue');
    expect((await read())[jobs('gitaly-2', 'ready')]).toBe(20_000);
    const { rows } = await client.query(`EXPLAIN ${queueSql(await variantIn(client), 0)}`);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('HashAggregate');
    expect(plan).not.toContain('Sort');
    await client.query('RESET ALL');
  });
});

const job: QueueRows['jobs'][number] = {
  virtualStorage: 'default',
  storage: 'gitaly-1',
  state: 'in_progress',
  change: 'update',
  count: 1,
  settled: 0,
  oldestAt: 1,
};

describe('the counter of removed jobs', () => {
  const rows = (newestId: number | undefined, settled: number) => ({
    newestId,
    jobs: [{ ...job, settled }],
  });

  test('keeps its value while an insert takes longer than two reads, and continues from there', () => {
    const counter = createRemovedCounter();
    counter.after(rows(100, 0));
    expect(counter.settledId()).toBe(100);
    // IDs up to 100 are assigned, 30 of them by a transaction that is still open.
    expect(counter.after(rows(100, 0))).toBe(100);
    expect(counter.after(rows(100, 30))).toBe(100);
    expect(counter.after(rows(140, 30))).toBe(100);
    expect(counter.after(rows(140, 30))).toBe(110);
  });

  test('has no value where the sequence is unreadable', () => {
    const counter = createRemovedCounter();
    expect([counter.after(rows(undefined, 0)), counter.after(rows(undefined, 0))]).toEqual([
      undefined,
      undefined,
    ]);
  });
});

describe('an unknown value is absent', () => {
  const staleOf = (rows: QueueRows, configured?: ReadonlyMap<string, readonly string[]>) =>
    only(
      samplesIn(
        queueBlock(
          queueSnapshot(
            rows,
            knownStorages(configured, undefined),
            [],
            undefined,
            createDatabaseClock(systemClock),
          ),
        ),
      ),
      'stale_jobs',
    );

  test('without heartbeats and configuration: whether a storage is contacted', () => {
    expect(Object.keys(staleOf({ jobs: [job], locks: [], newestId: 1 }))).toEqual([
      stale('gitaly-1', 'lock_expired'),
      stale('gitaly-1', 'lock_missing'),
    ]);
  });

  test('but the configuration replaces missing heartbeats', () => {
    const configured = new Map([['default', ['gitaly-2']]]);
    expect(staleOf({ jobs: [job], locks: [], newestId: 1 }, configured)).toMatchObject({
      [stale('gitaly-1', 'storage_unknown')]: 1,
      [stale('gitaly-2', 'storage_unknown')]: 0,
    });
  });

  test('when health could not be refreshed for a minute: which storages exist', () => {
    const rows = [
      {
        praefect: 'p1',
        virtualStorage: 'default',
        storage: 'gitaly-2',
        secondsSinceAttempt: 0,
        secondsSinceSeen: 0,
      },
    ];
    const isContactedAt = (ms: number) =>
      knownStorages(undefined, healthOf(rows, 0, ms)).isContacted('default', 'gitaly-1');
    expect([isContactedAt(59_000), isContactedAt(61_000)]).toEqual([false, undefined]);
  });

  test('without the table of locks: the values that depend on it', () => {
    const configured = new Map([['default', ['gitaly-1']]]);
    expect(staleOf({ jobs: [job], locks: undefined, newestId: 1 }, configured)).toEqual({
      [stale('gitaly-1', 'storage_unknown')]: 0,
    });
  });
});
