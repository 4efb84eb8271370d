/**
 * From captured databases to exposition text, as of the time of capture. Compare each golden file with the
 * README of the captures. UPDATE_GOLDEN=1 rewrites the files; review the diff before you commit it.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { exposition } from '../../../../src/metrics/exposition.ts';
import { startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import {
  blockOf,
  type CollectorName,
  databaseAsOf,
  nativeSamples,
  only,
  openCollectors,
  type Samples,
  samplesIn,
} from './support.ts';

/** The collectors that read only Praefect's tables. */
const deterministic: readonly CollectorName[] = [
  'praefect_health',
  'praefect_queue',
  'praefect_shard_primaries',
  'praefect_write_locks',
];

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function read(capture: string): Promise<{ samples: Samples; text: string }> {
  const database = await databaseAsOf(server, capture);
  const collectors = openCollectors(database.connection, {
    clock: database.clock,
    takenAt: database.takenAt,
  });
  const blocks = [];
  for (const name of deterministic) blocks.push(blockOf(await collectors.run(name)));
  await collectors.close();
  const { body } = await exposition(blocks, { accept: 'text/plain;version=0.0.4' });
  return {
    samples: Object.assign({}, ...blocks.map(samplesIn)),
    text: Buffer.concat(body).toString(),
  };
}

const golden = (capture: string): string =>
  join(dirname(fileURLToPath(import.meta.url)), 'golden', `${capture.replaceAll('/', '-')}.prom`);

test.each([
  '13.5/02-replicating',
  '13.5/05-failed-over',
  '13.5/06-demoted',
  '13.5/09-praefects-killed',
  '13.5/10-stale-dead',
  '13.5/11-target-sick-failed',
  '14.9/02-replicating',
  '14.9/05-unhealthy-not-elected',
  '14.9/11-praefects-killed',
  '19/gitaly-down/down-later',
  '19/praefect-killed/holder-killed',
  '19/praefect-killed/all-killed',
  '19/praefect-cut/cut',
  '19/storage-removed/removed',
  '19/database/read-only-25s',
])('%s gives its golden text', async (capture) => {
  const { text } = await read(capture);
  const file = golden(capture);
  if (process.env['UPDATE_GOLDEN']) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  expect(text).toBe(readFileSync(file, 'utf8'));
});

