/** The database's clock is changed by hours in both directions: no time in the future reads as fresh. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createDatabaseClock } from '../../../../src/sources/praefect/database-clock.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { type OpenedCollectors, only, openCollectors, type Samples } from './support.ts';

let server: TestPostgres;
let database: TestDatabase;
let client: pg.Client;
let collectors: OpenedCollectors;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase(praefectSchema('19.0'));
  client = await database.client();
  await client.query('SET search_path = public; SET session_replication_role = replica');
});
afterAll(() => server.stop());
beforeEach(async () => {
  await client.query('TRUNCATE node_status, repository_reference_write_locks, shard_primaries CASCADE');
  collectors = openCollectors(database.connection);
});
afterEach(() => collectors.close());

/** Three live Praefects, which contacted storages this interval ago. */
const probe = (seen: string) =>
  client.query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    SELECT 'p' || p, 'default', 'gitaly-' || g, now(), now() - interval '${seen}'
      FROM generate_series(1, 3) p, generate_series(1, 2) g`);
const inView = async () => (await client.query('SELECT storage FROM healthy_storages')).rows.length;

describe('node_status', () => {
  test('with one old row of 2033 next to three live Praefects has both dead storages as unhealthy', async () => {
    await probe('1 hour');
    await client.query(
      `INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
       VALUES ('old', 'default', 'gitaly-1', '2033-05-18', '2033-05-18')`,
    );
    const samples = await collectors.samples('praefect_health');
    expect(await inView()).toBe(0);
    expect(Object.values(only(samples, 'storage_healthy'))).toEqual([0, 0]);
    expect(Object.values(only(samples, 'heartbeat_quorum'))).toEqual([1]);
    expect(Object.values(only(samples, 'seen_healthy', 'praefect="p1"'))).toEqual([0, 0]);
    expect(only(samples, 'praefect_alive', 'praefect="old"')).toEqual({
      'praefect_db_praefect_alive{praefect="old",virtual_storage="default"}': 0,
    });
    for (const time of Object.values(only(samples, 'timestamp_seconds')))
      expect(time).toBeLessThan(Date.now() / 1000 + 60);
    expect(only(samples, 'last_contact', 'praefect="old"')).toEqual({});
  });

  test('from before the clock was set back by two hours has dead storages as unhealthy', async () => {
    await probe('-110 minutes');
    expect(await inView()).toBe(2); // Praefect's own rule has only one bound.
    expect(Object.values(only(await collectors.samples('praefect_health'), 'storage_healthy'))).toEqual([
      0, 0,
    ]);
  });

  test.each(['-3 hours', '3 hours'])(
    'without a live Praefect leaves no quorum when the clock is set by %s',
    async (step) => {
      await probe('0 seconds');
      await client.query(`UPDATE node_status SET last_contact_attempt_at = last_contact_attempt_at - interval '${step}',
                                               last_seen_active_at = last_seen_active_at - interval '${step}'`);
      const samples = await collectors.samples('praefect_health');
      expect(Object.values(only(samples, 'heartbeat_quorum'))).toEqual([0]);
      expect(Object.values(only(samples, 'storage_healthy'))).toEqual([0, 0]);
      expect(Object.values(only(samples, 'praefect_alive'))).toEqual([0, 0, 0]);
    },
  );
});

test('a write lock that ends in hours is not held', async () => {
  await client.query(`
    INSERT INTO repository_reference_write_locks (lock_id, holder_txn_id, expired_at) VALUES
      ('a', 1, now() + interval '15 seconds'), ('b', 2, now() - interval '1 second'), ('c', 3, now() + interval '2 hours')`);
  expect(Object.values(await collectors.samples('praefect_write_locks'))).toEqual([1, 2]);
});

test('an election in the future has no time', async () => {
  await probe('0 seconds');
  await client.query(
    `INSERT INTO shard_primaries (shard_name, node_name, elected_by_praefect, elected_at) VALUES ('default', 'gitaly-1', 'p1', now() + interval '2 hours')`,
  );
  await collectors.run('praefect_health');
  const samples = await collectors.samples('praefect_shard_primaries');
  expect(only(samples, 'elected')).toEqual({});
  expect(samples['praefect_db_shard_primary{virtual_storage="default",storage="gitaly-1"}']).toBe(1);
});

describe.each([-2, 2])("a database whose clock is %i h off the exporter's", (hours) => {
  const exporterNow = () => Date.now() - hours * 3_600_000;
  beforeEach(async () => {
    await collectors.close();
    collectors = openCollectors(database.connection, { clock: { ...systemClock, now: exporterNow } });
  });
  /** Seconds before the exporter's now. */
  const ages = (samples: Samples, metric: string) =>
    Object.values(only(samples, metric)).map((at) => exporterNow() / 1000 - at);

  test("has current heartbeats and contacts, by the exporter's clock", async () => {
    await probe('0 seconds');
    const samples = await collectors.samples('praefect_health');
    for (const age of [...ages(samples, 'heartbeat_timestamp'), ...ages(samples, 'last_contact')])
      expect(Math.abs(age)).toBeLessThan(5);
    expect(Object.values(only(samples, 'heartbeat_quorum'))).toEqual([1]);
  });

  test('has jobs and elections with their true age', async () => {
    await probe('0 seconds');
    await client.query(`
      INSERT INTO replication_queue (state, lock_id, job, created_at)
      VALUES ('ready', 'r', '{"virtual_storage": "default", "target_node_storage": "gitaly-1", "change": "update"}',
              timezone('UTC', now()) - interval '20 minutes')`);
    await client.query(
      `INSERT INTO shard_primaries (shard_name, node_name, elected_by_praefect, elected_at)
       VALUES ('default', 'gitaly-1', 'p1', now() - interval '20 minutes')`,
    );
    await collectors.run('praefect_health');
    for (const [collector, metric] of [
      ['praefect_queue', 'oldest_job'],
      ['praefect_shard_primaries', 'elected'],
    ] as const) {
      const [age] = ages(await collectors.samples(collector), metric);
      expect(Math.abs((age ?? 0) - 1200)).toBeLessThan(5);
    }
    await client.query('TRUNCATE replication_queue CASCADE');
  });
});

test('timestamps stay equal numbers when the measured clock difference changes slightly', () => {
  let now = 1_800_000_000_000;
  const databaseClock = createDatabaseClock({ ...systemClock, now: () => now });
  databaseClock.measured(now / 1000 + 1.9);
  expect(databaseClock.local(1000)).toBe(1000);
  databaseClock.measured(now / 1000 + 3600.4);
  expect(databaseClock.local(4600)).toBe(1000);
  databaseClock.measured(now / 1000 + 3600.9);
  expect(databaseClock.local(4600)).toBe(1000);
  now += 7_200_000;
  databaseClock.measured(now / 1000 - 3600);
  expect(databaseClock.local(1000)).toBe(4600);
});
