/** How the app uses its sources: which runs wait for the first list, and which objects outlive a reload. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { CollectionOptions } from '../../src/app/collectors.ts';
import {
  createCgroupCollectors,
  createKubernetesCollectors,
  keep,
  runInTurn,
} from '../../src/app/kept-collectors.ts';
import { type HostContext, openKubernetes } from '../../src/app/sources.ts';
import type { Settings } from '../../src/config/sections/index.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { cgroupProblems } from '../../src/rules/problems/cgroup.ts';
import { defaultThresholds } from '../../src/rules/thresholds.ts';
import type { Collector, Run } from '../../src/scheduler/collector.ts';
import { createEventLog } from '../../src/scheduler/event-log.ts';
import type { KnownPods } from '../../src/sources/cgroup/tree.ts';
import { createWrittenTree } from '../sources/cgroup/written-tree.ts';
import { startKubeApi } from '../support/kube-api.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { problemSituation } from '../support/problem-situation.ts';
import { until } from '../support/until.ts';

const { signal } = new AbortController();
const run: Run = { signal, cause: 'due' };
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const optionsWith = (settings: object, clock: Clock): CollectionOptions => {
  const host: Partial<HostContext> = { clock, log: silentLog, hostName: 'host-1', env: {} };
  return {
    settings: settings as Settings,
    host: host as HostContext,
    events: createEventLog(clock),
    thresholds: defaultThresholds,
  } as CollectionOptions;
};

test.each([
  ['cluster', undefined, true],
  ['cluster', ['gitlab'], false],
  ['all', ['gitlab'], true],
  ['agent', undefined, false],
] as const)(
  'the priorities of all other pods are listed, but not by an agent, nor by a cluster exporter of some namespaces: %s, %j',
  async (role, namespace, isListed) => {
    const { settings, host } = optionsWith(
      {
        kubernetes: {
          ...{ enabled: true, role, namespace, scrape: false, volumeStats: false, staleAfter: 300_000 },
          ...{ gitalySelector: 'app=gitaly', praefectSelector: 'app=praefect' },
        },
        cgroup: { enabled: false },
      },
      systemClock,
    );
    const access = openKubernetes(settings, host);
    cleanups.push(() => access?.close());
    expect(access?.otherPods !== undefined).toBe(isListed);
  },
);

describe('the first run', () => {
  // Loading the client takes a second or more, and is not tested here.
  beforeAll(async () => void (await import('@kubernetes/client-node')), 60_000);

  test('of the Kubernetes collector waits for the first list, within a longer timeout', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kubernetes-part-'));
    const api = await startKubeApi();
    cleanups.push(
      () => rmSync(folder, { recursive: true }),
      () => api.close(),
    );
    api.load('posture-good', 'at-rest');
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: api.url.origin } }],
        users: [{ name: 'u', user: { token: 't' } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    const part = createKubernetesCollectors(
      optionsWith(
        {
          kubernetes: {
            ...{ enabled: true, role: 'all', kubeconfig, scrape: false, volumeStats: false },
            ...{ gitalySelector: 'app=gitaly', praefectSelector: 'app=praefect', staleAfter: 300_000 },
          },
          cgroup: { enabled: false },
        },
        systemClock,
      ),
    );
    cleanups.unshift(part.stop);
    const [collector] = part.collectors;
    // Its wait is limited to three seconds.
    expect(collector?.schedule.timeoutMs).toBeGreaterThan(3000);
    expect((await collector?.collect(run))?.kind).toBe('data');
  });

  test('of the cgroup collectors waits for the list of pods: only then are unlisted pods a problem', async () => {
    const tree = createWrittenTree();
    const clock = createManualClock();
    const listed = Promise.withResolvers<void>();
    const unlisted: KnownPods = { pods: [], failure: { reason: 'timeout', message: 'not listed yet' } };
    const kubernetes = { listed: () => listed.promise } as unknown as NonNullable<
      Parameters<typeof createCgroupCollectors>[1]['kubernetes']
    >;
    const part = createCgroupCollectors(
      optionsWith(
        {
          cgroup: { enabled: true, root: tree.root, buckets: 'top', topBuckets: 20, pollInterval: 500 },
          kubernetes: { node: 'node-1' },
        },
        clock,
      ),
      {
        configs: [],
        kubernetes,
        podDirectory: { pods: () => unlisted, subscribe: () => () => undefined },
        podsFile: undefined,
      },
    );
    cleanups.push(part.stop, () => tree.remove());
    const titles = (): readonly string[] => {
      const view = part.view();
      return view === undefined ? [] : cgroupProblems(problemSituation(view, 0)).map(({ title }) => title);
    };
    const first = Promise.all(part.collectors.map((collector) => collector.collect(run)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(titles()).toEqual([]);
    listed.resolve();
    await first;
    await until(() => part.view()?.failures.length === 1);
    expect(titles()).toEqual(['Some cgroups of this host cannot be read']);
  });
});

describe('an object that is kept', () => {
  const partWith = (collect: Collector['collect']): { readonly collectors: readonly Collector[] } => ({
    collectors: [{ name: 'x', title: 'x', metrics: [], schedule: { kind: 'scrape', timeoutMs: 1 }, collect }],
  });

  test('outlives a reload with equal settings, and is created again with different ones', () => {
    let created = 0;
    const create = () => {
      created += 1;
      return partWith(async () => ({ kind: 'empty', why: '' }));
    };
    const first = keep(undefined, { root: '/x' }, create);
    const second = keep(first, { root: '/x' }, create);
    expect([second, created]).toEqual([first, 1]);
    expect(second).toBe(first);
    const third = keep(second, { root: '/y' }, create);
    expect(third).not.toBe(second);
    expect(created).toBe(2);
  });

  test('runs a collector for two runners one after the other, also after an internal error', async () => {
    const order: string[] = [];
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const part = runInTurn(
      partWith(async ({ cause }) => {
        order.push(`${cause} begins`);
        if (cause === 'due') {
          await released;
          order.push('due ends');
          throw new Error('a bug');
        }
        return { kind: 'empty', why: '' };
      }),
    );
    const [collector] = part.collectors;
    const first = collector?.collect({ ...run, cause: 'due' });
    const second = collector?.collect({ ...run, cause: 'scrape' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['due begins']);
    release();
    await expect(first).rejects.toThrow('a bug');
    expect(await second).toEqual({ kind: 'empty', why: '' });
    expect(order).toEqual(['due begins', 'due ends', 'scrape begins']);
  });
});