describe('the captures have the values that their README describes', () => {
  const jobs = (storage: string, state: string, virtualStorage = 'default', change = 'update') =>
    `praefect_db_replication_jobs{virtual_storage="${virtualStorage}",storage="${storage}",state="${state}",change="${change}"}`;
  const healthy = (storage: string, virtualStorage = 'default') =>
    `praefect_db_storage_healthy{virtual_storage="${virtualStorage}",storage="${storage}"}`;
  const shard = (virtualStorage: string, storage: string) =>
    `praefect_db_shard_primary{virtual_storage="${virtualStorage}",storage="${storage}"}`;
  const stale = (storage: string, reason: string) =>
    `praefect_db_replication_stale_jobs{virtual_storage="default",storage="${storage}",reason="${reason}"}`;

  const cases: readonly (readonly [capture: string, description: string, expected: Samples])[] = [
    [
      '13.5/02-replicating',
      'gitaly-2: 2 ready, 4 in progress, with locks; gitaly-3: 6 ready',
      {
        [jobs('gitaly-2', 'ready')]: 2,
        [jobs('gitaly-2', 'in_progress')]: 4,
        [jobs('gitaly-3', 'ready')]: 6,
        [jobs('gitaly-4', 'ready', 'archive')]: 0,
        [stale('gitaly-2', 'lock_missing')]: 0,
        [stale('gitaly-2', 'lock_expired')]: 0,
        [shard('default', 'gitaly-1')]: 1,
        [shard('archive', 'gitaly-4')]: 1,
        [shard('archive', 'gitaly-5')]: 0,
      },
    ],
    [
      '13.5/03-exhausted',
      'the jobs were deleted, nothing is queued',
      { [jobs('gitaly-3', 'ready')]: 0, [jobs('gitaly-3', 'failed')]: 0 },
    ],
    [
      '13.5/04-primary-down',
      'gitaly-1 was killed 5 s ago and still counts as healthy',
      { [healthy('gitaly-1')]: 1, [shard('default', 'gitaly-1')]: 1 },
    ],
    [
      '13.5/05-failed-over',
      'gitaly-1 is unhealthy, gitaly-2 is the primary; 2 jobs ready to each of gitaly-1 and gitaly-3',
      {
        [healthy('gitaly-1')]: 0,
        [healthy('gitaly-2')]: 1,
        [shard('default', 'gitaly-1')]: 0,
        [shard('default', 'gitaly-2')]: 1,
        [jobs('gitaly-1', 'ready')]: 2,
        [jobs('gitaly-3', 'ready')]: 2,
        'praefect_db_shard_read_only{virtual_storage="default"}': 0,
      },
    ],
    [
      '13.5/06-demoted',
      'archive is demoted: it has no primary; only gitaly-2 and 3 are healthy',
      {
        [shard('archive', 'gitaly-4')]: 0,
        [shard('archive', 'gitaly-5')]: 0,
        [shard('default', 'gitaly-2')]: 1,
        'praefect_db_shard_read_only{virtual_storage="archive"}': 1,
        'praefect_db_shard_read_only{virtual_storage="default"}': 0,
        [healthy('gitaly-2')]: 1,
        [healthy('gitaly-3')]: 1,
        [healthy('gitaly-4', 'archive')]: 0,
        [healthy('gitaly-5', 'archive')]: 0,
        'praefect_db_heartbeat_quorum{virtual_storage="archive"}': 1,
      },
    ],
    [
      '13.5/09-praefects-killed',
      'one job in progress to gitaly-3 with its lock',
      { [jobs('gitaly-3', 'in_progress')]: 1, [stale('gitaly-3', 'lock_missing')]: 0 },
    ],
    [
      '13.5/10-stale-dead',
      'that job is dead',
      { [jobs('gitaly-3', 'dead')]: 1, [stale('gitaly-3', 'lock_missing')]: 0 },
    ],
    [
      '13.5/11-target-sick-failed',
      '2 jobs failed, 1 dead',
      { [jobs('gitaly-3', 'failed')]: 2, [jobs('gitaly-3', 'dead')]: 1, [healthy('gitaly-3')]: 0 },
    ],
    [
      '14.9/02-replicating',
      'gitaly-2: 2 ready, 3 in progress; gitaly-3: 2 ready',
      {
        [jobs('gitaly-2', 'ready')]: 2,
        [jobs('gitaly-2', 'in_progress')]: 3,
        [jobs('gitaly-3', 'ready')]: 2,
        [stale('gitaly-2', 'lock_missing')]: 0,
      },
    ],
    [
      '14.9/05-unhealthy-not-elected',
      'gitaly-1 is unhealthy',
      { [healthy('gitaly-1')]: 0, [healthy('gitaly-4', 'archive')]: 1 },
    ],
    [
      '14.9/07-archive-half-unavailable',
      'gitaly-1 and gitaly-4 are unhealthy',
      { [healthy('gitaly-1')]: 0, [healthy('gitaly-4', 'archive')]: 0 },
    ],
    [
      '14.9/10-target-sick-failed',
      '2 jobs failed',
      { [jobs('gitaly-3', 'failed')]: 2, [healthy('gitaly-3')]: 0 },
    ],
    [
      '14.9/11-praefects-killed',
      '2 jobs in progress with locks',
      { [jobs('gitaly-3', 'in_progress')]: 2, [stale('gitaly-3', 'lock_missing')]: 0 },
    ],
    ['14.9/12-stale-gone', 'those jobs were deleted', { [jobs('gitaly-3', 'in_progress')]: 0 }],
    [
      '19/healthy/during',
      'nothing queued amid writes',
      { [jobs('gitaly-1', 'ready')]: 0, [healthy('gitaly-1')]: 1, [healthy('other-2', 'other')]: 1 },
    ],
    [
      '19/gitaly-down/down-after-writes',
      '30 jobs ready',
      {
        [jobs('gitaly-1', 'ready')]: 30,
        [healthy('gitaly-1')]: 0,
        [stale('gitaly-1', 'storage_unknown')]: 0,
      },
    ],
    [
      '19/gitaly-down/down-later',
      'still 30 jobs: equal ones are merged',
      { [jobs('gitaly-1', 'ready')]: 30 },
    ],
    [
      '19/gitaly-hung/in-progress',
      '10 in progress with fresh locks',
      {
        [jobs('gitaly-3', 'in_progress')]: 10,
        [stale('gitaly-3', 'lock_expired')]: 0,
        [stale('gitaly-3', 'lock_missing')]: 0,
      },
    ],
    [
      '19/praefect-killed/holder-killed',
      'locks are 42 s old: not yet expired; the consensus has a quorum of two',
      {
        [jobs('gitaly-3', 'in_progress')]: 10,
        [stale('gitaly-3', 'lock_expired')]: 0,
        'praefect_db_heartbeat_quorum{virtual_storage="default"}': 1,
      },
    ],
    [
      '19/praefect-killed/released-by-the-others',
      'those jobs are failed',
      { [jobs('gitaly-3', 'failed')]: 10, [jobs('gitaly-3', 'in_progress')]: 0 },
    ],
    [
      '19/praefect-killed/all-killed',
      '10 in progress, locks 103 s old; no heartbeats, so everything reads as unhealthy without a quorum',
      {
        [jobs('gitaly-3', 'in_progress')]: 10,
        [stale('gitaly-3', 'lock_expired')]: 10,
        [stale('gitaly-3', 'storage_unknown')]: 0,
        [healthy('gitaly-1')]: 0,
        [healthy('gitaly-2')]: 0,
        'praefect_db_heartbeat_quorum{virtual_storage="default"}': 0,
      },
    ],
    [
      '19/praefect-cut/cut',
      'only praefect-3 sees gitaly-2 and other-2 as unhealthy; in the consensus all are healthy',
      {
        [healthy('gitaly-2')]: 1,
        [healthy('other-2', 'other')]: 1,
        'praefect_db_storage_seen_healthy{praefect="vm:127.0.0.1:12313",virtual_storage="default",storage="gitaly-2"}': 0,
        'praefect_db_storage_seen_healthy{praefect="vm:127.0.0.1:12313",virtual_storage="default",storage="gitaly-1"}': 1,
        'praefect_db_storage_seen_healthy{praefect="vm:127.0.0.1:12311",virtual_storage="default",storage="gitaly-2"}': 1,
      },
    ],
    [
      '19/stuck-replica/queue-empty',
      'a replica stays behind without a job',
      { [jobs('gitaly-3', 'ready')]: 0, [jobs('gitaly-3', 'failed')]: 0 },
    ],
    [
      '19/unavailable/unavailable',
      'the 60 jobs were deleted',
      { [jobs('gitaly-2', 'ready')]: 0, [jobs('gitaly-3', 'ready')]: 0 },
    ],
    [
      '19/storage-removed/removed',
      'no Praefect contacts gitaly-3; its 30 jobs stay ready',
      {
        [jobs('gitaly-3', 'ready')]: 30,
        [stale('gitaly-3', 'storage_unknown')]: 30,
        [stale('gitaly-2', 'storage_unknown')]: 0,
      },
    ],
    [
      '19/database/read-only-25s',
      'heartbeats have stopped: the views show everything as unhealthy',
      {
        [healthy('gitaly-1')]: 0,
        [healthy('other-1', 'other')]: 0,
        'praefect_db_heartbeat_quorum{virtual_storage="default"}': 0,
      },
    ],
  ];

  test.each(cases)('%s: %s', async (capture, _, expected) => {
    expect((await read(capture)).samples).toMatchObject(expected);
  });

  test.each(['14.9/01-healthy', '14.9/06-failed-over', '19/healthy/before'])(
    '%s: with per_repository no primaries of whole virtual storages are reported',
    async (capture) => {
      expect(only((await read(capture)).samples, 'praefect_db_shard_')).toEqual({});
    },
  );

  test.each([
    ['14.9/02-replicating', 'praefect-1.db.prom'],
    ['14.9/10-target-sick-failed', 'praefect-1.db.prom'],
    ['19/gitaly-down/down-later', 'praefect-1.db.prom'],
    ['19/gitaly-hung/in-progress', 'praefect-1.db.prom'],
    ['19/storage-removed/removed', 'praefect-1.db.prom'],
  ])("%s: jobs by target and state equal Praefect's own queue depth on %s", async (capture, page) => {
    const native = only(nativeSamples(capture, page), 'gitaly_praefect_replication_queue_depth{');
    const { samples } = await read(capture);
    const exporterValues = Object.fromEntries(
      Object.entries(only(samples, 'praefect_db_replication_jobs{'))
        .filter(([, jobs]) => jobs > 0)
        .map(([series, jobs]) => {
          const [, virtualStorage, storage, state] =
            /virtual_storage="(.*?)",storage="(.*?)",state="(.*?)"/.exec(series) ?? [];
          return [
            `gitaly_praefect_replication_queue_depth{state="${state}",target_node="${storage}",virtual_storage="${virtualStorage}"}`,
            jobs,
          ];
        }),
    );
    expect(exporterValues).toEqual(native);
  });
});
