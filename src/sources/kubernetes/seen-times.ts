/** When the watch saw what a kubelet reports with times of its own clock. */
import { clockToleranceMs } from './api-time.ts';
import { allContainers } from './counters.ts';
import type { Container, Pod, Termination } from './objects/types.ts';
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
  /** Ends of its runs before that one, of those that were seen; the newest first. */
  earlierOomKills(pod: Pod, container: Container): readonly number[];
}

/** A watch that was interrupted reports a change as much later. */
const maxDelayMs = 600_000;

/** Enough to recognize a loop. */
const maxEarlier = 10;

/** A state of a pod as the watch first saw it. */
interface Seen {
  readonly state: string;
  readonly at: number;
  /** Seen as it changed; else it may be from any time before. */
  readonly isChange: boolean;
  /** Of a container: how its previous run ended. */
  readonly last: Termination | undefined;
  readonly earlierOomKills: readonly number[];
}

export function watchSeenTimes(store: Store<Pod>): SeenTimes {
  const byUid = new Map<string, ReadonlyMap<string, Seen>>();
  function update(pod: Pod, at: number, isEvent: boolean): void {
    const before = byUid.get(pod.uid);
    // The first event of a pod may be a change of its labels, or the end of its rejection.
    const isChange = isEvent && before !== undefined;
    const seen = new Map<string, Seen>();
    const add = (key: string, state: string, last?: Termination): void => {
      const known = before?.get(key);
      if (known?.state === state) seen.set(key, known);
      else {
        const earlier = known === undefined ? [] : [...oomKillOf(known), ...known.earlierOomKills];
        seen.set(key, { state, at, isChange, last, earlierOomKills: earlier.slice(0, maxEarlier) });
      }
    };
    add(readyKey, pod.conditions['Ready']?.status ?? '');
    for (const { lastTermination: last, name, restartCount } of allContainers(pod))
      if (last !== undefined) add(name, `${restartCount} ${last.finishedAt}`, last);
    byUid.set(pod.uid, seen);
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
      return lastTermination === undefined || seen === undefined ? undefined : endOf(seen);
    },
    earlierOomKills: ({ uid }, { name }) => byUid.get(uid)?.get(name)?.earlierOomKills ?? [],
  };
}

function endOf(seen: Seen): number | undefined {
  const finishedAt = seen.last?.finishedAt;
  const isUndated = finishedAt === undefined && !seen.isChange;
  return agreedTime(finishedAt, seen) ?? (isUndated ? undefined : seen.at);
}

function oomKillOf(seen: Seen): readonly number[] {
  const at = seen.last?.reason === 'OOMKilled' ? endOf(seen) : undefined;
  return at === undefined ? [] : [at];
}

/** No name of a container. */
const readyKey = '';

function agreedTime(reported: number | undefined, { at, isChange }: Seen): number | undefined {
  if (reported === undefined || reported > at + clockToleranceMs) return undefined;
  return isChange && reported < at - maxDelayMs ? undefined : Math.min(reported, at);
}
