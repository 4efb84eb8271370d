import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { healthOf } from '../../../../src/sources/praefect/health.ts';
import { knownStorages } from '../../../../src/sources/praefect/queries/known-storages.ts';
import {
  type JobGroup,
  type QueueLook,
  queueBlock,
  queueSnapshot,
  queueSql,
} from '../../../../src/sources/praefect/queries/queue.ts';
import { createRemovedCounter } from '../../../../src/sources/praefect/queries/removed-counter.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { only, openQuestions, type Questions, samplesIn } from './support.ts';

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
  let questions: Questions;
  beforeAll(async () => {
    // Far from UTC, and not in Praefect's sessions either: the queue's times have no zone, and hold UTC.
    server = await startPostgres({ version, config: ['timezone=Pacific/Auckland'] });
    database = await server.createDatabase(praefectSchema('19.0'));
    client = await database.client();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    questions = openQuestions(database.connection);
    await client.query(`
      TRUNCATE replication_queue, replication_queue_lock, node_status RESTART IDENTITY CASCADE;
      INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
      SELECT 'p1', 'default', storage, now(), now() FROM unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage`);
  });
  afterEach(() => questions.close());

  /** As Praefect enqueues: created_at by its default, in UTC. */
  const enqueue = (target: string, count = 1, state = 'ready', change = 'update') =>
    client.query(`
      INSERT INTO replication_queue (state, lock_id, job)
      SELECT '${state}', 'default|${target}|' || n, jsonb_build_object('change', '${change}',
             'virtual_storage', 'default', 'target_node_storage', '${target}', 'relative_path', n || '.git')
        FROM generate_series(1, ${count}) AS n`);
  /** As Praefect takes jobs: a row in each of both tables of locks. */
  const lock = (triggeredAt: string) =>
    client.query(`
      INSERT INTO replication_queue_lock (id, acquired)
      SELECT DISTINCT lock_id, true FROM replication_queue WHERE state = 'in_progress';
      INSERT INTO replication_queue_job_lock (job_id, lock_id, triggered_at)
      SELECT id, lock_id, ${triggeredAt} FROM replication_queue WHERE state = 'in_progress'`);
  const utc = (ago: string) => `(now() AT TIME ZONE 'UTC') - interval '${ago}'`;

  const ask = async () => {
    await questions.run('praefect_health');
    return questions.samples('praefect_queue');
  };

  test('an empty queue says 0 for each known target and state', async () => {
    const samples = await ask();
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

  test('the oldest job is dated right whatever the time zone of the server', async () => {
    await enqueue('gitaly-2');
    await client.query(`UPDATE replication_queue SET created_at = ${utc('90 seconds')}`);
    const expected = Date.now() / 1000 - 90;
    const samples = await ask();
    const oldest =
      samples[
        'praefect_db_replication_oldest_job_timestamp_seconds{virtual_storage="default",storage="gitaly-2",state="ready"}'
      ];
    expect(Math.abs((oldest ?? 0) - expected)).toBeLessThan(5);
  });

  test.each([
    ['59 seconds', 0],
    ['61 seconds', 3],
    ['103 seconds', 3],
  ])('locks last refreshed %s ago: %i jobs in progress have expired ones', async (ago, expired) => {
    await enqueue('gitaly-2', 3, 'in_progress');
    await lock(utc(ago));
    expect(await ask()).toMatchObject({
      [jobs('gitaly-2', 'in_progress')]: 3,
      [stale('gitaly-2', 'lock_expired')]: expired,
      [stale('gitaly-2', 'lock_missing')]: 0,
      [stale('gitaly-2', 'storage_unknown')]: 0,
    });
  });

  test('jobs in progress without a lock are told apart from those with one', async () => {
    await enqueue('gitaly-2', 3, 'in_progress');
    await lock(utc('1 second'));
    await enqueue('gitaly-1', 2, 'in_progress');
    expect(await ask()).toMatchObject({
      [stale('gitaly-2', 'lock_missing')]: 0,
      [stale('gitaly-1', 'lock_missing')]: 2,
    });
  });

  test('each unfinished job for a storage that nobody contacts counts once; the dead do not count', async () => {
    await enqueue('gone-1', 4);
    await enqueue('gone-1', 2, 'in_progress');
    await enqueue('gone-1', 1, 'dead');
    await lock(utc('500 seconds'));
    expect(await ask()).toMatchObject({
      [stale('gone-1', 'storage_unknown')]: 6,
      [stale('gone-1', 'lock_expired')]: 0,
      [stale('gone-1', 'lock_missing')]: 0,
      [jobs('gone-1', 'dead')]: 1,
    });
  });

  test('other changes appear when they are seen, beside the zero of update', async () => {
    await enqueue('gitaly-2', 2, 'ready', 'delete_replica');
    expect(await ask()).toMatchObject({
      [jobs('gitaly-2', 'ready', 'delete_replica')]: 2,
      [jobs('gitaly-2', 'ready')]: 0,
    });
  });

  test('a job without the usual keys is counted under empty names', async () => {
    await client.query("INSERT INTO replication_queue (job) VALUES ('{}'), (NULL)");
    expect((await ask())[jobs('', 'ready', '', '')]).toBe(2);
  });

  describe('enqueued and removed', () => {
    test('survive a restart of the exporter, and count what came and went between two looks', async () => {
      await enqueue('gitaly-2', 10);
      expect(await ask()).toMatchObject({ [enqueued]: 10 });
      await client.query('DELETE FROM replication_queue WHERE id <= 4');
      expect(await ask()).toMatchObject({ [enqueued]: 10, [removed]: 4 });
      await enqueue('gitaly-2', 5);
      await client.query('DELETE FROM replication_queue');
      expect(await ask()).toMatchObject({ [enqueued]: 15, [removed]: 10 });
      expect(await ask()).toMatchObject({ [enqueued]: 15, [removed]: 15 });

      const restarted = openQuestions(database.connection);
      expect(await restarted.samples('praefect_queue')).not.toHaveProperty(removed);
      expect(await restarted.samples('praefect_queue')).toMatchObject({ [enqueued]: 15, [removed]: 15 });
      await restarted.close();
    });

    test('an insert that is not committed yet makes neither fall back', async () => {
      await enqueue('gitaly-2', 2);
      await ask();
      await ask();
      await client.query('BEGIN');
      await enqueue('gitaly-2', 30);
      const during = await ask();
      await client.query('COMMIT');
      const after = await ask();
      const later = await ask();
      expect([during, after, later].map((samples) => [samples[enqueued], samples[removed]])).toEqual([
        [32, 0],
        [32, 0],
        [32, 0],
      ]);
    });

    test('an insert that was rolled back leaves a gap, which counts in both', async () => {
      await ask();
      await client.query('BEGIN');
      await enqueue('gitaly-2', 3);
      await client.query('ROLLBACK');
      await ask();
      expect(await ask()).toMatchObject({ [enqueued]: 3, [removed]: 3 });
    });

    test('a restored database starts them anew', async () => {
      await enqueue('gitaly-2', 20);
      await client.query('DELETE FROM replication_queue');
      await ask();
      expect(await ask()).toMatchObject({ [enqueued]: 20, [removed]: 20 });
      await client.query("SELECT setval('replication_queue_id_seq', 5)");
      expect(await ask()).not.toHaveProperty(removed);
      expect(await ask()).toMatchObject({ [enqueued]: 5, [removed]: 5 });
    });
  });

  test('a long queue is counted in memory, and not sorted on disk', async () => {
    await client.query('SET session_replication_role = replica');
    await enqueue('gitaly-2', 20_000);
    await client.query('ANALYZE replication_queue');
    expect((await ask())[jobs('gitaly-2', 'ready')]).toBe(20_000);
    const { rows } = await client.query(`EXPLAIN ${queueSql(0)}`);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('HashAggregate');
    expect(plan).not.toContain('Sort');
    await client.query('RESET ALL');
  });
});

