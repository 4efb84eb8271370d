/** When the watch saw what a kubelet reports with times of its own clock. */
import { clockToleranceMs } from './api-time.ts';
import { allContainers } from './counters.ts';
import type { Container, Pod } from './objects/types.ts';
import type { Store } from './store.ts';

/**
 * When a pod got Ready or not Ready, and when the previous run of a container ended: by the exporter's clock (Clock.now()).
 * A kubelet writes both, and nothing measures its clock: its own time is used only where it agrees with when the watch
 * saw the change. Otherwise an OOM kill on a node whose clock is wrong would be too old for any alert, or in the future.
 */
export interface SeenTimes {
  /** Undefined for a pod that is not in the store. */
  readySince(pod: Pod): number | undefined;
  /** Undefined without a previous run, and where a list had it without a time. */
  endedAt(pod: Pod, container: Container): number | undefined;
}

/** A watch that was interrupted reports a change as much later. */
const maxDelayMs = 600_000;

/** A state of a pod as the watch first saw it. */
interface Seen {
  readonly state: string;
  readonly at: number;
  /** Seen as it changed; else it may be from any time before. */
  readonly isChange: boolean;
}

export function watchSeenTimes(store: Store<Pod>): SeenTimes {
  const byUid = new Map<string, ReadonlyMap<string, Seen>>();
  function update(pod: Pod, at: number, isChange: boolean): void {
    const before = byUid.get(pod.uid);
    const entries = [...statesOf(pod)].map(([key, state]): [string, Seen] => {
      const known = before?.get(key);
      return [key, known?.state === state ? known : { state, at, isChange }];
    });
    byUid.set(pod.uid, new Map(entries));
  }
  store.subscribe((change, at) => {
    if (change.type === 'deleted') byUid.delete(change.object.uid);
    else if (change.type !== 'relisted') update(change.object, at, true);
    else {
      const uids = new Set(change.now.map(({ uid }) => uid));
      for (const uid of byUid.keys()) if (!uids.has(uid)) byUid.delete(uid);
      for (const pod of change.now) update(pod, at, false);
    }
  });
  return {
    readySince({ conditions, uid }) {
      const seen = byUid.get(uid)?.get(readyKey);
      return seen && (agreedTime(conditions['Ready']?.since, seen) ?? seen.at);
    },
    endedAt({ uid }, { lastTermination, name }) {
      const seen = byUid.get(uid)?.get(name);
      if (lastTermination === undefined || seen === undefined) return undefined;
      const { finishedAt } = lastTermination;
      const isUndated = finishedAt === undefined && !seen.isChange;
      return agreedTime(finishedAt, seen) ?? (isUndated ? undefined : seen.at);
    },
  };
}

/** No name of a container. */
const readyKey = '';

function* statesOf(pod: Pod): Generator<readonly [string, string]> {
  yield [readyKey, pod.conditions['Ready']?.status ?? ''];
  for (const { lastTermination, name, restartCount } of allContainers(pod))
    if (lastTermination !== undefined) yield [name, `${restartCount} ${lastTermination.finishedAt}`];
}

function agreedTime(reported: number | undefined, { at, isChange }: Seen): number | undefined {
  if (reported === undefined || reported > at + clockToleranceMs) return undefined;
  return isChange && reported < at - maxDelayMs ? undefined : Math.min(reported, at);
}
