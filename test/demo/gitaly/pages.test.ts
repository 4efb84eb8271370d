/** The demo's Gitalys through the exporter's own eyes: real HTTP, real files, and an incident that saturates a limit. */
import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createLimiter } from '../../../demo/gitaly/limiter.ts';
import { type GitalyPages, startGitalyPages } from '../../../demo/gitaly/pages.ts';
import type { Scene } from '../../../demo/incidents/incident.ts';
import { createRandom } from '../../../demo/random.ts';
import { demoTopology } from '../../../demo/topology.ts';
import type { Gitaly } from '../../../demo/world.ts';
import { gitalyProblems } from '../../../src/rules/problems/gitaly.ts';
import { type Reading, readingOf } from '../../../src/rules/problems/reading.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import {
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  packObjectsLimit,
  requestsDropped,
  scrapeUp,
} from '../../../src/sources/gitaly/metrics.ts';
import { systemResolve } from '../../../src/sources/gitaly/resolve.ts';
import { createGitalySource } from '../../../src/sources/gitaly/source.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const started: GitalyPages[] = [];
afterEach(async () => {
  for (const pages of started.splice(0)) await pages.stop();
});

async function stage() {
  const clock = createManualClock();
  const processes = new Map<string, Gitaly['process']>();
  const pages = await startGitalyPages({
    topology: demoTopology,
    clock,
    random: createRandom(1),
    process: (storage) => processes.get(storage) ?? 'running',
  });
  started.push(pages);
  const events = createEventLog(clock);
  const collector = createGitalySource({
    settings: {
      gitaly: {
        target: pages.targets,
        configFile: pages.configFiles,
        scrape: {
          ...{ interval: 15_000, timeout: 5000, maxBytes: 1e6, maxSeries: 10_000 },
          ...{ credentialsFile: undefined, tls: {} },
        },
      },
      praefectTargets: undefined,
    },
    clock,
    events,
    hostName: 'here',
    resolve: systemResolve,
    readText: (path) => readFile(path, 'utf8'),
  })!;
  return {
    pages,
    events,
    processes,
    clock,
    /** 15 s later. */
    async look(): Promise<{ kind: string; reading: Reading; problems: readonly string[] }> {
      await clock.advance(15_000);
      const outcome = await collector.collect({
        cause: 'due',
        signal: new AbortController().signal,
      });
      const reading = readingOf('block' in outcome && outcome.block !== undefined ? [outcome.block] : []);
      const problems = gitalyProblems('snapshot' in outcome ? outcome.snapshot : undefined);
      return { kind: outcome.kind, reading, problems: problems.map(({ title }) => title) };
    },
  };
}

const gitaly = { namespace: '', pod: '', node: 'gitaly-1' };
const archive = { ...gitaly, grpc_service: 'gitaly.RepositoryService', grpc_method: 'GetArchive' };

test('at rest: five Gitalys that live, with limits that are what their files say, and nothing wrong', async () => {
  const { look } = await stage();
  const { kind, reading, problems } = await look();
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
  await look();
  expect((await look()).reading.value(concurrencyLimit, { ...ssh, kind: 'adaptive', bound: 'current' })).toBe(
    21,
  );
});

test('a saturated limit turns clients away, is an event and a problem, and is over when it is over', async () => {
  const { pages, look, events } = await stage();
  await look();
  const [incident] = pages.incidents;
  const end = Promise.withResolvers<void>();
  const said: string[] = [];
  const over = incident!.run({
    say: (line: string) => said.push(line),
    untilEnded: () => end.promise,
  } as unknown as Scene);
  await look();
  const { reading, problems } = await look();
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
  for (let i = 0; i < 10; i++) await look();
  expect((await look()).problems).toEqual([]);
  expect(events.recent().filter(({ kind }) => kind === 'limit_cleared')).toHaveLength(reached.length);
  expect(said).toHaveLength(2);
});

test('one that dies or stands still cannot be read, and counts from 0 when it runs again', async () => {
  const { look, processes } = await stage();
  const before = await look();
  processes.set('gitaly-2', 'dead');
  const { kind, reading, problems } = await look();
  expect(kind).toBe('failed');
  expect(problems).toEqual(['The metrics of Gitaly gitaly-2 cannot be read']);
  expect(reading.value(scrapeUp, { ...gitaly, node: 'gitaly-2', component: 'gitaly' })).toBe(0);
  processes.delete('gitaly-2');
  expect((await look()).problems).toEqual([]);
  expect(before.kind).toBe('data');
});

test('stopping leaves no file and no server, and may be asked for twice', async () => {
  const { pages } = await stage();
  const [file] = pages.configFiles;
  expect(await readFile(file!.file, 'utf8')).toContain('[[concurrency]]');
  await pages.stop();
  await pages.stop();
  await expect(readFile(file!.file)).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(fetch(pages.targets[0]!.url)).rejects.toThrow();
});

describe('the simulated limiter', () => {
  const limiter = () => createLimiter({ limit: 2, queueSize: 1, queueWaitMs: 1000 });

  test('lets in, queues and refuses for each key alone', () => {
    const { arrive, state } = limiter();
    for (let i = 0; i < 5; i++) arrive('a', 500, 0);
    arrive('b', 500, 0);
    expect(state).toMatchObject({ inProgress: 3, queued: 1, dropped: { max_size: 2, max_time: 0 } });
  });

  test('lets the next in when one ends, and tells how long it waited', () => {
    const { arrive, advance, state } = limiter();
    for (let i = 0; i < 3; i++) arrive('a', 500, 0);
    advance(600);
    expect(state).toMatchObject({ inProgress: 1, queued: 0, served: 2 });
    expect(state.waits).toMatchObject({ sum: 0.6, count: 3 });
    expect(state.waits.buckets.slice(0, 6)).toEqual([2, 2, 2, 2, 2, 3]);
  });

  test('gives up on those who wait too long', () => {
    const { arrive, advance, state } = limiter();
    for (let i = 0; i < 3; i++) arrive('a', 5000, 0);
    advance(1000);
    expect(state).toMatchObject({ inProgress: 2, queued: 0, dropped: { max_size: 0, max_time: 1 } });
  });
});
