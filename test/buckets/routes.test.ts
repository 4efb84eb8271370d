/** /api/v1/buckets/{n} on a real database: what it answers, and that nobody can load the database with it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { type BucketSources, bucketRoutes } from '../../src/buckets/routes.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import type { ApiResponse } from '../../src/server/routes.ts';
import { bucketsOf } from '../../src/sources/cgroup/buckets/hash.ts';
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
// Whatever was asked before is paid for.
beforeEach(() => {
  ahead += 3_600_000;
});

function api(sources: Partial<BucketSources> = {}) {
  const [route] = bucketRoutes({
    clock,
    sources: () => ({
      connection: database.connection,
      statementTimeoutMs: 5000,
      configs: [twoGitalys],
      configuredStorages: undefined,
      ...sources,
    }),
  });
  if (route === undefined) throw new Error('no route');
  return (bucket: string, query: Record<string, string> = {}): Promise<ApiResponse> =>
    route.handle({ params: { bucket }, query, signal: new AbortController().signal });
}

const own = (storage: string, count: number, bucket: number): readonly number[] =>
  Array.from({ length: 200 }, (_, at) => at + 1).filter((n) =>
    bucketsOf(storage, `@cluster/repositories/${n}`, { count, maxCgroupsPerRepo: 1 }).includes(bucket),
  );

describe('what it answers', () => {
  test('each storage that has the bucket, with the repositories whose own it is', async () => {
    const answer = await api()('3', { limit: '2' });
    const listed = expect.arrayContaining([
      {
        virtual_storage: 'default',
        relative_path: expect.stringMatching(/^@hashed/),
        replica_path: expect.stringMatching(/^@cluster/),
        generation: null,
      },
    ]);
    const certain = { max_cgroups_per_repo: 1, certain: true, listed };
    expect(answer).toEqual({
      json: {
        bucket: 'repos-3',
        repositories_examined: 200,
        storages: [
          { storage: 'gitaly-1', count: 10, repositories: own('gitaly-1', 10, 3).length, ...certain },
          { storage: 'gitaly-2', count: 20, repositories: own('gitaly-2', 20, 3).length, ...certain },
        ],
      },
    });
  });

  test('a storage without that bucket is left out', async () => {
    expect(await api()('repos-15')).toMatchObject({ json: { storages: [{ storage: 'gitaly-2' }] } });
  });

  test.each<[Record<string, string>, string[], number]>([
    [{ storage: 'gitaly-2' }, ['gitaly-2'], 20],
    [{ node: 'gitaly-1', pod: '' }, ['gitaly-1'], 10],
    [{ storage: 'gitaly-1', count: '7' }, ['gitaly-1'], 7],
  ])('%j', async (query, storages, count) => {
    expect(await api()('3', query)).toMatchObject({
      json: { storages: storages.map((storage) => ({ storage, count })) },
    });
  });

  test("a pod's storage is the one of its configuration, else the one of its name", async () => {
    const named = api({
      configs: [configSource([{ pod: 'gl-0', node: 'n1', storage: 'gitaly-1', count: 10 }])],
    });
    expect(await named('3', { pod: 'gl-0', node: 'n1' })).toMatchObject({
      json: { storages: [{ storage: 'gitaly-1', repositories: own('gitaly-1', 10, 3).length }] },
    });
    expect(await api({ configs: [] })('3', { pod: 'gitaly-2', count: '20' })).toMatchObject({
      json: { storages: [{ storage: 'gitaly-2', repositories: own('gitaly-2', 20, 3).length }] },
    });
  });

  test('a storage whose Gitaly has no buckets is left out, and said when it is the one that is meant', async () => {
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
      json: { error: expect.stringContaining('Git runs in no buckets there') },
    });
  });

  test('the storages that are configured come before those of the heartbeats', async () => {
    const some = api({ configuredStorages: ['gitaly-2'] });
    expect(await some('3')).toMatchObject({ json: { storages: [{ storage: 'gitaly-2' }] } });
  });
});

describe('what it refuses', () => {
  test.each<[string, Record<string, string>, number, string]>([
    ['x', {}, 400, 'a bucket is a number'],
    ['-1', {}, 400, 'a bucket is a number'],
    ['1e3', {}, 400, 'a bucket is a number'],
    ['99999999999999999999', {}, 400, 'a bucket is a number'],
    ['3', { limit: '0' }, 400, 'limit is a whole number from 1 to 1000'],
    ['3', { limit: '1001' }, 400, 'limit is'],
    ['3', { count: '0' }, 400, 'count is'],
    ['3', { count: 'ten' }, 400, 'count is'],
    ['3', { max_cgroups_per_repo: '0' }, 400, 'max_cgroups_per_repo is'],
    ['3', { storages: 'gitaly-1' }, 400, 'there is no such parameter; they are storage, pod'],
    ['3', { storage: '' }, 400, 'storage is empty'],
    ['3', { storage: 'x'.repeat(300) }, 400, 'at most 255'],
    ['10', { storage: 'gitaly-1' }, 404, 'it has 10, repos-0 to repos-9'],
    ['20', {}, 404, 'no storage has a bucket repos-20'],
    ['3', { storage: 'gitaly-7' }, 400, 'Gitalys have different buckets'],
  ])('%s %j: %i', async (bucket, query, status, error) => {
    expect(await api()(bucket, query)).toEqual({ status, json: { error: expect.stringContaining(error) } });
  });

  test('without a count, the setting that gives it', async () => {
    expect(await api({ configs: [] })('3')).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('give the parameter count') },
    });
  });

  test('without a database, which setting is missing and what does without', async () => {
    expect(await api({ connection: undefined })('3')).toMatchObject({
      status: 404,
      json: { error: expect.stringContaining('praefect.database.url') },
    });
  });

  test('a database that does not answer: 503, and why; a second later it is asked anew', async () => {
    let away = true;
    const connection = () => ({ ...database.connection, ...(away ? { port: 1 } : {}) });
    const [route] = bucketRoutes({
      clock,
      sources: () => ({
        connection: connection(),
        statementTimeoutMs: 5000,
        configs: [twoGitalys],
        configuredStorages: undefined,
      }),
    });
    const ask = () =>
      route?.handle({ params: { bucket: '3' }, query: {}, signal: new AbortController().signal });
    expect(await ask()).toMatchObject({ status: 503, json: { error: expect.stringContaining(':1') } });
    away = false;
    expect(await ask()).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('again in 1 s') },
    });
    ahead += 1000;
    expect(await ask()).toMatchObject({ json: { bucket: 'repos-3' } });
  });
});

describe('what it costs', () => {
  const scans = async (): Promise<number> => {
    const { rows } = await client.query(
      "SELECT count(*)::int4 AS open FROM pg_stat_activity WHERE application_name = 'gitaly-exporter buckets'",
    );
    return rows[0].open;
  };

  test('the same question at once is asked once, and its answer is given again for 30 s', async () => {
    const ask = api();
    const [first, second] = await Promise.all([ask('3'), ask('3')]);
    expect(second).toBe(first);
    ahead += 29_000;
    expect(await ask('3')).toBe(first);
    ahead += 2000;
    expect(await ask('3')).not.toBe(first);
  });

  test('another question waits its turn, and until the one before is paid for tenfold', async () => {
    const ask = api();
    const [answered, refused] = await Promise.all([ask('3'), ask('4')]);
    expect(answered).toMatchObject({ json: { bucket: 'repos-3' } });
    expect(refused).toMatchObject({
      status: 503,
      json: { error: expect.stringContaining('ask again in 1 s') },
    });
    expect(await ask('4')).toMatchObject({ status: 503 });
    // What needs no database is said at once.
    expect(await ask('99', { storage: 'gitaly-1' })).toMatchObject({ status: 404 });
    ahead += 60_000;
    expect(await ask('4')).toMatchObject({ json: { bucket: 'repos-4' } });
  });

  test('no connection stays behind', async () => {
    await api()('3');
    for (const end = performance.now() + 5000; (await scans()) > 0 && performance.now() < end; );
    expect(await scans()).toBe(0);
  });
});
