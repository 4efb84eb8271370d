/** The exporter reads the demo's Gitalys: real HTTP, real files, and an incident that saturates a limit. */
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createLimiter } from '../../demo/gitaly/limits.ts';
import { type GitalyServers, startGitalyServers } from '../../demo/gitaly/servers.ts';
import { gitalyIncidents } from '../../demo/incidents/gitaly.ts';
import type { Scene } from '../../demo/incidents/incident.ts';
import { demoTopology } from '../../demo/topology.ts';
import { createRandom, type GitalyState } from '../../demo/world.ts';
import { gitalyProblems } from '../../src/rules/problems/gitaly.ts';
import { createProblemHistory } from '../../src/rules/problems/history.ts';
import { defaultThresholds } from '../../src/rules/thresholds.ts';
import { createEventLog } from '../../src/scheduler/event-log.ts';
import { createGitalyCollector } from '../../src/sources/gitaly/collector.ts';
import { configFiles, configuredTargets } from '../../src/sources/gitaly/configured.ts';
import { createDropTracker } from '../../src/sources/gitaly/drops.ts';
import {
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  packObjectsLimit,
  requestsDropped,
  scrapeUp,
} from '../../src/sources/gitaly/metrics.ts';
import { systemResolve } from '../../src/sources/gitaly/resolve.ts';
import { type BlockValues, blockValues } from '../support/block-values.ts';
import { createManualClock } from '../support/manual-clock.ts';

const started: GitalyServers[] = [];
afterEach(async () => {
  for (const servers of started.splice(0)) await servers.stop();
});

async function setUp() {
  const clock = createManualClock();
  const processes = new Map<string, GitalyState['process']>();
  const gitalys = await startGitalyServers({
    topology: demoTopology,
    clock,
    random: createRandom(1),
    process: (storage) => processes.get(storage) ?? 'running',
  });
  started.push(gitalys);
  const events = createEventLog(clock);
  const readText = (path: string) => readFile(path, 'utf8');
  const collector = createGitalyCollector({
    targets: [
      configuredTargets({
        gitaly: gitalys.targets,
        praefect: [],
        access: { tls: {}, credentialsFile: undefined },
        hostName: 'here',
        resolve: systemResolve,
      }),
    ],
    configs: [configFiles({ files: gitalys.configFiles, hostName: 'here', readText })],
    limits: { timeoutMs: 5000, maxBytes: 1e6, maxSamples: 10_000 },
    intervalMs: 15_000,
    clock,
    resolve: systemResolve,
    readText,
    drops: createDropTracker(clock, events, 300_000),
  });
  const history = createProblemHistory(() => defaultThresholds);
  return {
    gitalys,
    events,
    processes,
    clock,
    /** Collects 15 s later. */
    async collect(): Promise<{ kind: string; reading: BlockValues; problems: readonly string[] }> {
      await clock.advance(15_000);
      const outcome = await collector.collect({
        cause: 'due',
        signal: new AbortController().signal,
      });
      const reading = blockValues('block' in outcome && outcome.block !== undefined ? [outcome.block] : []);
      const view = 'snapshot' in outcome ? outcome.snapshot : undefined;
      history.record({ praefect: undefined, gitaly: view, cgroup: undefined }, clock.now() / 1000);
      const problems =
        view === undefined ? [] : gitalyProblems({ view, history, thresholds: defaultThresholds });
      return { kind: outcome.kind, reading, problems: problems.map(({ title }) => title) };
    },
  };
}

const gitaly = { namespace: '', pod: '', node: 'gitaly-1' };
const archive = { ...gitaly, grpc_service: 'gitaly.RepositoryService', grpc_method: 'GetArchive' };

test('five Gitalys run with the limits of their configuration and without problems', async () => {
  const { collect } = await setUp();
  const { kind, reading, problems } = await collect();
  expect(kind).toBe('data');
  expect(problems).toEqual([]);
  expect(reading.series(scrapeUp).map(({ labels, value }) => [labels.node, value])).toEqual(
    ['gitaly-1', 'gitaly-2', 'gitaly-3', 'archive-1', 'archive-2'].map((node) => [node, 1]),
  );
  expect(reading.value(concurrencyLimit, { ...archive, kind: 'static', bound: 'current' })).toBe(2);
  expect(reading.value(packObjectsLimit, { ...gitaly, kind: 'static', bound: 'current' })).toBe(15);
  const ssh = { ...gitaly, grpc_service: 'gitaly.SSHService', grpc_method: 'SSHUploadPackWithSidechannel' };
  expect(reading.value(concurrencyLimit, { ...ssh, kind: 'adaptive', bound: 'current' })).toBe(20);
  const inProgress = reading.series(concurrencyInProgress).reduce((sum, { value }) => sum + value, 0);
  expect(inProgress).toBeGreaterThan(5);
  await collect();
  expect(
    (await collect()).reading.value(concurrencyLimit, { ...ssh, kind: 'adaptive', bound: 'current' }),
  ).toBe(21);
});

