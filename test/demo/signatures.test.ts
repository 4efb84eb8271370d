/**
 * Each incident leaves in the database what the captures of a real cluster in the same trouble show
 * (test/fixtures/praefect/19: log, timeline and dumps of each). Health takes its real 10 s, so the incidents run
 * side by side, in six clusters at once, and the tests only judge.
 */
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres.ts';
import type { Timings } from '../../demo/timings.ts';
import { calm, jobs, type Observation, type Watched, watchCluster } from './observe.ts';

jest.setTimeout(120_000);

const everyStorage = ['archive-1', 'archive-2', 'gitaly-1', 'gitaly-2', 'gitaly-3'];
const seconds = (from: number): number => (performance.now() - from) / 1000;

/** One for all whose incidents leave the server alone; that of the database has its own. */
const shared = startEmbeddedPostgres(AbortSignal.timeout(60_000));
const own = startEmbeddedPostgres(AbortSignal.timeout(60_000));
const clusters: Promise<Watched>[] = [];

/** Starts a cluster at once, and lets the course run in it; the tests wait for what it saw. */
function stage<T extends object>(
  server: Promise<EmbeddedPostgres>,
  timings: Partial<Timings>,
  course: (watched: Watched) => Promise<T>,
) {
  const started = server.then((running) => watchCluster(running, { timings }));
  clusters.push(started);
  const seen = started.then(async (watched) => {
    const result = await course(watched);
    return { ...result, bugs: watched.cluster.bugs(), lines: watched.lines };
  });
  seen.catch(() => undefined); // told by whichever test asks
  return seen;
}

afterAll(async () => {
  for (const cluster of await Promise.allSettled(clusters)) {
    if (cluster.status === 'fulfilled') await cluster.value.stop();
  }
  for (const server of await Promise.allSettled([shared, own])) {
    if (server.status === 'fulfilled') await server.value.remove();
  }
});

const deaths = stage(shared, { reconcile: 15_000, gitFails: 200 }, async ({ look, start, end, until }) => {
  const before = await look();
  const killed = performance.now();
  await start('storage-dies');
  await start('archive-storage-dies');
  await start('praefect-cut-off');
  const atOnce = await until('jobs for the dead storage', (seen) => jobs(seen, 'gitaly-1 ready') >= 5);
  const gone = await until(
    'both are unhealthy',
    ({ healthy }) => !healthy.includes('gitaly-1') && !healthy.includes('archive-2'),
  );
  const after = seconds(killed);
  const later = await until(
    'primaries of written repositories have moved',
    (seen) => (seen.primaries['gitaly-1'] ?? 0) <= (before.primaries['gitaly-1'] ?? 0) - 5,
  );
  await end('storage-dies');
  await end('archive-storage-dies');
  await end('praefect-cut-off');
  const back = performance.now();
  await until('healthy again', ({ healthy }) => healthy.length === everyStorage.length);
  const healthyAfter = seconds(back);
  const recovered = await until('caught up', calm);

  await start('replication-refused');
  const refused = await until(
    'behind without jobs',
    (seen) => (seen.behind['gitaly-2'] ?? 0) >= Math.max(20, jobs(seen, 'gitaly-2') + 10),
  );
  await end('replication-refused');
  return { before, atOnce, gone, after, later, healthyAfter, recovered, refused };
});