describe('the removed counter', () => {
  const look = (newestId: number | undefined, settled: number): QueueLook => ({
    newestId,
    locks: [],
    groups: [{ settled } as JobGroup],
  });

  test('keeps still while an insert takes longer than two looks, and goes on from there', () => {
    const counter = createRemovedCounter();
    counter.after(look(100, 0));
    expect(counter.settledId()).toBe(100);
    // Ids up to 100 are given out, 30 of them by a transaction that is still open.
    expect(counter.after(look(100, 0))).toBe(100);
    expect(counter.after(look(100, 30))).toBe(100);
    expect(counter.after(look(140, 30))).toBe(100);
    expect(counter.after(look(140, 30))).toBe(110);
  });

  test('says nothing where the sequence may not be read', () => {
    const counter = createRemovedCounter();
    expect([counter.after(look(undefined, 0)), counter.after(look(undefined, 0))]).toEqual([
      undefined,
      undefined,
    ]);
  });
});

describe('what cannot be told is absent', () => {
  const group: JobGroup = {
    virtual_storage: 'default',
    storage: 'gitaly-1',
    state: 'in_progress',
    change: 'update',
    jobs: 1,
    settled: 0,
    oldest: 1,
  };
  const staleOf = (look: QueueLook, configured?: ReadonlyMap<string, readonly string[]>) =>
    only(
      samplesIn(queueBlock(queueSnapshot(look, knownStorages(configured, undefined), [], undefined))),
      'stale_jobs',
    );

  test('without heartbeats and configuration nobody knows which storages are contacted', () => {
    expect(Object.keys(staleOf({ groups: [group], locks: [], newestId: 1 }))).toEqual([
      stale('gitaly-1', 'lock_expired'),
      stale('gitaly-1', 'lock_missing'),
    ]);
  });

  test('with a configuration it stands in', () => {
    const configured = new Map([['default', ['gitaly-2']]]);
    expect(staleOf({ groups: [group], locks: [], newestId: 1 }, configured)).toMatchObject({
      [stale('gitaly-1', 'storage_unknown')]: 1,
      [stale('gitaly-2', 'storage_unknown')]: 0,
    });
  });

  test('health that could not be renewed for a minute does not tell which storages there are', () => {
    const rows = [
      {
        praefect: 'p1',
        virtualStorage: 'default',
        storage: 'gitaly-2',
        secondsSinceAttempt: 0,
        secondsSinceSeen: 0,
      },
    ];
    const contactedAt = (ms: number) =>
      knownStorages(undefined, healthOf(rows, 0, ms)).contacted('default', 'gitaly-1');
    expect([contactedAt(59_000), contactedAt(61_000)]).toEqual([false, undefined]);
  });

  test('without the table of locks only what does not rest on it is said', () => {
    const configured = new Map([['default', ['gitaly-1']]]);
    expect(staleOf({ groups: [group], locks: undefined, newestId: 1 }, configured)).toEqual({
      [stale('gitaly-1', 'storage_unknown')]: 0,
    });
  });
});
