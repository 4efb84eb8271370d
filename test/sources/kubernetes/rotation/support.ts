import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import type { Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { createRotationRecord } from '../../../../src/sources/kubernetes/rotation/record.ts';
import type { Rotation, RotationSpan } from '../../../../src/sources/kubernetes/rotation/rotation.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { createFakeStores, type FakeStores, isGitaly, listMoment, moment } from '../support.ts';

/** A record of the stores, with counts of its events. */
export function recordOver(stores: FakeStores = createFakeStores()) {
  const events = createEventLog(createManualClock());
  const record = createRotationRecord({ stores, isIncluded: isGitaly, events });
  return {
    stores,
    record,
    rotated: () => events.recent().filter(({ kind }) => kind === 'pod_rotated').length,
    eventKinds: () =>
      events
        .recent()
        .map(({ kind }) => kind)
        .reverse(),
    messages: () =>
      events
        .recent()
        .map(({ message }) => message)
        .reverse(),
    /** Sum over nodes. */
    count: (pod: string, cause: string) =>
      record.counts
        .entries()
        .filter(({ identity }) => identity.pod === pod)
        .reduce((sum, { counts }) => sum + (counts.get(cause) ?? 0), 0),
  };
}

/** An expected rotation, from the times at which the recorded changes arrived. */
export interface Expected {
  readonly incident: string;
  readonly pod: string;
  readonly cause: Rotation['cause'];
  readonly fromNode: string;
  readonly node: string;
  /** Start, removed, scheduled, sandbox, initialized, started, ready. */
  readonly times: readonly [string, string, string, string, string, string, string];
}

/**
 * Read from the streams by hand. Start: the first MODIFIED with a deletionTimestamp (evicted: phase Failed;
 * lost: Ready False). Removed: DELETED. Scheduled: nodeName. Sandbox: PodReadyToStartContainers. Initialized:
 * Initialized. Started and ready arrived in one change, as kwok writes them.
 */
export const replacements: readonly Expected[] = [
  {
    ...{ incident: 'rotate-delete', pod: 'gl-gitaly-default-1', cause: 'deleted' },
    ...{ fromNode: 'lab-node-2', node: 'lab-node-2' },
    times: [
      ...(['00:26:33.844', '00:26:35.376', '00:26:35.386', '00:26:38.710'] as const),
      ...(['00:26:41.793', '00:26:44.342', '00:26:44.342'] as const),
    ],
  },
  {
    ...{ incident: 'rotate-chart-defaults', pod: 'gl-gitaly-default-1', cause: 'deleted' },
    ...{ fromNode: 'lab-node-2', node: 'lab-node-2' },
    times: [
      ...(['00:32:55.482', '00:33:21.015', '00:33:21.029', '00:33:24.359'] as const),
      ...(['00:33:26.389', '00:33:28.918', '00:33:28.918'] as const),
    ],
  },
  {
    ...{ incident: 'evict-blocked', pod: 'gl-gitaly-default-0', cause: 'eviction_api' },
    ...{ fromNode: 'lab-node-4', node: 'lab-node-4' },
    times: [
      ...(['00:26:46.735', '00:26:48.273', '00:26:48.280', '00:26:51.615'] as const),
      ...(['00:26:54.704', '00:26:57.326', '00:26:57.326'] as const),
    ],
  },
  {
    ...{ incident: 'drain', pod: 'gl-gitaly-default-2', cause: 'node_drained' },
    ...{ fromNode: 'lab-node-3', node: 'lab-node-1' },
    times: [
      ...(['00:27:00.662', '00:27:02.198', '00:27:02.222', '00:27:05.558'] as const),
      ...(['00:27:08.626', '00:27:11.155', '00:27:11.155'] as const),
    ],
  },
  {
    ...{ incident: 'rollout', pod: 'gl-gitaly-default-2', cause: 'rollout' },
    ...{ fromNode: 'lab-node-1', node: 'lab-node-3' },
    times: [
      ...(['00:27:36.978', '00:27:38.517', '00:27:38.544', '00:27:41.862'] as const),
      ...(['00:27:44.920', '00:27:47.461', '00:27:47.461'] as const),
    ],
  },
  {
    ...{ incident: 'rollout', pod: 'gl-gitaly-default-1', cause: 'rollout' },
    ...{ fromNode: 'lab-node-2', node: 'lab-node-2' },
    times: [
      ...(['00:27:47.486', '00:27:49.028', '00:27:49.066', '00:27:52.410'] as const),
      ...(['00:27:55.454', '00:27:57.976', '00:27:57.976'] as const),
    ],
  },
  {
    ...{ incident: 'rollout', pod: 'gl-gitaly-default-0', cause: 'rollout' },
    ...{ fromNode: 'lab-node-4', node: 'lab-node-1' },
    times: [
      ...(['00:27:57.994', '00:27:59.535', '00:27:59.549', '00:28:02.887'] as const),
      ...(['00:28:05.979', '00:28:08.531', '00:28:08.531'] as const),
    ],
  },
  {
    ...{ incident: 'evicted', pod: 'gl-gitaly-default-0', cause: 'eviction_pressure' },
    ...{ fromNode: 'lab-node-4', node: 'lab-node-1' },
    times: [
      ...(['00:35:18.304', '00:35:18.341', '00:35:18.422', '00:35:21.767'] as const),
      ...(['00:35:24.804', '00:35:27.334', '00:35:27.334'] as const),
    ],
  },
  {
    ...{ incident: 'node-notready', pod: 'gl-gitaly-default-1', cause: 'node_lost' },
    ...{ fromNode: 'lab-node-2', node: 'lab-node-2' },
    times: [
      ...(['00:29:05.282', '00:29:42.692', '00:29:42.712', '00:29:46.046'] as const),
      ...(['00:29:49.106', '00:29:51.632', '00:29:51.632'] as const),
    ],
  },
];

/** Restarts in place: termination of the container (not Ready), running again, and Ready. */
export const restarts = [
  {
    ...{ incident: 'oom-container', pod: 'gl-gitaly-default-2', node: 'lab-node-3' },
    times: ['00:28:10.778', '00:28:13.789', '00:28:15.821'],
  },
  {
    ...{ incident: 'oom-crashloop', pod: 'gl-gitaly-default-2', node: 'lab-node-3' },
    times: ['00:28:18.087', '00:28:28.657', '00:28:30.681'],
  },
] as const;

const order = ['terminating', 'scheduling', 'volume', 'init', 'startup', 'readiness'] as const;

/** By phase and in total. */
export function secondsOf({ times }: Expected): Record<RotationSpan, number> {
  const at = times.map(moment);
  const between = (from: number, to: number): number => ((at[to] ?? 0) - (at[from] ?? 0)) / 1000;
  return {
    ...(Object.fromEntries(order.map((phase, index) => [phase, between(index, index + 1)])) as Record<
      (typeof order)[number],
      number
    >),
    total: between(0, 6),
  };
}

export const firstMoment = '0-before';

export function loaded(incident: string) {
  const made = recordOver();
  listMoment(made.stores, incident, firstMoment);
  return made;
}

/** A recorded pod, Ready on lab-node-2. */
export function readyPod(): Pod {
  const { stores } = loaded('rotate-delete');
  const found = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
  if (found === undefined) throw new Error('the recording has changed');
  return found;
}
