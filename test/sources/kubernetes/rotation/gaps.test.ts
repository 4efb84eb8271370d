/**
 * Gaps, late arrivals and clocks that differ: for any changes of a recorded incident that are hidden or
 * delayed, its durations are correct or absent.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Condition, Container, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { isOnLostNode } from '../../../../src/sources/kubernetes/rotation/cause.ts';
import {
  type Rotation,
  type RotationSpan,
  rotationSpans,
} from '../../../../src/sources/kubernetes/rotation/rotation.ts';
import { stepsOf } from '../support.ts';
import { type Expected, loaded, recordOver, replacements, secondsOf } from './support.ts';

const steps = new Map(replacements.map(({ incident }) => [incident, stepsOf(incident)]));
const of = (incident: string) => steps.get(incident) ?? [];

/** Tolerance in seconds, with gaps only: reported times are whole seconds, rounded down at both ends. */
const exact = 1.3;
/** Tolerance with late arrivals or a clock that differs. */
const inexact = {
  terminating: 2.4,
  scheduling: 2.4,
  volume: 4.5,
  init: 2.4,
  startup: 2.4,
  readiness: 2.4,
  total: 4.5,
};

function expectCorrectOrAbsent(
  rotation: Rotation | undefined,
  expected: Expected,
  tolerance: (span: RotationSpan) => number = () => exact,
): void {
  if (rotation === undefined) return;
  const seconds = secondsOf(expected);
  for (const span of rotationSpans) {
    const value = rotation.seconds[span];
    const correct = seconds[span];
    if (value !== undefined && Math.abs(value - correct) > tolerance(span))
      throw new Error(`${span}: ${value} s, expected ${correct} s`);
  }
  expect([expected.cause, 'unknown']).toContain(rotation.cause);
}

/** At most three gaps, as positions in the stream of changes. */
const gaps = (length: number) =>
  fc
    .uniqueArray(fc.integer({ min: 0, max: length }), { minLength: 0, maxLength: 6 })
    .map((points) => [...points].sort((a, b) => a - b));

function play(incident: string, points: readonly number[]) {
  const made = loaded(incident);
  let hidden = false;
  of(incident).forEach((step, index) => {
    if (points.includes(index)) {
      hidden = !hidden;
      if (!hidden) made.stores.pods.list(made.stores.pods.all());
    }
    if (hidden && step.resource === 'pods') made.stores.pods.withoutNotifying(() => step.apply(made.stores));
    else step.apply(made.stores);
  });
  made.stores.pods.list(made.stores.pods.all());
  return made;
}

describe('with gaps in the watch of pods, each followed by a list', () => {
  test.each(replacements.map((each) => [each.incident, each.pod, each] as const))(
    '%s: %s',
    (incident, pod, expected) => {
      fc.assert(
        fc.property(gaps(of(incident).length), (points) => {
          const { record, rotated } = play(incident, points);
          const last = record.last().find((each) => each.pod === pod);
          expectCorrectOrAbsent(last, expected);
          // The rotation itself is always found.
          expect(last).toBeDefined();
          expect(rotated()).toBe(incident === 'rollout' ? 3 : 1);
          expect(record.ongoing()).toEqual([]);
        }),
        { numRuns: 25 },
      );
    },
  );

  test('a rotation between two lists is counted, with the durations that the new pod reports', () => {
    const { record } = play('rollout', [0, 10_000]);
    const rotations = record.last().map(({ pod, cause, seconds }) => ({ pod, cause, seconds }));
    expect(rotations.toSorted((a, b) => (a.pod < b.pod ? -1 : 1))).toEqual(
      ['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2'].map((pod) => ({
        pod,
        cause: 'rollout',
        seconds: { scheduling: 0, volume: 3, init: 3 },
      })),
    );
  });
});

