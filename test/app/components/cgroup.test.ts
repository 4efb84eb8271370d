import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type CgroupPart, cgroupPart } from '../../../src/app/components/cgroup.ts';
import type { PartOptions } from '../../../src/app/components/part.ts';
import type { Settings } from '../../../src/config/sections/index.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { readingOf } from '../../../src/rules/problems/reading.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import type { KnownPods } from '../../../src/sources/cgroup/tree.ts';
import { createWrittenTree, type WrittenTree } from '../../sources/cgroup/written-tree.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { until } from '../../support/until.ts';

let tree: WrittenTree;
let part: CgroupPart;
beforeEach(() => {
  tree = createWrittenTree();
});
afterEach(async () => {
  await part.stop();
  tree.remove();
});

const { signal } = new AbortController();
const collect = (): Promise<unknown> =>
  Promise.all(part.collectors.map((collector) => collector.collect({ signal, cause: 'due' })));
const titles = (): readonly string[] =>
  part.problems(readingOf([]), () => undefined).map(({ title }) => title);

test('pods that are not listed yet are no problem at the start, and are one when they do not come', async () => {
  const clock = createManualClock();
  const listed = Promise.withResolvers<void>();
  const told: KnownPods = { pods: [], failure: { reason: 'timeout', message: 'not listed yet' } };
  part = cgroupPart(
    {
      settings: {
        cgroup: { enabled: true, root: tree.root, buckets: 'top', topBuckets: 20, pollInterval: 500 },
        kubernetes: { node: 'node-1' },
      } as Settings,
      ...{ clock, log: silentLog, events: createEventLog(clock) },
    } as unknown as PartOptions,
    {
      directory: { pods: () => told, subscribe: () => () => undefined },
      settled: () => listed.promise,
    },
    [],
  );
  const first = collect();
  await until(() => part.view()?.failures.length === 1); // The room looks by itself.

  expect(titles()).toEqual([]);
  listed.resolve();
  await first;
  expect(titles()).toEqual(["Not all of this host's cgroups can be read"]);
});
