import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { type Clock, systemClock } from '../../../../src/lib/clock.ts';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { type OpenedCollectors, openCollectors } from './support.ts';

let server: TestPostgres;
let client: pg.Client;
let collectors: OpenedCollectors;
let monotonic = 0;
const clock: Clock = { ...systemClock, monotonic: () => monotonic };
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const database = await server.createDatabase(praefectSchema('13.10'));
  client = await database.client();
  await client.query(`
    RESET ALL;
    INSERT INTO shard_primaries (shard_name, node_name, elected_by_praefect, elected_at) VALUES
      ('default', 'gitaly-2', 'p1', '2026-11-23T00:12:31Z'), ('archive', 'gitaly-4', 'p1', '2026-11-20T00:00:00Z');
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    SELECT 'p1', shard, storage, now(), now()
      FROM (VALUES ('default', 'gitaly-1'), ('default', 'gitaly-2'), ('archive', 'gitaly-4')) AS s (shard, storage);
    INSERT INTO repositories (virtual_storage, relative_path) VALUES ('default', 'a.git'), ('archive', 'b.git')`);
  monotonic = 0;
  collectors = openCollectors(database.connection, { clock });
});
afterEach(() => Promise.all([collectors.close(), client.end()]));

const read = async () => {
  await collectors.run('praefect_health');
  return collectors.samples('praefect_shard_primaries');
};
const archive = {
  'praefect_db_shard_primary{virtual_storage="archive",storage="gitaly-4"}': 1,
  'praefect_db_shard_read_only{virtual_storage="archive"}': 0,
  'praefect_db_shard_elected_timestamp_seconds{virtual_storage="archive"}': 1795132800,
};

test('with the sql elector each virtual storage has its primary and the time of its election', async () => {
  expect(await read()).toEqual({
    ...archive,
    'praefect_db_shard_primary{virtual_storage="default",storage="gitaly-1"}': 0,
    'praefect_db_shard_primary{virtual_storage="default",storage="gitaly-2"}': 1,
    'praefect_db_shard_read_only{virtual_storage="default"}': 0,
    'praefect_db_shard_elected_timestamp_seconds{virtual_storage="default"}': 1795392751,
  });
});

test('a demoted primary does not count, and the virtual storage is read-only', async () => {
  await client.query("UPDATE shard_primaries SET demoted = true WHERE shard_name = 'default'");
  expect(await read()).toMatchObject({
    'praefect_db_shard_primary{virtual_storage="default",storage="gitaly-2"}': 0,
    'praefect_db_shard_read_only{virtual_storage="default"}': 1,
  });
});

test('the column read_only, which only 13.0 to 13.2 wrote, is ignored', async () => {
  await client.query('UPDATE shard_primaries SET read_only = true');
  expect(await read()).toMatchObject({ 'praefect_db_shard_read_only{virtual_storage="default"}': 0 });
});

test('rows of an upgraded cluster, whose repositories have their own primaries, are omitted', async () => {
  await client.query(`UPDATE repositories SET "primary" = 'gitaly-1' WHERE virtual_storage = 'default'`);
  expect(await read()).toEqual(archive);
});

test('rows without heartbeats from the last day are omitted, as the elector is unknown', async () => {
  await client.query(
    "UPDATE node_status SET last_contact_attempt_at = now() - interval '2 days' WHERE shard_name = 'default'",
  );
  expect(await read()).toEqual(archive);
  await client.query("DELETE FROM node_status WHERE shard_name = 'archive'");
  expect(await read()).toEqual({});
});

test('rows stay during an outage of all Praefects', async () => {
  await client.query("UPDATE node_status SET last_contact_attempt_at = now() - interval '2 hours'");
  expect(Object.keys(await read())).toHaveLength(7);
});

test('the elector is detected again after five minutes', async () => {
  await read();
  await client.query(`UPDATE repositories SET "primary" = 'gitaly-1' WHERE virtual_storage = 'default'`);
  monotonic = 299_000;
  expect(Object.keys(await read())).toHaveLength(7);
  monotonic = 300_000;
  expect(await read()).toEqual(archive);
});
