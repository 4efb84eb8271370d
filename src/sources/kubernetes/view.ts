/** What no metric tells, for the page and its rules: why a pod waits, and why the API is not heard. */

import type { Failure } from '../../scheduler/outcome.ts';
import { type Identity, identityKey } from '../identity.ts';
import { oneForEachName } from './belonging.ts';
import { storeFailures, type WatchedPart } from './collector.ts';
import type { KubeEvent, Pod } from './objects/types.ts';
import { podIdentity } from './pod-families.ts';
import { endedContainer } from './rotation/container-end.ts';
import { isReady } from './rotation/marks.ts';
import type { OngoingRotation } from './rotation/rotation.ts';
import type { Stores } from './store.ts';

export interface KubernetesView {
  /** Parts that are not current, and why. */
  readonly notCurrent: readonly { readonly part: WatchedPart; readonly failure: Failure }[];
  /** Gitaly's pods that are there and not Ready; none while pods are not current. */
  readonly unready: readonly UnreadyPod[];
  readonly ongoing: readonly OngoingRotation[];
}

export interface UnreadyPod {
  readonly identity: Identity;
  /** Milliseconds since 1970, as its condition or its creation says. */
  readonly since: number;
  /** `container gitaly ended: OOMKilled, exit code 137`; undefined when none has. */
  readonly ended: string | undefined;
  /** The newest warning about it, as `FailedScheduling: 0/4 nodes are available ...`; undefined when there is none. */
  readonly warning: string | undefined;
}

export function viewOf(
  stores: Stores,
  isGitaly: (pod: Pod) => boolean,
  ongoing: readonly OngoingRotation[],
): KubernetesView {
  const { current } = stores.pods.state();
  return {
    notCurrent: storeFailures(stores),
    unready: current
      ? oneForEachName(stores.pods.all().filter(isGitaly))
          .filter((pod) => !isReady(pod))
          .map((pod) => unreadyPod(pod, stores.events.all()))
      : [],
    ongoing: current ? ongoing : [],
  };
}

function unreadyPod(pod: Pod, events: readonly KubeEvent[]): UnreadyPod {
  const warnings = events.filter(({ about, type }) => type === 'Warning' && about.uid === pod.uid);
  const newest = warnings.reduce<KubeEvent | undefined>(
    (best, event) => (best === undefined || timeOfEvent(event) >= timeOfEvent(best) ? event : best),
    undefined,
  );
  return {
    identity: podIdentity(pod),
    since: pod.conditions['Ready']?.since ?? pod.createdAt,
    ended: endedContainer(pod),
    warning: newest === undefined ? undefined : `${newest.reason}: ${newest.message}`,
  };
}

const timeOfEvent = ({ lastAt, createdAt }: KubeEvent): number => lastAt ?? createdAt;

/** Whether two identities are of one pod, on whatever node. */
export const isSamePod = (a: Identity, b: Identity): boolean =>
  identityKey({ ...a, node: '' }) === identityKey({ ...b, node: '' });