describe('storages that die (capture gitaly-down)', () => {
  test('before, all is healthy, nothing is queued, and nothing is behind', async () => {
    const { before } = await deaths;
    expect([...before.healthy].sort()).toEqual(everyStorage);
    expect(before).toMatchObject({ queue: {}, behind: {}, unavailable: {}, records: { 3: 270 } });
  });

  test('for about 10 s it still counts as healthy, and writes leave ready jobs with all attempts', async () => {
    const { atOnce, after } = await deaths;
    expect(atOnce.healthy).toContain('gitaly-1');
    expect(jobs(atOnce, 'gitaly-1 ready 3')).toBe(jobs(atOnce, 'gitaly-1 ready'));
    expect(atOnce.unavailable).toEqual({});
    expect(after).toBeGreaterThan(8.5); // captured: 9.2 to 9.8 s
    expect(after).toBeLessThan(12);
  });

  test('then primaries move with the writes, off the dead one alone, and equal jobs are merged', async () => {
    const { before, later } = await deaths;
    const moved = (storage: string) => (later.primaries[storage] ?? 0) - (before.primaries[storage] ?? 0);
    expect(moved('gitaly-1')).toBeLessThanOrEqual(-5);
    expect(moved('gitaly-2') + moved('gitaly-3')).toBeGreaterThanOrEqual(4); // a repository may come or go
    expect(moved('gitaly-2')).toBeGreaterThan(0);
    expect(moved('gitaly-3')).toBeGreaterThan(0);
    expect(jobs(later, 'gitaly-1')).toBeGreaterThan(20);
    // One for each replica and source: a repository whose primary moved may have two.
    expect(jobs(later, 'gitaly-1')).toBeLessThan(1.5 * (later.behind['gitaly-1'] ?? 0));
  });

  test('of `default` nothing is unavailable, of `archive` (factor 1) all that it alone held', async () => {
    const { before, gone } = await deaths;
    expect(gone.unavailable['default']).toBeUndefined();
    const held = before.primaries['archive-2'] ?? 0;
    expect(held).toBeGreaterThan(5);
    expect(Math.abs((gone.unavailable['archive'] ?? 0) - held)).toBeLessThanOrEqual(1);
  });

  test('a Praefect that is cut off has old rows of its own, and the consensus stays (capture praefect-cut)', async () => {
    const { later } = await deaths;
    expect(later.unseen['praefect-3 gitaly-2']).toBeGreaterThan(10);
    expect(later.unseen['praefect-1 gitaly-2']).toBeUndefined();
    expect(later.healthy).toContain('gitaly-2');
  });

  test('back, they are healthy within about a second, all is copied, and no primary moves back', async () => {
    const { before, healthyAfter, recovered, bugs } = await deaths;
    expect(healthyAfter).toBeLessThan(3); // captured: 0.7 to 1.2 s
    expect(recovered.primaries['gitaly-1'] ?? 0).toBeLessThanOrEqual((before.primaries['gitaly-1'] ?? 0) - 5);
    expect(bugs).toEqual([]);
  });
});

const replication = stage(
  shared,
  { reconcile: 12_000, refreshLocks: 1000, gitFails: 200, poll: 300 },
  async (watched) => {
    const { start, end, until, look } = watched;
    await start('replication-stalls');
    const stalled = await until(
      'each Praefect holds a batch that hangs',
      (seen) => jobs(seen, 'gitaly-3 in_progress') >= 3 && jobs(seen, 'gitaly-3 ready') >= 5,
    );
    // Many times the 1 s after which locks are refreshed here: they stay fresh although nothing ends.
    const stillHeld = await until(
      'twenty more jobs',
      (seen) => jobs(seen, 'gitaly-3 ready') >= jobs(stalled, 'gitaly-3 ready') + 20,
    );
    await end('replication-stalls');
    await until('caught up', calm, 30_000);

    await start('stuck-replica');
    await start('replica-lost');
    await start('repository-lost');
    const looks: Observation[] = [];
    const sampling = performance.now();
    await until('ten seconds of looks', (seen) => {
      looks.push(seen);
      return seconds(sampling) > 9;
    });
    const unnoticed = await look();
    const found = await until('the verifier has found both', ({ records }) => records[0] === 2);
    const whole = await until('the five are copied anew', ({ records }) => records[2] === undefined);
    const lost = await until('lost for good', ({ unavailable }) => unavailable['default'] === 2);
    await end('repository-lost');
    await end('stuck-replica');
    const restored = await until(
      'restored and caught up',
      (seen) => calm(seen) && seen.records[0] === undefined && seen.unverified === 0,
    );
    return { stalled, stillHeld, looks, unnoticed, found, whole, lost, restored };
  },
);

