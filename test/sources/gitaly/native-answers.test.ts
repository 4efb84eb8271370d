/** Praefect's own answers, read from real HTTP servers that serve what Praefects of 14.9 and 19 served. */
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { lintBlock } from '../../../src/metrics/lint-block.ts';
import { type Block, samplesOf } from '../../../src/metrics/samples.ts';
import { nativeProblems } from '../../../src/rules/problems/native.ts';
import { readingOf } from '../../../src/rules/problems/reading.ts';
import type { Outcome } from '../../../src/scheduler/outcome.ts';
import { createNativeAnswers } from '../../../src/sources/gitaly/native-answers.ts';
import { nativeMetrics } from '../../../src/sources/gitaly/native-metrics.ts';
import { openAccess } from '../../../src/sources/gitaly/scrape/access.ts';
import { systemResolve } from '../../../src/sources/gitaly/scrape/resolve.ts';
import { repositoriesUnavailable } from '../../../src/sources/praefect/mirror/metrics.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { samplesOfBlock } from './support.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/praefect');
const captured = [
  ...globSync('14.9/*.db.prom', { cwd: fixtures }),
  ...globSync('19/**/praefect-1.db_metrics.txt', { cwd: fixtures }),
].sort();
const page = (name: string): string => readFileSync(join(fixtures, name), 'utf8');

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** A Praefect that has one path, counts its reads, and says what it is told to say. */
async function praefect(first: string, path = '/db_metrics') {
  const state = { page: first, reads: 0, url: '' };
  const server = createServer((request, response) => {
    state.reads += 1;
    if (request.url === path)
      response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(state.page);
    else response.writeHead(404).end('404 page not found\n');
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  state.url = `http://127.0.0.1:${(server.address() as { port: number }).port}/db_metrics`;
  return state;
}

const minute = 60_000;

function answers(...praefects: { readonly url: string }[]) {
  const clock = createManualClock();
  const ours = new Map<string, number>();
  const made = createNativeAnswers({
    targets: praefects.map(({ url }, i) => ({ name: `praefect-${i + 1}`, url, everyAddress: false })),
    intervalMs: 5 * minute,
    access: openAccess,
    maxBytes: 1_000_000,
    maxSamples: 1000,
    clock,
    hostName: 'this-host',
    resolve: systemResolve,
    readText: () => Promise.reject(new Error('no files')),
    ours: () => ours,
  });
  const [collector] = made!.collectors;
  let shown: Block | undefined;
  return {
    clock,
    ours,
    async collect(): Promise<Outcome> {
      const outcome = await collector!.collect({ cause: 'due', signal: new AbortController().signal });
      if ('block' in outcome && outcome.block !== undefined) shown = outcome.block;
      return outcome;
    },
    /** What the page says of what is shown now, ours included. */
    problems() {
      const own = samplesOf(repositoriesUnavailable);
      for (const [virtual_storage, value] of ours) own.set({ virtual_storage }, value);
      const blocks = [...(shown === undefined ? [] : [shown]), { families: [own.family()] }];
      return nativeProblems({ reading: readingOf(blocks), differences: made!.differences() });
    },
  };
}

function lines(outcome: Outcome): string[] {
  if (!('block' in outcome) || outcome.block === undefined) return [];
  expect(lintBlock(outcome.block, nativeMetrics)).toEqual([]);
  return samplesOfBlock(outcome.block);
}

const unavailable = (count: number, virtualStorage = 'default'): string =>
  `gitaly_praefect_unavailable_repositories{virtual_storage="${virtualStorage}"} ${count}\n`;

describe('captured pages', () => {
  test('are there, of both versions', () => {
    expect(captured.filter((name) => name.startsWith('14.9')).length).toBeGreaterThan(10);
    expect(captured.filter((name) => name.startsWith('19')).length).toBeGreaterThan(50);
  });

  test.each(captured)('%s: both families as Praefect says them, and nothing else', async (name) => {
    const outcome = await answers(await praefect(page(name))).collect();
    expect(outcome.kind).toBe('data');
    const expected = page(name)
      .split('\n')
      .flatMap((line) => {
        const [, vs, count] = /^gitaly_praefect_unavail.*{virtual_storage="(.*)"} (\d+)$/.exec(line) ?? [];
        if (vs !== undefined)
          return `praefect_native_repositories_unavailable{virtual_storage="${vs}"} ${count}`;
        const [, state, node, of, jobs] =
          /^gitaly_praefect_replication_queue_depth{state="(.*)",target_node="(.*)",virtual_storage="(.*)"} (\d+)$/.exec(
            line,
          ) ?? [];
        return state === undefined
          ? []
          : `praefect_native_replication_queue_depth{virtual_storage="${of}",storage="${node}",state="${state}"} ${jobs}`;
      });
    expect(lines(outcome).sort()).toEqual(expected.sort());
  });

  test('golden: half of a cluster down', async () => {
    const server = await praefect(page('14.9/07-archive-half-unavailable.praefect-1.db.prom'));
    expect(lines(await answers(server).collect())).toEqual([
      'praefect_native_repositories_unavailable{virtual_storage="archive"} 2',
      'praefect_native_repositories_unavailable{virtual_storage="default"} 2',
      'praefect_native_replication_queue_depth{virtual_storage="default",storage="gitaly-1",state="ready"} 2',
    ]);
  });
});

describe('what is no answer is a failure, never zeros', () => {
  test.each([
    ['empty, as while the database is down', '', /empty page: it cannot query its database/],
    [
      'without the unavailable repositories, as after a failed query',
      'gitaly_praefect_replication_queue_depth{state="ready",target_node="a",virtual_storage="default"} 2\n',
      /its query of it failed/,
    ],
    ['of /metrics', 'go_goroutines 5\ngitaly_praefect_connections_total 3\n', /not the page of/],
    [
      'not a number',
      'gitaly_praefect_unavailable_repositories{virtual_storage="default"} NaN\n',
      /does not say/,
    ],
  ])('a page that is %s', async (_, text, message) => {
    const outcome = await answers(await praefect(text)).collect();
    expect(outcome).toEqual({
      kind: 'failed',
      reason: 'parse',
      message: expect.stringMatching(message),
    });
  });

  test('a Praefect that has no /db_metrics', async () => {
    const outcome = await answers(await praefect(unavailable(0), '/metrics')).collect();
    expect(outcome).toEqual({
      kind: 'failed',
      reason: 'http_status',
      message: expect.stringMatching(/^Praefect praefect-1 \(http:.*\/db_metrics\).*404.*GitLab 14\.8 on/),
    });
  });

  test('costs the Praefect no second read within the interval', async () => {
    const server = await praefect('');
    const { clock, collect } = answers(server);
    for (let run = 0; run < 10; run += 1) {
      const { kind } = await collect();
      expect(kind).toBe('failed');
      await clock.advance(30_000);
    }
    expect(server.reads).toBe(1);
    server.page = unavailable(0);
    const { kind } = await collect();
    expect({ kind, reads: server.reads }).toEqual({ kind: 'data', reads: 2 });
  });
});

describe('several Praefects', () => {
  test('the highest number of each', async () => {
    const [one, two] = [
      await praefect(unavailable(3) + unavailable(0, 'archive')),
      await praefect(unavailable(2) + unavailable(7, 'archive')),
    ];
    const outcome = await answers(one, two).collect();
    expect(outcome.kind).toBe('data');
    expect(lines(outcome)).toEqual([
      'praefect_native_repositories_unavailable{virtual_storage="default"} 3',
      'praefect_native_repositories_unavailable{virtual_storage="archive"} 7',
    ]);
  });

  test('one that fails is named, and the other is shown', async () => {
    const outcome = await answers(await praefect(unavailable(3)), await praefect('')).collect();
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'parse',
      message: expect.stringContaining('praefect-2'),
    });
    expect(lines(outcome)).toEqual(['praefect_native_repositories_unavailable{virtual_storage="default"} 3']);
  });
});

