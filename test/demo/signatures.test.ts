/**
 * Each incident changes the database as the captures of a real cluster in the same incident show
 * (test/fixtures/praefect/19: log, timeline and dumps of each). Health checks take their real 10 s, so the
 * incidents run concurrently in six clusters, and the tests only compare the observations.
 */
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import type { SimulatedCluster } from '../../demo/cluster.ts';
import { incidents } from '../../demo/incidents/catalog.ts';
import { createIncidentRunner } from '../../demo/incidents/runner.ts';
import { createDemoKubernetes, type DemoKubernetes } from '../../demo/kubernetes/cluster.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres/server.ts';
import { demoTopology, type Timings } from '../../demo/topology.ts';
import { createRandom, createWorld } from '../../demo/world.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { archive } from '../support/kubernetes-archive.ts';
import {
  createPodStub,
  isSettled,
  jobs,
  type Observation,
  type ObservedCluster,
  observeCluster,
} from './observe.ts';

jest.setTimeout(120_000);

const everyStorage = ['archive-1', 'archive-2', 'gitaly-1', 'gitaly-2', 'gitaly-3'];
const seconds = (from: number): number => (performance.now() - from) / 1000;

/** Incidents of the database stop their server, so they have their own. */
const shared = startEmbeddedPostgres(AbortSignal.timeout(60_000));
const own = startEmbeddedPostgres(AbortSignal.timeout(60_000));
const clusters: Promise<ObservedCluster>[] = [];