test('a saturated limit drops requests and is an event and a problem until it ends', async () => {
  const { gitalys, collect, events } = await setUp();
  await collect();
  const incident = gitalyIncidents.find(({ name }) => name === 'limit-saturated');
  const end = Promise.withResolvers<void>();
  const reported: string[] = [];
  const over = incident!.run({
    gitalys,
    report: (line: string) => reported.push(line),
    untilEnded: () => end.promise,
  } as unknown as Scene);
  await collect();
  const { reading, problems } = await collect();
  const dropped = reading.value(requestsDropped, { ...archive, reason: 'queue_full' })!;
  expect(dropped).toBeGreaterThan(50);
  expect(reading.value(concurrencyQueued, archive)).toBeGreaterThanOrEqual(2);
  expect(problems).toEqual(['GetArchive: requests are dropped on gitaly-1, gitaly-2, gitaly-3']);
  const reached = events.recent().filter(({ kind }) => kind === 'limit_reached');
  expect(new Set(reached.map(({ labels }) => labels['node']))).toEqual(
    new Set(['gitaly-1', 'gitaly-2', 'gitaly-3']),
  );

  end.resolve();
  await over;
  // The drops leave the window of five minutes.
  for (let i = 0; i < 21; i++) await collect();
  expect((await collect()).problems).toEqual([]);
  expect(events.recent().filter(({ kind }) => kind === 'limit_cleared')).toHaveLength(reached.length);
  expect(reported).toHaveLength(2);
});

test('a dead Gitaly cannot be scraped, and its counters restart at 0', async () => {
  const { collect, processes } = await setUp();
  const before = await collect();
  processes.set('gitaly-2', 'dead');
  const { kind, reading, problems } = await collect();
  expect(kind).toBe('failed');
  expect(problems).toEqual(['Gitaly gitaly-2 is unreachable']);
  expect(reading.value(scrapeUp, { ...gitaly, node: 'gitaly-2', component: 'gitaly' })).toBe(0);
  processes.delete('gitaly-2');
  expect((await collect()).problems).toEqual([]);
  expect(before.kind).toBe('data');
});

test('stop removes all files and servers and is idempotent', async () => {
  const { gitalys } = await setUp();
  const [file] = gitalys.configFiles;
  expect(await readFile(file!.file, 'utf8')).toContain('[[concurrency]]');
  await gitalys.stop();
  await gitalys.stop();
  await expect(readFile(file!.file)).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(fetch(gitalys.targets[0]!.url)).rejects.toThrow();
});

describe('the simulated limiter', () => {
  const limiter = () => createLimiter({ limit: 2, queueSize: 1, queueWaitMs: 1000 });

  test('runs, queues and drops calls for each key separately', () => {
    const { arrive, state } = limiter();
    for (let i = 0; i < 5; i++) arrive('a', 500, 0);
    arrive('b', 500, 0);
    expect(state).toMatchObject({ inProgress: 3, queued: 1, dropped: { max_size: 2, max_time: 0 } });
  });

  test('starts a queued call when one ends, and records its waiting time', () => {
    const { arrive, advance, state } = limiter();
    for (let i = 0; i < 3; i++) arrive('a', 500, 0);
    advance(600);
    expect(state).toMatchObject({ inProgress: 1, queued: 0, served: 2 });
    expect(state.waits).toMatchObject({ sum: 0.6, count: 3 });
    expect(state.waits.buckets.slice(0, 6)).toEqual([2, 2, 2, 2, 2, 3]);
  });

  test('drops calls that wait too long', () => {
    const { arrive, advance, state } = limiter();
    for (let i = 0; i < 3; i++) arrive('a', 5000, 0);
    advance(1000);
    expect(state).toMatchObject({ inProgress: 2, queued: 0, dropped: { max_size: 0, max_time: 1 } });
  });
});
