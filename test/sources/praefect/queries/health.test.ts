import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { type HealthView, healthOf } from '../../../../src/sources/praefect/health.ts';
import { healthBlock, healthSnapshot, healthSql } from '../../../../src/sources/praefect/queries/health.ts';
import { knownStorages } from '../../../../src/sources/praefect/queries/known-storages.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { variantIn } from '../mirror/support.ts';
import { blockOf, type OpenedCollectors, only, openCollectors, samplesIn } from './support.ts';

let server: TestPostgres;
let database: TestDatabase;
let client: pg.Client;
let collectors: OpenedCollectors;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase(praefectSchema('19.0'));
  client = await database.client();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await client.query('TRUNCATE node_status');
  collectors = openCollectors(database.connection);
});
afterEach(() => collectors.close());

/** Praefects contact their storages; some of the contacts succeed. */
const probe = (praefects: string[], reached: string[], missed: string[] = [], ago = '0 seconds') =>
  client.query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    SELECT praefect, 'default', storage, now() - interval '${ago}',
           CASE WHEN storage = ANY (ARRAY[${list(reached)}]::text[]) THEN now() - interval '${ago}' END
      FROM unnest(ARRAY[${list(praefects)}]) AS praefect, unnest(ARRAY[${list([...reached, ...missed])}]) AS storage
        ON CONFLICT (praefect_name, shard_name, node_name) DO UPDATE
       SET last_contact_attempt_at = EXCLUDED.last_contact_attempt_at,
           last_seen_active_at = coalesce(EXCLUDED.last_seen_active_at, node_status.last_seen_active_at)`);
const list = (names: string[]) => names.map((name) => `'${name}'`).join(', ');
/** Makes the rows older. */
const pass = (seconds: number) =>
  client.query(`UPDATE node_status SET last_contact_attempt_at = last_contact_attempt_at - interval '${seconds} seconds',
                                       last_seen_active_at = last_seen_active_at - interval '${seconds} seconds'`);
const happened = () =>
  collectors.events
    .recent()
    .map(({ kind, labels }) => `${kind} ${labels['storage']}`)
    .reverse();

test('a storage that becomes unhealthy and recovers adds one event each time, and wakes the collectors that depend on health', async () => {
  await probe(['p1', 'p2', 'p3'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  await collectors.samples('praefect_health');
  expect({ wakes: collectors.wakes(), happened: happened() }).toEqual({ wakes: 1, happened: [] });

  await pass(11);
  await probe(['p1', 'p2', 'p3'], ['gitaly-1'], ['gitaly-2']);
  expect(only(await collectors.samples('praefect_health'), 'storage_healthy')).toEqual({
    'praefect_db_storage_healthy{virtual_storage="default",storage="gitaly-1"}': 1,
    'praefect_db_storage_healthy{virtual_storage="default",storage="gitaly-2"}': 0,
  });
  expect({ wakes: collectors.wakes(), happened: happened() }).toEqual({
    wakes: 2,
    happened: ['storage_unhealthy gitaly-2'],
  });
  expect(collectors.health()?.healthy('default', 'gitaly-2')).toBe(false);

  await probe(['p1', 'p2', 'p3'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  expect({ wakes: collectors.wakes(), happened: happened() }).toEqual({
    wakes: 3,
    happened: ['storage_unhealthy gitaly-2', 'storage_recovered gitaly-2'],
  });
});

test('heartbeats that stop, and resume one Praefect after the other, add no event', async () => {
  await probe(['p1', 'p2', 'p3'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  await pass(25);
  const stopped = await collectors.samples('praefect_health');
  expect(Object.values(only(stopped, 'storage_healthy'))).toEqual([0, 0]);
  expect(Object.values(only(stopped, 'heartbeat_quorum'))).toEqual([0]);

  await probe(['p1'], ['gitaly-1', 'gitaly-2']);
  const first = await collectors.samples('praefect_health');
  // As in Praefect's own view: one vote of three.
  expect(Object.values(only(first, 'storage_healthy'))).toEqual([0, 0]);
  expect(Object.values(only(first, 'heartbeat_quorum'))).toEqual([0]);

  await probe(['p2', 'p3'], ['gitaly-1', 'gitaly-2']);
  expect(Object.values(only(await collectors.samples('praefect_health'), 'storage_healthy'))).toEqual([1, 1]);
  expect(happened()).toEqual([]);
});

test('a storage that became unhealthy without heartbeats adds an event when they resume', async () => {
  await probe(['p1', 'p2'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  await pass(25);
  await collectors.samples('praefect_health');
  await probe(['p1', 'p2'], ['gitaly-1'], ['gitaly-2']);
  await collectors.samples('praefect_health');
  expect(happened()).toEqual(['storage_unhealthy gitaly-2']);
});

test('a storage that was removed from the configuration adds no event', async () => {
  await probe(['p1', 'p2'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  await pass(61);
  await probe(['p1', 'p2'], ['gitaly-1']);
  await collectors.samples('praefect_health');
  expect(happened()).toEqual([]);
});

test('an empty node_status is a failure without samples: no Praefect uses this database', async () => {
  const outcome = await collectors.run('praefect_health');
  expect(outcome).toMatchObject({ kind: 'failed', reason: 'missing', snapshot: [] });
  expect(samplesIn(blockOf(outcome))).toEqual({});
});

test('rows a day older than the newest are omitted, even if all are old', () => {
  const row = (praefect: string, storage: string, seconds: number, virtualStorage = 'default') => ({
    praefect,
    virtualStorage,
    storage,
    secondsSinceAttempt: seconds,
    secondsSinceSeen: seconds,
  });
  const rows = [
    row('p1', 'gitaly-1', 200_000),
    row('p1', 'gitaly-2', 200_000),
    row('p1', 'retired-1', 290_000),
    row('retired', 'gitaly-1', 290_000),
    row('p1', 'old-1', 290_000, 'retired'),
  ];
  const series = Object.keys(samplesIn(healthBlock(healthSnapshot(healthOf(rows, 0), 1_800_000_000))));
  expect(series).toContain('praefect_db_storage_healthy{virtual_storage="default",storage="gitaly-2"}');
  expect(series).toContain('praefect_db_praefect_alive{praefect="p1",virtual_storage="default"}');
  expect(series.filter((each) => each.includes('retired'))).toEqual([]);
});

const statusRow = (virtualStorage: string, storage: string, seconds: number, praefect = 'p1') => ({
  ...{ praefect, virtualStorage, storage },
  ...{ secondsSinceAttempt: seconds, secondsSinceSeen: seconds },
});
const seriesOf = (view: HealthView) =>
  Object.keys(samplesIn(healthBlock(healthSnapshot(view, 1_800_000_000))));

test('a storage or virtual storage that was removed from the configuration is neither unhealthy nor without a quorum', () => {
  const rows = [
    statusRow('default', 'gitaly-1', 0.5),
    statusRow('default', 'removed-1', 61),
    statusRow('removed', 'gitaly-1', 61),
  ];
  const view = healthOf(rows, 0);
  expect(seriesOf(view)).toContain(
    'praefect_db_storage_healthy{virtual_storage="default",storage="gitaly-1"}',
  );
  expect(seriesOf(view).filter((each) => each.includes('removed'))).toEqual([]);
  // Their jobs are leftovers.
  const { isContacted } = knownStorages(undefined, view);
  expect([isContacted('default', 'removed-1'), isContacted('removed', 'gitaly-1')]).toEqual([false, false]);
  // In 13.x heartbeats of one virtual storage can stop alone.
  expect(seriesOf(healthOf(rows, 0, 0, () => true))).toContain(
    'praefect_db_heartbeat_quorum{virtual_storage="removed"}',
  );
});

test('when all Praefects stop, no storage and no virtual storage counts as removed', () => {
  const rows = ['a', 'b'].flatMap((name) => [
    statusRow(name, 'gitaly-1', 600),
    statusRow(name, 'gitaly-2', 601),
  ]);
  const series = seriesOf(healthOf(rows, 0));
  expect(series.filter((each) => each.startsWith('praefect_db_storage_healthy'))).toHaveLength(4);
  expect(series.filter((each) => each.startsWith('praefect_db_heartbeat_quorum'))).toHaveLength(2);
});

test.each([
  ['19.0', undefined, false],
  ['13.5', undefined, true],
  ['13.5', new Map([['default', ['gitaly-1']]]), false],
] as const)(
  'heartbeats of one virtual storage that stop: schema %s, configured %p',
  async (version, configuredStorages, isKept) => {
    await collectors.close();
    const own = await server.createDatabase(praefectSchema(version));
    collectors = openCollectors(own.connection, { configuredStorages });
    await (await own.client()).query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    VALUES ('p1', 'default', 'gitaly-1', now(), now()),
           ('p1', 'other', 'gitaly-1', now() - interval '2 minutes', now() - interval '2 minutes')`);
    const samples = await collectors.samples('praefect_health');
    expect(only(samples, 'heartbeat_quorum')).toEqual({
      'praefect_db_heartbeat_quorum{virtual_storage="default"}': 1,
      ...(isKept && { 'praefect_db_heartbeat_quorum{virtual_storage="other"}': 0 }),
    });
  },
);