describe('replication that stalls or fails on healthy storages', () => {
  test('stalled: what is in progress stays so with one attempt gone, its locks are refreshed, the queue grows', async () => {
    const { stalled, stillHeld } = await replication;
    expect([...stillHeld.healthy].sort()).toEqual(everyStorage);
    const held = jobs(stalled, 'gitaly-3 in_progress 2');
    expect(held).toBe(jobs(stalled, 'gitaly-3 in_progress'));
    expect(jobs(stillHeld, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(held);
    expect(jobs(stillHeld, 'gitaly-3 in_progress')).toBeLessThanOrEqual(30); // 3 Praefects, batches of 10
    expect(stillHeld.oldestJobLockAge).toBeLessThan(3);
  });

  test('refused: jobs fail three times and vanish, and what is behind has none', async () => {
    const { refused } = await deaths;
    const behind = refused.behind['gitaly-2'] ?? 0;
    expect(behind).toBeGreaterThanOrEqual(20);
    expect(jobs(refused, 'gitaly-2')).toBeLessThanOrEqual(behind - 10);
    expect([...refused.healthy].sort()).toEqual(everyStorage);
  });

  test('stuck: behind all the time, and the queue empty most of the time (captured: 70 of 87 looks)', async () => {
    const { looks } = await replication;
    const settled = looks.filter((seen) => seen.behind['gitaly-3'] === 2);
    const empty = settled.filter((seen) => jobs(seen, 'gitaly-3') === 0);
    expect(settled.length).toBeGreaterThan(looks.length / 2);
    expect(empty.length).toBeGreaterThan(settled.length / 4);
  });

  test('lost replicas go unnoticed until they are verified (capture replica-lost)', async () => {
    const { unnoticed } = await replication;
    expect(unnoticed.unavailable).toEqual({});
    expect(Object.keys(unnoticed.records)).toEqual(['3']);
  });

  test('then their records go; what still has a copy is whole again, what has none is lost and unavailable', async () => {
    const { found, whole, lost, restored, bugs } = await replication;
    expect(found.records[0]).toBe(2);
    expect(whole.records[0]).toBe(2);
    expect(lost.unavailable).toEqual({ default: 2 });
    expect(restored.unavailable).toEqual({});
    expect(bugs).toEqual([]);
  });
});

const onlyCopy = stage(shared, { reconcile: 6000 }, async ({ start, end, until }) => {
  await start('only-copy-dies');
  const written = await until(
    'writes on one replica alone',
    (seen) => jobs(seen, 'gitaly-2 ready') >= 20,
    30_000,
  );
  const unavailable = await until(
    'the others are back, and what they lack is unavailable',
    (seen) =>
      !seen.healthy.includes('gitaly-1') &&
      (seen.unavailable['default'] ?? 0) >= 20 &&
      jobs(seen, 'gitaly-2') + jobs(seen, 'gitaly-3') === 0,
    40_000,
  );
  await end('only-copy-dies');
  const recovered = await until('caught up', calm, 40_000);
  return { written, unavailable, recovered };
});

describe('the only up-to-date copy goes away (capture unavailable)', () => {
  test('the jobs from it vanish, the queue is empty, and what was written is unavailable', async () => {
    const { unavailable } = await onlyCopy;
    const behind = unavailable.behind['gitaly-2'] ?? 0;
    expect(behind).toBeGreaterThanOrEqual(20);
    expect(unavailable.behind['gitaly-3']).toBe(behind);
    expect(unavailable.unavailable).toEqual({ default: behind });
  });

  test('back, the reconciler queues them anew and nothing stays behind', async () => {
    const { recovered, bugs, lines } = await onlyCopy;
    expect(recovered.unavailable).toEqual({});
    expect(lines).toContainEqual(expect.stringMatching(/reconciler queued \d+ replication jobs anew/));
    expect(bugs).toEqual([]);
  });
});

const praefects = stage(
  shared,
  {
    staleAfter: 6000,
    checkStale: 3000,
    keepalive: 4000,
    refreshLocks: 1000,
    cleanWriteLocks: 5000,
  },
  async ({ cluster, lines, start, end, until }) => {
    await start('praefect-dies');
    await until('one is dead', () =>
      cluster.topology.praefects.some((name) => cluster.praefect(name).context() === undefined),
    );
    const stale = await until('a lock that nobody refreshes', (seen) => (seen.oldestJobLockAge ?? 0) > 4);
    const release = () => lines.find((line) => line.includes('replication locks that nobody had refreshed'));
    await until('released by the others', () => release() !== undefined);
    const released = release();
    await end('praefect-dies');
    await until('caught up', calm);

    await start('storage-hangs');
    const hung = await until('it hangs with jobs', ({ healthy }) => !healthy.includes('gitaly-3'), 30_000);
    const failed = await until('given up', (seen) => jobs(seen, 'gitaly-3 in_progress') === 0);
    await end('storage-hangs');
    await until('caught up', calm);
    return { stale, released, hung, failed };
  },
);

const silence = stage(shared, {}, async ({ start, end, until }) => {
  await start('all-praefects-die');
  const silent = await until('no storage is healthy', ({ healthy }) => healthy.length === 0);
  await end('all-praefects-die');
  const recovered = await until('healthy', ({ healthy }) => healthy.length === everyStorage.length);
  return { silent, recovered };
});

describe('Praefects that die, and a Gitaly that hangs', () => {
  test('what a dead Praefect held is in progress, then released by the others as failed (capture praefect-killed)', async () => {
    const { stale, released } = await praefects;
    expect(jobs(stale, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(5);
    expect([...stale.healthy].sort()).toEqual(everyStorage);
    expect(released).toMatch(/^praefect-\d released (\d{2}|[5-9]) replication locks/);
  });

  test('a hung Gitaly keeps its jobs in progress until gRPC gives up; then they are failed (capture gitaly-hung)', async () => {
    const { hung, failed, bugs } = await praefects;
    expect(jobs(hung, 'gitaly-3 failed 2') + jobs(hung, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(5);
    expect(jobs(failed, 'gitaly-3 failed 2')).toBeGreaterThanOrEqual(5);
    expect(failed.healthy).not.toContain('gitaly-3');
    expect(bugs).toEqual([]);
  });

  test('without Praefects heartbeats stop, and by the database everything is unavailable', async () => {
    const { silent, recovered, bugs } = await silence;
    expect(silent.newestHeartbeatAge).toBeGreaterThan(9);
    expect(silent.unavailable).toEqual({ default: expect.any(Number), archive: expect.any(Number) });
    expect(silent.unavailable['default']).toBeGreaterThan(250);
    expect(recovered.unavailable).toEqual({});
    expect(bugs).toEqual([]);
  });
});

const database = stage(own, { reconcile: 4000 }, async (watched) => {
  const { cluster, lines, start, end, until, rows } = watched;
  await start('database-blocked');
  const blocked = async () =>
    rows<{ waiting: number; ages: number }>(`
      SELECT count(*)::int AS waiting,
             extract(epoch FROM max(now() - query_start))::float8 AS ages
      FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename LIKE '%owner'`);
  let waiting = 0;
  for (const begun = performance.now(); waiting < 3 && seconds(begun) < 10; ) {
    waiting = (await blocked())[0]?.waiting ?? 0;
  }
  await end('database-blocked');
  await until('caught up', calm);

  await start('database-read-only');
  await until('it is read-only', () => lines.some((line) => line.endsWith('takes no more writes')));
  const writesBefore = cluster.traffic.counts().ok;
  const readOnly = await until('heartbeats are old', ({ healthy }) => healthy.length === 0);
  const [setting] = await rows<{ value: string }>(`SELECT current_setting('transaction_read_only') AS value`);
  const writesIn = cluster.traffic.counts().ok - writesBefore;
  await end('database-read-only');
  await until('healthy', ({ healthy }) => healthy.length === everyStorage.length);

  await start('database-stops');
  let refused: string | undefined;
  for (const begun = performance.now(); refused !== 'ECONNREFUSED' && seconds(begun) < 10; ) {
    await rows('SELECT 1').catch((error: { code?: string }) => {
      refused = error.code;
    });
  }
  await end('database-stops');
  const back = await until('healthy and caught up', (seen) => calm(seen) && seen.healthy.length === 5);

  await start('backlog');
  const growing = await until('a backlog', (seen) => jobs(seen, 'gitaly-2 ready') >= 20);
  await end('backlog');
  await until('drained', calm, 30_000);
  await start('rollout');
  const first = await until('the first one is away', ({ healthy }) => !healthy.includes('gitaly-3'));
  await end('rollout');
  const healthy = await until('all are back', (seen) => seen.healthy.length === 5);
  return { waiting, readOnly, setting, writesIn, refused, back, growing, first, healthy };
});

describe('a database in trouble (capture database), a backlog, a roll-out', () => {
  test('a lock held by hand makes writes wait, while heartbeats go on', async () => {
    const { waiting } = await database;
    expect(waiting).toBeGreaterThanOrEqual(3);
  });

  test('read-only: heartbeats and writes stop, and after 10 s everything counts as unavailable', async () => {
    const { readOnly, setting, writesIn } = await database;
    expect(setting).toEqual({ value: 'on' });
    expect(readOnly.newestHeartbeatAge).toBeGreaterThan(9);
    expect(readOnly.unavailable['default']).toBeGreaterThan(250);
    expect(readOnly.queue).toEqual({});
    expect(writesIn).toBe(0);
  });

  test('stopped: connections are refused; started, all is as before', async () => {
    const { refused, back } = await database;
    expect(refused).toBe('ECONNREFUSED');
    expect(back.unavailable).toEqual({});
  });

  test('a backlog grows while jobs are carried out', async () => {
    const { growing } = await database;
    expect(jobs(growing, 'gitaly-2 in_progress')).toBeGreaterThan(0);
    expect([...growing.healthy].sort()).toEqual(everyStorage);
  });

  test('a roll-out takes one storage after the other, and ends where it is ended', async () => {
    const { first, healthy, bugs } = await database;
    expect(first.healthy).toEqual(expect.arrayContaining(['gitaly-1', 'gitaly-2']));
    expect([...healthy.healthy].sort()).toEqual(everyStorage);
    expect(bugs).toEqual([]);
  });
});
