/** /api/v1/buckets/{n} on a real database: its responses, and that clients cannot load the database with it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { bucketsOf } from '../../src/buckets/hash.ts';
import { type BucketSources, createBucketLookup } from '../../src/buckets/lookup.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import type { ApiResponse } from '../../src/server/api.ts';
import { bucketRoute } from '../../src/server/bucket-route.ts';
import type { ConfigSource } from '../../src/sources/gitaly/target.ts';
import { praefectSchema, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts';

let server: TestPostgres;
let database: TestDatabase;
let client: pg.Client;
let ahead = 0;
const clock: Clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead };

const configSource = (
  texts: readonly { pod?: string; node: string; count: number; storage?: string }[],
): ConfigSource => ({
  read: async () => ({
    failures: [],
    texts: texts.map(({ pod = '', node, count, storage = node }) => ({
      name: `${node}.toml`,
      text: `[[storage]]\nname = "${storage}"\n[cgroups.repositories]\ncount = ${count}\n`,
      identities: [{ namespace: pod === '' ? '' : 'gitlab', pod, node }],
    })),
  }),
});
const twoGitalys = configSource([
  { node: 'gitaly-1', count: 10 },
  { node: 'gitaly-2', count: 20 },
]);

beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase(praefectSchema('19.0'));
  client = await database.client();
  await client.query(`
    SET search_path = public;
    SET session_replication_role = replica;
    INSERT INTO repositories (virtual_storage, relative_path, generation, replica_path)
    SELECT 'default', '@hashed/' || n || '.git', n, '@cluster/repositories/' || n FROM generate_series(1, 200) AS n;
    INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
    SELECT virtual_storage, relative_path, storage, -1, repository_id
      FROM repositories, unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage;
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at)
    VALUES ('p1', 'default', 'gitaly-1', now()), ('p1', 'default', 'gitaly-2', now())`);
});
afterAll(() => server.stop());
// The time budget of earlier lookups is refilled.
beforeEach(() => {
  ahead += 3_600_000;
});

const sourcesOf =
  (sources: Partial<BucketSources> = {}) =>
  (): BucketSources => ({
    connection: database.connection,
    statementTimeoutMs: 5000,
    configs: [twoGitalys],
    configuredStorages: undefined,
    ...sources,
  });

function api(sources: Partial<BucketSources> = {}) {
  const route = bucketRoute(createBucketLookup(sourcesOf(sources), clock));
  return (bucket: string, query: Record<string, string> = {}): Promise<ApiResponse> =>
    route.handle({ params: { bucket }, query });
}

const sharing = (storage: string, count: number, bucket: number): readonly number[] =>
  Array.from({ length: 200 }, (_, at) => at + 1).filter((n) =>
    bucketsOf(storage, `@cluster/repositories/${n}`, { count, maxCgroupsPerRepo: 1 }).includes(bucket),
  );

describe('a lookup', () => {
  test('returns each storage that has the bucket, with the repositories that share it', async () => {
    const response = await api()('3', { limit: '2' });
    const listed = expect.arrayContaining([
      {
        virtual_storage: 'default',
        relative_path: expect.stringMatching(/^@hashed/),
        replica_path: expect.stringMatching(/^@cluster/),
        generation: null,
      },
    ]);
    const certain = { max_cgroups_per_repo: 1, certain: true, listed };
    expect(response).toEqual({
      json: {
        bucket: 'repos-3',
        repositories_examined: 200,
        storages: [
          { storage: 'gitaly-1', count: 10, repositories: sharing('gitaly-1', 10, 3).length, ...certain },
          { storage: 'gitaly-2', count: 20, repositories: sharing('gitaly-2', 20, 3).length, ...certain },
        ],
      },
    });
  });

  test('leaves out a storage without the bucket', async () => {
    expect(await api()('repos-15')).toMatchObject({ json: { storages: [{ storage: 'gitaly-2' }] } });
  });

  test.each<[Record<string, string>, string[], number]>([
    [{ storage: 'gitaly-2' }, ['gitaly-2'], 20],
    [{ node: 'gitaly-1', pod: '' }, ['gitaly-1'], 10],
    [{ storage: 'gitaly-1', count: '7' }, ['gitaly-1'], 7],
  ])('with %j returns the storages that match', async (query, storages, count) => {
    expect(await api()('3', query)).toMatchObject({
      json: { storages: storages.map((storage) => ({ storage, count })) },
    });
  });

  test("takes a pod's storage from its configuration, else from its name", async () => {
    const named = api({
      configs: [configSource([{ pod: 'gl-0', node: 'n1', storage: 'gitaly-1', count: 10 }])],
    });
    expect(await named('3', { pod: 'gl-0', node: 'n1' })).toMatchObject({
      json: { storages: [{ storage: 'gitaly-1', repositories: sharing('gitaly-1', 10, 3).length }] },
    });
    expect(await api({ configs: [] })('3', { pod: 'gitaly-2', count: '20' })).toMatchObject({
      json: { storages: [{ storage: 'gitaly-2', repositories: sharing('gitaly-2', 20, 3).length }] },
    });
  });

  test('leaves out a Gitaly without buckets, and rejects a request for it alone', async () => {
    const some = api({
      configs: [
        configSource([
          { node: 'gitaly-1', count: 0 },
          { node: 'gitaly-2', count: 20 },
        ]),
      ],
    });
    expect(await some('3')).toMatchObject({ json: { storages: [{ storage: 'gitaly-2' }] } });
    expect(await some('3', { storage: 'gitaly-1' })).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('Git runs in no bucket') },
    });
  });

  test('prefers configured storages over those in heartbeats', async () => {
    const some = api({ configuredStorages: ['gitaly-2'] });
    expect(await some('3')).toMatchObject({ json: { storages: [{ storage: 'gitaly-2' }] } });
  });
});

describe('a rejected request', () => {
  test.each<[string, Record<string, string>, number, string]>([
    ['x', {}, 400, 'the bucket must be a number'],
    ['-1', {}, 400, 'the bucket must be a number'],
    ['1e3', {}, 400, 'the bucket must be a number'],
    ['99999999999999999999', {}, 400, 'the bucket must be a number'],
    ['3', { limit: '0' }, 400, 'limit must be an integer from 1 to 1000'],
    ['3', { limit: '1001' }, 400, 'limit must be'],
    ['3', { count: '0' }, 400, 'count must be'],
    ['3', { count: 'ten' }, 400, 'count must be'],
    ['3', { max_cgroups_per_repo: '0' }, 400, 'max_cgroups_per_repo must be'],
    ['3', { storages: 'gitaly-1' }, 400, 'unknown parameter; expected storage, pod'],
    ['3', { storage: '' }, 400, 'storage is empty'],
    ['3', { storage: 'x'.repeat(300) }, 400, 'at most 255'],
    ['10', { storage: 'gitaly-1' }, 404, 'it has 10 buckets, repos-0 to repos-9'],
    ['20', {}, 404, 'no storage has a bucket repos-20'],
    ['3', { storage: 'gitaly-7' }, 400, 'Gitalys have different numbers of buckets'],
  ])('of bucket %s with %j gets status %i', async (bucket, query, status, error) => {
    expect(await api()(bucket, query)).toEqual({ status, json: { error: expect.stringContaining(error) } });
  });

  test('without a known count names the parameter to set', async () => {
    expect(await api({ configs: [] })('3')).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('set the parameter count') },
    });
  });

  test('without a database names the missing setting', async () => {
    expect(await api({ connection: undefined })('3')).toMatchObject({
      status: 404,
      json: { error: expect.stringContaining('praefect.database.url') },
    });
  });

  test('for which the database is down gets 503 with the reason, and works a second later', async () => {
    let isDown = true;
    const get = api({
      get connection() {
        return { ...database.connection, ...(isDown ? { port: 1 } : {}) };
      },
    });
    expect(await get('3')).toMatchObject({ status: 503, json: { error: expect.stringContaining(':1') } });
    isDown = false;
    expect(await get('3')).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('retry in 1 s') },
    });
    ahead += 1000;
    expect(await get('3')).toMatchObject({ json: { bucket: 'repos-3' } });
  });
});

describe('the load on the database', () => {
  const bucket3 = {
    bucket: 3,
    storage: undefined,
    server: undefined,
    count: undefined,
    maxCgroupsPerRepo: undefined,
    limit: 100,
  };
  const openScans = async (): Promise<number> => {
    const { rows } = await client.query(
      "SELECT count(*)::int4 AS open FROM pg_stat_activity WHERE application_name = 'gitaly-exporter buckets'",
    );
    return rows[0].open;
  };

  test('stays at one scan for concurrent identical requests, and their response is cached for 30 s', async () => {
    const lookup = createBucketLookup(sourcesOf(), clock);
    const get = () => lookup.list(bucket3);
    const [first, second] = await Promise.all([get(), get()]);
    expect(second).toBe(first);
    ahead += 29_000;
    expect(await get()).toBe(first);
    ahead += 2000;
    expect(await get()).not.toBe(first);
  });

  test('is limited to one scan at a time, and to a tenth of the time', async () => {
    const get = api();
    const [first, second] = await Promise.all([get('3'), get('4')]);
    expect(first).toMatchObject({ json: { bucket: 'repos-3' } });
    expect(second).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('retry in 1 s') },
    });
    expect(await get('4')).toMatchObject({ status: 503 });
    // Rejections that need no database do not wait.
    expect(await get('99', { storage: 'gitaly-1' })).toMatchObject({ status: 404 });
    ahead += 60_000;
    expect(await get('4')).toMatchObject({ json: { bucket: 'repos-4' } });
  });

  test('ends with the connection closed', async () => {
    await api()('3');
    for (const end = performance.now() + 5000; (await openScans()) > 0 && performance.now() < end; );
    expect(await openScans()).toBe(0);
  });
});