describe('the problem', () => {
  const titles = (problems: readonly { title: string }[]) => problems.map(({ title }) => title);

  test('appears at the second read that differs, and goes when they agree', async () => {
    const server = await praefect(unavailable(5) + unavailable(1, 'archive'));
    const { clock, ours, collect, problems } = answers(server);
    ours.set('default', 2).set('archive', 1);
    const since = clock.now() / 1000;

    await collect();
    expect(problems()).toEqual([]);
    await clock.advance(5 * minute);
    await collect();
    expect(problems()).toEqual([
      expect.objectContaining({
        severity: 'warning',
        title: 'Praefect counts 5 unavailable repositories in default, the exporter 2',
        detail: expect.stringContaining('2 reads'),
        action: expect.stringContaining('please report'),
        since,
      }),
    ]);

    // Ours catches up before the next read.
    ours.set('default', 5);
    expect(problems()).toEqual([]);
    ours.set('default', 2);
    server.page = unavailable(2) + unavailable(1, 'archive');
    await clock.advance(5 * minute);
    await collect();
    expect(problems()).toEqual([]);
    // And a new difference begins anew.
    server.page = unavailable(5);
    await clock.advance(5 * minute);
    await collect();
    expect(problems()).toEqual([]);
  });

  test('needs both sides: while our number is withdrawn there is nothing to compare', async () => {
    const { clock, ours, collect, problems } = answers(await praefect(unavailable(5)));
    ours.set('default', 2);
    await collect();
    ours.clear();
    await clock.advance(5 * minute);
    await collect();
    ours.set('default', 2);
    expect(problems()).toEqual([]);
  });

  test('outlives one failed read, but not a long time without any', async () => {
    const server = await praefect(unavailable(5));
    const { clock, ours, collect, problems } = answers(server);
    ours.set('default', 2);
    const read = async (text: string, afterMs: number) => {
      await clock.advance(afterMs);
      server.page = text;
      await collect();
      return titles(problems());
    };
    expect(await read(unavailable(5), 0)).toEqual([]);
    expect(await read('', 5 * minute)).toEqual([]);
    expect(await read(unavailable(5), 5 * minute)).toHaveLength(1);
    expect(await read(unavailable(5), 60 * minute)).toEqual([]);
  });
});

test('without a target there is nothing', () => {
  const made = createNativeAnswers({
    targets: undefined,
    intervalMs: 5 * minute,
    access: openAccess,
    maxBytes: 1,
    maxSamples: 1,
    clock: createManualClock(),
    hostName: 'this-host',
    resolve: systemResolve,
    readText: () => Promise.reject(new Error('no files')),
    ours: () => new Map(),
  });
  expect(made).toBeUndefined();
});