test('a thousand former names of Praefects are not read', async () => {
  await client.query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    SELECT 'praefect-' || n, 'default', 'gitaly-1', now() - n * interval '2 days', now() - n * interval '2 days'
      FROM generate_series(0, 1000) AS n`);
  const { rows } = await client.query(healthSql(await variantIn(client)));
  expect(rows.map(({ praefect }) => praefect)).toEqual(['praefect-0']);
});

test('an unchanged timestamp is the same number at every read', () => {
  const row = { praefect: 'p1', virtualStorage: 'default', storage: 'gitaly-1' };
  const at = (ago: number, now: number) =>
    samplesIn(
      healthBlock(
        healthSnapshot(healthOf([{ ...row, secondsSinceAttempt: ago, secondsSinceSeen: ago }], 0), now),
      ),
    )['praefect_db_heartbeat_timestamp_seconds{virtual_storage="default"}'];
  expect(at(0.000001, 1795393366.990014)).toBe(1795393366.990013);
  expect(at(7.654321, 1795393374.644334)).toBe(1795393366.990013);
});

test('health that was not refreshed in time keeps its values, and is unknown past its max age', async () => {
  await collectors.close();
  let now = 1000;
  collectors = openCollectors(database.connection, {
    clock: { now: () => Date.now(), monotonic: () => now, sleep: async () => undefined },
  });
  await probe(['p1', 'p2', 'p3'], ['gitaly-1', 'gitaly-2']);
  await collectors.samples('praefect_health');
  now += 9900;
  expect(collectors.health()?.healthy('default', 'gitaly-1')).toBe(true);
  expect(collectors.health()?.hasQuorum('default')).toBe(true);
  now += 200;
  expect(collectors.health()).toBe(undefined);
});
