/** The room as a whole: from what the watches hold to the collector that tells of it, and what the page shows. */

import type { Clock } from '../../lib/clock.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import type { Identity } from '../identity.ts';
import { createKubernetesCollector } from './collector.ts';
import { countNodeOoms } from './node-oom.ts';
import type { Pod } from './objects/types.ts';
import { countRestarts } from './restarts.ts';
import { createRotationRecord } from './rotation/record.ts';
import type { Stores } from './store.ts';
import { type KubernetesView, viewOf } from './view.ts';

/** The names of all collectors of the room, for when it has nothing to tell. */
export const kubernetesCollectorNames: readonly string[] = ['kubernetes'];

export interface KubernetesRoomOptions {
  /** Not started yet, so that nothing of them is missed. */
  readonly stores: Stores;
  /** An agent sees only the pods of its own node: what it could tell of them, the cluster's exporter tells. */
  readonly role: 'all' | 'cluster' | 'agent';
  /** Of the pods that are watched, which are Gitaly's and not Praefect's. */
  readonly isGitaly: (pod: Pod) => boolean;
  readonly clock: Clock;
  readonly events: EventLog;
}

export interface KubernetesRoom {
  readonly collectors: readonly Collector[];
  view(): KubernetesView;
  /** Seconds from deletion to Ready at the last rotation of a pod whose total is known, container restarts left out. */
  rotationSeconds(identity: Identity): number | undefined;
}

export function createKubernetesRoom(options: KubernetesRoomOptions): KubernetesRoom {
  const { stores, role, isGitaly, clock, events } = options;
  const since = clock.now();
  const rotations = createRotationRecord({ stores, isGitaly, events });
  const restarts = countRestarts(stores.pods, isGitaly, since);
  const nodeOoms = countNodeOoms(stores.events, since);
  const collector = createKubernetesCollector({ stores, isGitaly, restarts, rotations, nodeOoms });
  return {
    collectors: role === 'agent' ? [] : [collector],
    view: () => viewOf(stores, isGitaly, rotations.ongoing()),
    rotationSeconds: ({ namespace, pod }) => rotations.lastReplacementSeconds(namespace, pod),
  };
}