/** Starts a cluster and runs a scenario in it. Tests wait for the observations of the scenario. */
function runScenario<T extends object>(
  server: Promise<EmbeddedPostgres>,
  timings: Partial<Timings>,
  scenario: (observed: ObservedCluster) => Promise<T>,
) {
  const started = server.then((running) => observeCluster(running, { timings }));
  clusters.push(started);
  const seen = started.then(async (observed) => {
    const result = await scenario(observed);
    return { ...result, bugs: observed.cluster.bugs(), lines: observed.lines };
  });
  seen.catch(() => undefined); // reported by the tests that await it
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

const deaths = runScenario(
  shared,
  { reconcile: 15_000, gitFails: 200 },
  async ({ observe, start, end, until }) => {
    const before = await observe();
    const killed = performance.now();
    await start('storage-dies');
    await start('archive-storage-dies');
    await start('praefect-cut-off');
    const firstJobs = await until('jobs for the dead storage', (seen) => jobs(seen, 'gitaly-1 ready') >= 5);
    const unhealthy = await until(
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
    const recovered = await until('up to date', isSettled);

    await start('replication-refused');
    const refused = await until(
      'outdated without jobs',
      (seen) => (seen.behind['gitaly-2'] ?? 0) >= Math.max(20, jobs(seen, 'gitaly-2') + 10),
    );
    await end('replication-refused');
    return { before, firstJobs, unhealthy, after, later, healthyAfter, recovered, refused };
  },
);

describe('storages that go down (capture gitaly-down)', () => {
  test('all storages are healthy before, no job is queued, and no replica is outdated', async () => {
    const { before } = await deaths;
    expect([...before.healthy].sort()).toEqual(everyStorage);
    expect(before).toMatchObject({ queue: {}, behind: {}, unavailable: {}, records: { 3: 270 } });
  });

  test('a dead storage stays healthy for about 10 s, and writes create ready jobs with all attempts', async () => {
    const { firstJobs, after } = await deaths;
    expect(firstJobs.healthy).toContain('gitaly-1');
    expect(jobs(firstJobs, 'gitaly-1 ready 3')).toBe(jobs(firstJobs, 'gitaly-1 ready'));
    expect(firstJobs.unavailable).toEqual({});
    expect(after).toBeGreaterThan(8.5); // captured: 9.2 to 9.8 s
    expect(after).toBeLessThan(12);
  });

  test('primaries move with writes, only from the dead storage, and equal jobs are merged', async () => {
    const { before, later } = await deaths;
    const moved = (storage: string) => (later.primaries[storage] ?? 0) - (before.primaries[storage] ?? 0);
    expect(moved('gitaly-1')).toBeLessThanOrEqual(-5);
    expect(moved('gitaly-2') + moved('gitaly-3')).toBeGreaterThanOrEqual(4); // a repository may be added or removed
    expect(moved('gitaly-2')).toBeGreaterThan(0);
    expect(moved('gitaly-3')).toBeGreaterThan(0);
    expect(jobs(later, 'gitaly-1')).toBeGreaterThan(20);
    // One for each replica and source: a repository whose primary moved may have two.
    expect(jobs(later, 'gitaly-1')).toBeLessThan(1.5 * (later.behind['gitaly-1'] ?? 0));
  });

  test('no repository of `default` is unavailable, and all those of `archive` (factor 1) on the dead storage are', async () => {
    const { before, unhealthy } = await deaths;
    expect(unhealthy.unavailable['default']).toBeUndefined();
    const held = before.primaries['archive-2'] ?? 0;
    expect(held).toBeGreaterThan(5);
    expect(Math.abs((unhealthy.unavailable['archive'] ?? 0) - held)).toBeLessThanOrEqual(1);
  });

  test('a Praefect that is partitioned has stale rows, and the consensus does not change (capture praefect-cut)', async () => {
    const { later } = await deaths;
    expect(later.unseen['praefect-3 gitaly-2']).toBeGreaterThan(10);
    expect(later.unseen['praefect-1 gitaly-2']).toBeUndefined();
    expect(later.healthy).toContain('gitaly-2');
  });

  test('returned storages are healthy within about a second, all replicas are copied, and no primary moves back', async () => {
    const { before, healthyAfter, recovered, bugs } = await deaths;
    expect(healthyAfter).toBeLessThan(3); // captured: 0.7 to 1.2 s
    expect(recovered.primaries['gitaly-1'] ?? 0).toBeLessThanOrEqual((before.primaries['gitaly-1'] ?? 0) - 5);
    expect(bugs).toEqual([]);
  });
});

const replication = runScenario(
  shared,
  { reconcile: 12_000, refreshLocks: 1000, gitFails: 200, poll: 300 },
  async (observed) => {
    const { start, end, until, observe } = observed;
    await start('replication-stalls');
    const stalled = await until(
      'each Praefect holds a batch that hangs',
      (seen) => jobs(seen, 'gitaly-3 in_progress') >= 3 && jobs(seen, 'gitaly-3 ready') >= 5,
    );
    // Many times the refresh interval of 1 s: the locks stay fresh although no job ends.
    const laterStalled = await until(
      'twenty more jobs',
      (seen) => jobs(seen, 'gitaly-3 ready') >= jobs(stalled, 'gitaly-3 ready') + 20,
    );
    await end('replication-stalls');
    await until('up to date', isSettled, 30_000);

    await start('stuck-replica');
    await start('replica-lost');
    await start('repository-lost');
    const observations: Observation[] = [];
    const sampling = performance.now();
    await until('ten seconds of observations', (seen) => {
      observations.push(seen);
      return seconds(sampling) > 9;
    });
    const undetected = await observe();
    const found = await until('the verifier has found both', ({ records }) => records[0] === 2);
    const complete = await until('the five are copied again', ({ records }) => records[2] === undefined);
    const lost = await until('lost for good', ({ unavailable }) => unavailable['default'] === 2);
    await end('repository-lost');
    await end('stuck-replica');
    const restored = await until(
      'restored and caught up',
      (seen) => isSettled(seen) && seen.records[0] === undefined && seen.unverified === 0,
    );
    return { stalled, laterStalled, observations, undetected, found, complete, lost, restored };
  },
);

describe('replication that stalls or fails on healthy storages', () => {
  test('stalled jobs stay in progress with one attempt used, their locks are refreshed, and the queue grows', async () => {
    const { stalled, laterStalled } = await replication;
    expect([...laterStalled.healthy].sort()).toEqual(everyStorage);
    const held = jobs(stalled, 'gitaly-3 in_progress 2');
    expect(held).toBe(jobs(stalled, 'gitaly-3 in_progress'));
    expect(jobs(laterStalled, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(held);
    expect(jobs(laterStalled, 'gitaly-3 in_progress')).toBeLessThanOrEqual(30); // 3 Praefects, batches of 10
    expect(laterStalled.oldestJobLockAge).toBeLessThan(3);
  });

  test('rejected jobs fail three times and are deleted, and most outdated replicas have none', async () => {
    const { refused } = await deaths;
    const behind = refused.behind['gitaly-2'] ?? 0;
    expect(behind).toBeGreaterThanOrEqual(20);
    expect(jobs(refused, 'gitaly-2')).toBeLessThanOrEqual(behind - 10);
    expect([...refused.healthy].sort()).toEqual(everyStorage);
  });

  test('stuck replicas are outdated all the time, and the queue is empty most of the time (captured: 70 of 87)', async () => {
    const { observations } = await replication;
    const settled = observations.filter((seen) => seen.behind['gitaly-3'] === 2);
    const empty = settled.filter((seen) => jobs(seen, 'gitaly-3') === 0);
    expect(settled.length).toBeGreaterThan(observations.length / 2);
    expect(empty.length).toBeGreaterThan(settled.length / 4);
  });

  test('lost replicas are not detected before a verification (capture replica-lost)', async () => {
    const { undetected } = await replication;
    expect(undetected.unavailable).toEqual({});
    expect(Object.keys(undetected.records)).toEqual(['3']);
  });

  test('verified losses delete records; repositories with a copy recover, those without are lost and unavailable', async () => {
    const { found, complete, lost, restored, bugs } = await replication;
    expect(found.records[0]).toBe(2);
    expect(complete.records[0]).toBe(2);
    expect(lost.unavailable).toEqual({ default: 2 });
    expect(restored.unavailable).toEqual({});
    expect(bugs).toEqual([]);
  });
});

const onlyCopy = runScenario(shared, { reconcile: 6000 }, async ({ start, end, until }) => {
  await start('only-copy-dies');
  const written = await until(
    'writes on one replica alone',
    (seen) => jobs(seen, 'gitaly-2 ready') >= 20,
    30_000,
  );
  const unavailable = await until(
    'the others are back, and repositories with lost writes are unavailable',
    (seen) =>
      !seen.healthy.includes('gitaly-1') &&
      (seen.unavailable['default'] ?? 0) >= 20 &&
      jobs(seen, 'gitaly-2') + jobs(seen, 'gitaly-3') === 0,
    40_000,
  );
  await end('only-copy-dies');
  const recovered = await until('up to date', isSettled, 40_000);
  return { written, unavailable, recovered };
});

describe('the only up-to-date copy is lost (capture unavailable)', () => {
  test('jobs from it are deleted, the queue is empty, and the written repositories are unavailable', async () => {
    const { unavailable } = await onlyCopy;
    const behind = unavailable.behind['gitaly-2'] ?? 0;
    expect(behind).toBeGreaterThanOrEqual(20);
    expect(unavailable.behind['gitaly-3']).toBe(behind);
    expect(unavailable.unavailable).toEqual({ default: behind });
  });

  test('after its return the reconciler queues the jobs again and no replica stays outdated', async () => {
    const { recovered, bugs, lines } = await onlyCopy;
    expect(recovered.unavailable).toEqual({});
    expect(lines).toContainEqual(expect.stringMatching(/reconciler queued \d+ replication jobs/));
    expect(bugs).toEqual([]);
  });
});

const praefects = runScenario(
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
    const stale = await until(
      'a lock that is no longer refreshed',
      (seen) => (seen.oldestJobLockAge ?? 0) > 4,
    );
    const release = () =>
      lines.find((line) => line.includes('replication locks that were no longer refreshed'));
    await until('released by the others', () => release() !== undefined);
    const released = release();
    await end('praefect-dies');
    await until('up to date', isSettled);

    await start('storage-hangs');
    const hung = await until('it hangs with jobs', ({ healthy }) => !healthy.includes('gitaly-3'), 30_000);
    const failed = await until(
      'the connection is closed',
      (seen) => jobs(seen, 'gitaly-3 in_progress') === 0,
    );
    await end('storage-hangs');
    await until('up to date', isSettled);
    return { stale, released, hung, failed };
  },
);

const silence = runScenario(shared, {}, async ({ start, end, until }) => {
  await start('all-praefects-die');
  const withoutPraefects = await until('no storage is healthy', ({ healthy }) => healthy.length === 0);
  await end('all-praefects-die');
  const recovered = await until('healthy', ({ healthy }) => healthy.length === everyStorage.length);
  return { withoutPraefects, recovered };
});

describe('Praefects that die, and a Gitaly that hangs', () => {
  test('jobs of a dead Praefect stay in progress until the others release them as failed (capture praefect-killed)', async () => {
    const { stale, released } = await praefects;
    expect(jobs(stale, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(5);
    expect([...stale.healthy].sort()).toEqual(everyStorage);
    expect(released).toMatch(/^praefect-\d released (\d{2}|[5-9]) replication locks/);
  });

  test('jobs of a hung Gitaly stay in progress until gRPC closes the connection, then fail (capture gitaly-hung)', async () => {
    const { hung, failed, bugs } = await praefects;
    expect(jobs(hung, 'gitaly-3 failed 2') + jobs(hung, 'gitaly-3 in_progress 2')).toBeGreaterThanOrEqual(5);
    expect(jobs(failed, 'gitaly-3 failed 2')).toBeGreaterThanOrEqual(5);
    expect(failed.healthy).not.toContain('gitaly-3');
    expect(bugs).toEqual([]);
  });

  test('heartbeats stop without Praefects, and all repositories are unavailable according to the database', async () => {
    const { withoutPraefects, recovered, bugs } = await silence;
    expect(withoutPraefects.newestHeartbeatAge).toBeGreaterThan(9);
    expect(withoutPraefects.unavailable).toEqual({
      default: expect.any(Number),
      archive: expect.any(Number),
    });
    expect(withoutPraefects.unavailable['default']).toBeGreaterThan(250);
    expect(recovered.unavailable).toEqual({});
    expect(bugs).toEqual([]);
  });
});

const database = runScenario(own, { reconcile: 4000 }, async (observed) => {
  const { cluster, lines, start, end, until, rows } = observed;
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
  await until('up to date', isSettled);

  await start('database-read-only');
  await until('it is read-only', () => lines.some((line) => line.endsWith('rejects writes')));
  const writesBefore = cluster.traffic.counts().ok;
  const readOnly = await until('heartbeats are stale', ({ healthy }) => healthy.length === 0);
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
  const back = await until('healthy and caught up', (seen) => isSettled(seen) && seen.healthy.length === 5);

  await start('backlog');
  const growing = await until('a backlog', (seen) => jobs(seen, 'gitaly-2 ready') >= 20);
  await end('backlog');
  await until('drained', isSettled, 30_000);
  await start('rollout');
  const first = await until('the first one is down', ({ healthy }) => !healthy.includes('gitaly-3'));
  await end('rollout');
  const healthy = await until('all are back', (seen) => seen.healthy.length === 5);
  return { waiting, readOnly, setting, writesIn, refused, back, growing, first, healthy };
});

describe('incidents of the database (capture database), a backlog, a rollout', () => {
  test('a manual lock blocks writes while heartbeats continue', async () => {
    const { waiting } = await database;
    expect(waiting).toBeGreaterThanOrEqual(3);
  });

  test('a read-only database stops heartbeats and writes, and after 10 s all repositories are unavailable', async () => {
    const { readOnly, setting, writesIn } = await database;
    expect(setting).toEqual({ value: 'on' });
    expect(readOnly.newestHeartbeatAge).toBeGreaterThan(9);
    expect(readOnly.unavailable['default']).toBeGreaterThan(250);
    expect(readOnly.queue).toEqual({});
    expect(writesIn).toBe(0);
  });

  test('a stopped database refuses connections, and a restarted one recovers completely', async () => {
    const { refused, back } = await database;
    expect(refused).toBe('ECONNREFUSED');
    expect(back.unavailable).toEqual({});
  });

  test('a backlog grows while jobs complete', async () => {
    const { growing } = await database;
    expect(jobs(growing, 'gitaly-2 in_progress')).toBeGreaterThan(0);
    expect([...growing.healthy].sort()).toEqual(everyStorage);
  });

  test('a rollout restarts one storage after the other and stops when it is ended', async () => {
    const { first, healthy, bugs } = await database;
    expect(first.healthy).toEqual(expect.arrayContaining(['gitaly-1', 'gitaly-2']));
    expect([...healthy.healthy].sort()).toEqual(everyStorage);
    expect(bugs).toEqual([]);
  });
});

// --- Kubernetes: the demo's pods go through the states of the recorded ones (test/fixtures/kubernetes).

interface RecordedPod {
  readonly metadata: {
    readonly name: string;
    readonly deletionTimestamp?: string;
    readonly deletionGracePeriodSeconds?: number;
  };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
    }[];
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly state: Readonly<Record<string, { readonly reason?: string }>>;
      readonly lastState?: { readonly terminated?: { readonly reason: string } };
    }[];
  };
}

/** One line: deletion, phase, state of Gitaly's container, and the conditions that rotations depend on. */
function stateOf(type: string, { metadata, status }: RecordedPod): string {
  const condition = (name: string): string => {
    const found = status.conditions?.find((each) => each.type === name);
    return found === undefined ? `no ${name}` : [name, found.status, found.reason].filter(Boolean).join(' ');
  };
  const container = status.containerStatuses?.find(({ name }) => name === 'gitaly');
  const [[kind, state] = ['no container', undefined]] = Object.entries(container?.state ?? {});
  const { deletionTimestamp, deletionGracePeriodSeconds: grace } = metadata;
  return [
    type,
    deletionTimestamp === undefined ? 'kept' : grace === 0 ? 'removed now' : 'deleted',
    [status.phase, status.reason].filter(Boolean).join(' '),
    [kind, state?.reason].filter(Boolean).join(' '),
    `last ${container?.lastState?.terminated?.reason ?? 'none'}`,
    ...['PodScheduled', 'Ready', 'DisruptionTarget'].map(condition),
  ].join(', ');
}

const withoutRepetition = (states: readonly string[]): readonly string[] =>
  states.filter((state, index) => state !== states[index - 1]);

/** The states of the pod in a recorded watch. */
const recordedStates = (name: string, pod: string): readonly string[] =>
  withoutRepetition(
    archive(name)
      .watch('pods')
      .map((line) => JSON.parse(line) as { type: string; object: RecordedPod })
      .filter(({ type, object }) => type !== 'BOOKMARK' && object.metadata.name === pod)
      .map(({ type, object }) => stateOf(type, object)),
  );

/** Runs an incident 20 times as fast, without a database, until the condition holds. */
async function runInKubernetes(
  name: string,
  pod: string,
  isOver: (kubernetes: DemoKubernetes, states: readonly string[]) => boolean,
) {
  const world = createWorld(demoTopology);
  const node = createPodStub();
  const random = createRandom(3);
  const kubernetes = createDemoKubernetes({ clock: systemClock, random, world, node, speed: 20 });
  const states: string[] = [];
  kubernetes.store.subscribe(({ resource, type, object }) => {
    const changed = object as unknown as RecordedPod;
    if (resource === 'pods' && changed.metadata.name === pod) states.push(stateOf(type, changed));
  });
  const end = new AbortController();
  const ran = kubernetes.run(end.signal);
  const runner = createIncidentRunner({
    ...{ incidents, kubernetes, node, log: () => undefined },
    cluster: { clock: systemClock, world } as SimulatedCluster,
    ...{ sql: { query: async () => [] }, database: undefined as never, gitalys: undefined as never },
  });
  await runner.start(name);
  for (const deadline = performance.now() + 20_000; !isOver(kubernetes, states); ) {
    if (performance.now() > deadline) throw new Error(`timeout: ${states.join('\n')}`);
    await systemClock.sleep(20);
  }
  const during = [...states];
  await runner.stop(name);
  for (const deadline = performance.now() + 20_000; !allReady(kubernetes); ) {
    if (performance.now() > deadline) throw new Error(`not Ready again after ${name}`);
    await systemClock.sleep(20);
  }
  end.abort();
  await ran;
  return { kubernetes, states: withoutRepetition(during), nodeAfter: kubernetes.nodeOf(pod) };
}

const allReady = (kubernetes: DemoKubernetes): boolean =>
  ['gitaly-1', 'gitaly-2', 'gitaly-3'].every(kubernetes.isReady) && kubernetes.isRolledOut();

const isReplaced = (pod: string) => (kubernetes: DemoKubernetes, states: readonly string[]) =>
  states.some((state) => state.startsWith('DELETED')) && kubernetes.isReady(pod);

describe('incidents of Kubernetes', () => {
  test.each([
    ['pod-deleted', 'gitaly-2', 'rotate-delete', 'gl-gitaly-default-1'],
    ['node-drained', 'gitaly-1', 'drain', 'gl-gitaly-default-2'],
    ['pod-evicted', 'gitaly-3', 'evicted', 'gl-gitaly-default-0'],
  ])('%s takes its pod through the recorded states', async (name, pod, recording, recordedPod) => {
    const { states } = await runInKubernetes(name, pod, isReplaced(pod));
    expect(states).toEqual(recordedStates(recording, recordedPod));
  });

  test('a drained node and one under memory pressure lose their pod to another node', async () => {
    expect((await runInKubernetes('node-drained', 'gitaly-1', isReplaced('gitaly-1'))).nodeAfter).toBe(
      'worker-4',
    );
    expect((await runInKubernetes('pod-evicted', 'gitaly-3', isReplaced('gitaly-3'))).nodeAfter).toBe(
      'worker-4',
    );
  });

  test('a restarted rollout replaces every pod through the recorded states, the highest ordinal first', async () => {
    const { states } = await runInKubernetes('rollout', 'gitaly-1', isReplaced('gitaly-1'));
    expect(states).toEqual(recordedStates('rollout', 'gl-gitaly-default-0'));
  });

  test('an image that cannot be pulled stops the rollout at the first pod', async () => {
    const { states } = await runInKubernetes('image-pull-fails', 'gitaly-3', (_, seen) =>
      seen.some((state) => state.includes('ImagePullBackOff')),
    );
    expect(states.at(-1)).toMatch(/Pending, waiting ImagePullBackOff, .*Ready False ContainersNotReady/);
  });

  test('a pod that fits on no node stays Pending and unschedulable', async () => {
    const { states } = await runInKubernetes('pod-pending', 'gitaly-1', (_, seen) =>
      seen.some((state) => state.includes('Unschedulable')),
    );
    expect(states.at(-1)).toMatch(
      /kept, Pending, no container, .*PodScheduled False Unschedulable, no Ready/,
    );
  });

  test('a blocked drain keeps the pod on its node, and the budget allows no disruption', async () => {
    let allowed: unknown;
    const { states } = await runInKubernetes('drain-blocked', 'gitaly-2', ({ store }) => {
      const [budget] = store.list('poddisruptionbudgets') as unknown as [
        { status: { disruptionsAllowed: number } },
      ];
      allowed = budget.status.disruptionsAllowed;
      const nodes = store.list('nodes') as unknown as { spec: { unschedulable?: boolean } }[];
      return allowed === 0 && nodes.some(({ spec }) => spec.unschedulable === true);
    });
    expect(allowed).toBe(0);
    expect(states).toEqual([]);
  });

  test('a container that is OOM-killed again waits for its back-off, as recorded', async () => {
    const kubernetes = createDemoKubernetes({
      ...{ clock: systemClock, random: createRandom(3), world: createWorld(demoTopology) },
      ...{ node: createPodStub(), speed: 20 },
    });
    const states: string[] = [];
    kubernetes.store.subscribe(({ resource, type, object }) => {
      if (resource === 'pods') states.push(stateOf(type, object as unknown as RecordedPod));
    });
    const end = new AbortController();
    const ran = kubernetes.run(end.signal);
    for (let kill = 0; kill < 2; kill += 1) {
      kubernetes.containerOomKilled('gitaly-3');
      kubernetes.restartContainer('gitaly-3');
      while (!kubernetes.isReady('gitaly-3')) await systemClock.sleep(20);
    }
    end.abort();
    await ran;
    expect(withoutRepetition(states)).toEqual([
      ...recordedStates('oom-container', 'gl-gitaly-default-2'),
      ...recordedStates('oom-crashloop', 'gl-gitaly-default-2'),
    ]);
  });
});