test('an exporter that starts during an incident reports correct durations, and no rotation of other pods', () => {
  for (const expected of replacements) {
    const { incident, pod } = expected;
    const all = of(incident);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: all.length }), (start) => {
        const before = loaded(incident);
        for (const step of all.slice(0, start)) step.apply(before.stores);
        const { stores } = before;
        const started = recordOver(stores);
        for (const step of all.slice(start)) step.apply(stores);
        expectCorrectOrAbsent(
          started.record.last().find((each) => each.pod === pod),
          expected,
        );
        expect(started.rotated()).toBeLessThanOrEqual(incident === 'rollout' ? 3 : 1);
      }),
      { numRuns: 15 },
    );
  }
});

test('when changes arrive together after a stalled connection, the reported times are used', () => {
  for (const expected of replacements) {
    const all = of(expected.incident);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: all.length - 1 }), fc.nat(40), (from, length) => {
        const { stores, record } = loaded(expected.incident);
        const until = all[Math.min(all.length - 1, from + length)]?.at ?? 0;
        all.forEach((step, index) => {
          const late = index >= from && index <= from + length;
          const pod = step.object as Pod;
          if (!late || step.resource !== 'pods') step.apply(stores);
          else if (step.type === 'DELETED') stores.pods.remove(pod, until);
          else stores.pods.put(pod, until);
        });
        const rotation = record.last().find((each) => each.pod === expected.pod);
        expectCorrectOrAbsent(rotation, expected, (span) => inexact[span]);
      }),
      { numRuns: 15 },
    );
  }
});

/** The pod as its kubelet reports it with a clock that differs by `ms`. */
function shifted(pod: Pod, ms: number): Pod {
  const later = (at: number | undefined): number | undefined => (at === undefined ? undefined : at + ms);
  // By then the node controller has written Ready.
  const isLost = isOnLostNode(pod);
  const kubelets = ['Ready', 'ContainersReady', 'Initialized', 'PodReadyToStartContainers'];
  const condition = ([type, each]: readonly [string, Condition]) =>
    [type, kubelets.includes(type) && !isLost ? { ...each, since: later(each.since) } : each] as const;
  const container = (each: Container): Container => ({
    ...each,
    state:
      each.state.kind === 'running' ? { ...each.state, startedAt: later(each.state.startedAt) } : each.state,
  });
  return {
    ...pod,
    startTime: later(pod.startTime),
    conditions: Object.fromEntries(Object.entries(pod.conditions).map(condition)),
    containers: pod.containers.map(container),
    initContainers: pod.initContainers.map(container),
  };
}

describe("a node's clock that differs", () => {
  const skews = fc.integer({ min: -600, max: 600 }).map((seconds) => seconds * 1000);

  test('does not change durations when every change was received live', () => {
    for (const expected of replacements) {
      fc.assert(
        fc.property(skews, (skew) => {
          const { stores, record } = loaded(expected.incident);
          for (const step of of(expected.incident)) {
            if (step.resource !== 'pods') step.apply(stores);
            else if (step.type === 'DELETED') stores.pods.remove(shifted(step.object as Pod, skew), step.at);
            else stores.pods.put(shifted(step.object as Pod, skew), step.at);
          }
          const rotation = record.last().find(({ pod }) => pod === expected.pod);
          expectCorrectOrAbsent(rotation, expected, (span) => inexact[span]);
          expect(rotation?.seconds.total).toBeDefined();
        }),
        { numRuns: 10 },
      );
    }
  });

  test('after a gap, removes the durations that would depend on two clocks', () => {
    const pods = (skew: number) => {
      const { stores, record } = loaded('rotate-delete');
      const all = of('rotate-delete').filter(({ resource }) => resource === 'pods');
      // The deletion is received live; the rest is found by a list.
      all[0]?.apply(stores);
      stores.pods.withoutNotifying(() => {
        for (const step of all.slice(1)) step.apply(stores);
      });
      stores.pods.list(stores.pods.all().map((pod) => shifted(pod, skew)));
      return record.last()[0]?.seconds;
    };
    expect(pods(0)).toEqual({ terminating: 2, scheduling: 0, volume: 3, init: 3, total: 11 });
    expect(pods(20_000)).toEqual({ terminating: 2, scheduling: 0, init: 3 });
    expect(pods(-20_000)).toEqual({ terminating: 2, scheduling: 0, init: 3 });
  });
});
