/** Rotations of every recorded incident, compared with times read from the streams by hand. */
import { describe, expect, test } from '@jest/globals';
import { moment, stepsOf } from '../support.ts';
import { loaded, replacements, restarts, secondsOf } from './support.ts';

describe('a pod that is replaced', () => {
  test.each(replacements.map((each) => [each.incident, each.pod, each] as const))(
    '%s: %s',
    (incident, pod, expected) => {
      const { stores, record, count } = loaded(incident);
      for (const step of stepsOf(incident)) step.apply(stores);
      const rotation = record.last().find((each) => each.pod === pod);
      expect(rotation).toMatchObject({
        ...{ namespace: 'gitlab', statefulSet: 'gl-gitaly-default' },
        ...{ cause: expected.cause, fromNode: expected.fromNode, node: expected.node },
      });
      const seconds = secondsOf(expected);
      expect(Object.keys(rotation?.seconds ?? {}).sort()).toEqual(Object.keys(seconds).sort());
      // Arrival times have six decimal places, the expected ones three.
      for (const [span, value] of Object.entries(seconds))
        expect([span, rotation?.seconds[span as keyof typeof seconds]]).toEqual([
          span,
          expect.closeTo(value, 2),
        ]);
      expect(count(pod, expected.cause)).toBe(1);
      expect(record.ongoing()).toEqual([]);
    },
  );
});

describe('a pod whose container is restarted in place', () => {
  test.each(restarts.map((each) => [each.incident, each] as const))(
    '%s',
    (incident, { pod, node, times }) => {
      const { stores, record, count, rotated } = loaded(incident);
      for (const step of stepsOf(incident)) step.apply(stores);
      const [terminated, running, ready] = times.map(moment) as [number, number, number];
      expect(record.last()).toMatchObject([{ pod, node, fromNode: node, cause: 'container_restart' }]);
      expect(record.last()[0]?.seconds).toEqual({
        startup: expect.closeTo((ready - running) / 1000, 2),
        readiness: 0,
        total: expect.closeTo((ready - terminated) / 1000, 2),
      });
      expect([count(pod, 'container_restart'), rotated()]).toEqual([1, 1]);
    },
  );
});

test('only removed pods are counted: in a drain the evicted pod, in a blocked eviction not the pod that stays', () => {
  for (const [incident, rotations] of [
    ['drain', 1],
    ['evict-blocked', 1],
    ['rollout', 3],
    ['node-system-oom', 0],
  ] as const) {
    const { stores, rotated } = loaded(incident);
    for (const step of stepsOf(incident)) step.apply(stores);
    expect([incident, rotated()]).toEqual([incident, rotations]);
  }
});

test('an ongoing rotation has its start, phase and cause', () => {
  const { stores, record } = loaded('drain');
  const seen: string[] = [];
  for (const step of stepsOf('drain')) {
    step.apply(stores);
    const ongoing = record
      .ongoing()
      .map(({ phase, cause, node, missing, startedAt }) =>
        [phase, cause, node, missing, new Date(startedAt ?? 0).toISOString().slice(11, 19)].join(' '),
      )
      .join();
    if (ongoing !== (seen.at(-1) ?? '')) seen.push(ongoing);
  }
  expect(seen).toEqual([
    'terminating node_drained lab-node-3 false 00:27:00',
    'scheduling node_drained  true 00:27:00',
    'scheduling node_drained  false 00:27:00',
    'volume node_drained lab-node-1 false 00:27:00',
    'init node_drained lab-node-1 false 00:27:00',
    'startup node_drained lab-node-1 false 00:27:00',
    '',
  ]);
});

test('the event log has one event at the start of a rotation and one at its end', () => {
  const { stores, messages } = loaded('node-notready');
  for (const step of stepsOf('node-notready')) step.apply(stores);
  expect(messages()).toEqual([
    'gitlab/gl-gitaly-default-1 on lab-node-2: its node was lost',
    'gitlab/gl-gitaly-default-1 is Ready again on lab-node-2 after 46.3 s (its node was lost): terminating 37.4 s, scheduling 0 s, volume 3.3 s, init 3.1 s, startup 2.5 s, readiness 0 s',
  ]);
});

test.each([
  ['rotate-delete', 'pod_deleted'],
  ['evicted', 'pod_deleted'],
  ['node-notready', 'pod_not_ready'],
  ['oom-container', 'pod_not_ready'],
] as const)('the rotation of incident %s starts with the event %s', (incident, kind) => {
  const { stores, eventKinds } = loaded(incident);
  for (const step of stepsOf(incident)) step.apply(stores);
  expect(eventKinds()).toEqual([kind, 'pod_rotated']);
});
