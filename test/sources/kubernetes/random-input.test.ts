/** Random pods in random order: nothing throws, samples are well-formed, and counters never decrease. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Block, Sample } from '../../../src/metrics/samples.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { chartComponentOf } from '../../../src/sources/kubernetes/gitaly-objects.ts';
import { kubernetesMetrics } from '../../../src/sources/kubernetes/metrics.ts';
import type { Condition, Container, Pod } from '../../../src/sources/kubernetes/objects/types.ts';
import { createKubernetesSource } from '../../../src/sources/kubernetes/source.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { readyPod } from './rotation/support.ts';
import { createFakeStores, listMoment, moment } from './support.ts';

const found = readyPod();
const [template] = found.containers;
if (template === undefined) throw new Error('the recording has changed');

const time = fc.option(
  fc.integer({ min: 0, max: 600 }).map((seconds) => moment('00:20:00') + seconds * 1000),
  {
    nil: undefined,
  },
);
const status = fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const);
const condition: fc.Arbitrary<Condition> = fc.record({
  status,
  reason: fc.constantFrom('', 'PodFailed', 'EvictionByEvictionAPI', 'DeletionByTaintManager', '\u0000'),
  since: time,
});
const termination = fc.record({
  reason: fc.constantFrom('', 'OOMKilled', 'Error', 'Strange'),
  exitCode: fc.integer(),
  startedAt: time,
  finishedAt: time,
});
const state: fc.Arbitrary<Container['state']> = fc.oneof(
  fc.record({
    kind: fc.constant('waiting' as const),
    reason: fc.constantFrom('', 'CrashLoopBackOff', 'Odd'),
  }),
  fc.record({ kind: fc.constant('running' as const), startedAt: time }),
  termination.map((fields) => ({ kind: 'terminated' as const, ...fields })),
  fc.constant({ kind: 'unknown' as const }),
);
const container = (name: string): fc.Arbitrary<Container> =>
  fc
    .record({
      ...{ state, ready: fc.boolean(), started: fc.boolean(), sidecar: fc.boolean() },
      restartCount: fc.nat(5),
      lastTermination: fc.option(termination, { nil: undefined }),
    })
    .map((change) => ({ ...template, name, ...change }));
const pod: fc.Arbitrary<Pod> = fc
  .record({
    name: fc.constantFrom('gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-9'),
    uid: fc.constantFrom('a', 'b', 'c'),
    createdAt: time.map((at) => at ?? moment('00:25:00')),
    deletion: fc.option(
      time.map((at) => ({
        requestedAt: at ?? moment('00:25:00'),
        graceSeconds: (at ?? 0) % 7 === 0 ? 0 : 30,
      })),
      { nil: undefined },
    ),
    node: fc.constantFrom('', 'lab-node-1', 'removed'),
    phase: fc.constantFrom('Pending', 'Running', 'Failed', 'Succeeded', ''),
    reason: fc.constantFrom('', 'Evicted', 'NodeLost'),
    startTime: time,
    conditions: fc.dictionary(
      fc.constantFrom('Ready', 'PodScheduled', 'ContainersReady', 'Initialized', 'DisruptionTarget'),
      condition,
    ),
    containers: fc.oneof(fc.constant([]), fc.tuple(container('gitaly'))),
    initContainers: fc.oneof(fc.constant([]), fc.tuple(container('configure'))),
  })
  .map((change) => ({ ...found, ...change, uid: change.name + change.uid }));

const step = fc.record({ pod, how: fc.constantFrom('put', 'remove', 'list', 'hidden'), at: time });

const counters = (block: Block): ReadonlyMap<string, number> =>
  new Map(
    block.families.flatMap((family) =>
      family.metric.type === 'counter' && 'samples' in family
        ? family.samples.map(({ labelValues, value }: Sample): [string, number] => [
            [family.metric.name, ...labelValues].join('|'),
            value,
          ])
        : [],
    ),
  );

test('random pods in random order result in valid samples and a view', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const clock = createManualClock();
      const stores = createFakeStores();
      const source = createKubernetesSource({
        ...{ stores, role: 'all', componentOf: chartComponentOf, clock, events: createEventLog(clock) },
        reportsServerInfo: false,
      });
      listMoment(stores, 'rotate-delete', '0-before');
      let before = new Map<string, number>() as ReadonlyMap<string, number>;
      for (const { pod: each, how, at = moment('00:25:00') } of steps) {
        if (how === 'put') stores.pods.put(each, at);
        if (how === 'remove') stores.pods.remove(each, at);
        if (how === 'list') stores.pods.list([...stores.pods.all(), each], at);
        if (how === 'hidden') stores.pods.withoutNotifying(() => stores.pods.put(each, at));
        const outcome = await source.collectors[0]?.collect({
          signal: new AbortController().signal,
          cause: 'scrape',
        });
        if (outcome?.kind !== 'data') throw new Error(JSON.stringify(outcome));
        expect(lintBlock(outcome.block, kubernetesMetrics)).toEqual([]);
        const after = counters(outcome.block);
        for (const [series, value] of before)
          if ((after.get(series) ?? value) < value) throw new Error(`${series} decreased from ${value}`);
        before = after;
        source.view();
      }
    }),
    { numRuns: 40 },
  );
});
