/**
 * What alerts read from ranges of samples, kept for the problems: increases and last times over the alerts' windows,
 * from the snapshots of every evaluation. It outlives a reload.
 */
import type { CgroupView } from '../../sources/cgroup/view.ts';
import type { GitalyView } from '../../sources/gitaly/view.ts';
import { type Identity, identityKey } from '../../sources/identity.ts';
import type { PraefectView } from '../../sources/praefect/view.ts';
import type { Thresholds } from '../thresholds.ts';

export interface ProblemHistory {
  /** Takes in what is known now. `now`: seconds since 1970, of the exporter's clock, as all times here. */
  record(views: RecordedViews, now: number): void;
  /** Repositories whose primary moved off the unhealthy storage within `failoverWindow`. */
  movedOff(virtualStorage: string, storage: string): number;
  /** When a job to the storage was last in progress, with its lock; undefined: not since the start. */
  lastJobInProgress(virtualStorage: string, storage: string): number | undefined;
  /** When a job last left the queue, or else when the queue was first read; undefined while it cannot be counted. */
  lastJobRemoved(): number | undefined;
  /** Whether Praefect had a storage of this name within `staleHold`. */
  isStorage(name: string): boolean;
  /** Whether the server's metrics were read within `missingSeriesLookback`. */
  wasReadable(identity: Identity): boolean;
  /** Gitalys on virtual machines whose cgroups existed within `missingSeriesLookback` and no longer do. */
  disappeared(): readonly { readonly identity: Identity; readonly lastSeen: number }[];
}

interface RecordedViews {
  readonly praefect: PraefectView | undefined;
  readonly gitaly: GitalyView | undefined;
  readonly cgroup: CgroupView | undefined;
}

interface Total {
  total: number;
  /** Oldest first, none older than the window. */
  increases: { readonly at: number; readonly count: number }[];
}

/** @param thresholds those in effect now; a reload changes them */
export function createProblemHistory(thresholds: () => Thresholds): ProblemHistory {
  const moves = new Map<string, Total>();
  const inProgress = new Map<string, number>();
  const storages = new Map<string, number>();
  const readable = new Map<string, number>();
  const onMachines = new Map<string, { readonly identity: Identity; readonly lastSeen: number }>();
  let stopped: readonly { readonly identity: Identity; readonly lastSeen: number }[] = [];
  let removed: { total: number; at: number } | undefined;
  const lookback = (): number => thresholds().missingSeriesLookback.value;

  function recordMoves({ repositories }: PraefectView, now: number): void {
    const totals = new Map<string, number>();
    for (const { virtualStorage, from, cause, total } of repositories?.primaryMoves ?? []) {
      if (cause !== 'unhealthy') continue;
      const key = storageKey(virtualStorage, from);
      totals.set(key, (totals.get(key) ?? 0) + total);
    }
    for (const [key, total] of totals) {
      // The counters of a source that was created again begin at 0; those of a new one are counted from 0, too.
      const known = moves.get(key) ?? { total: 0, increases: [] };
      const count = total >= known.total ? total - known.total : total;
      if (count > 0) known.increases.push({ at: now, count });
      known.total = total;
      moves.set(key, known);
    }
    const from = now - thresholds().failoverWindow.value;
    for (const known of moves.values()) known.increases = known.increases.filter(({ at }) => at > from);
  }

  function recordStorages({ health }: PraefectView, now: number): void {
    for (const { storages: known } of health ?? [])
      for (const { storage } of known) storages.set(storage, now);
    for (const [name, at] of storages) if (now - at > thresholds().staleHold.value) storages.delete(name);
  }

  function recordQueue({ queue }: PraefectView, now: number): void {
    if (queue === undefined) return;
    for (const { virtualStorage, storage, jobs, stale } of queue.targets) {
      const inAllChanges = jobs.reduce(
        (sum, { state, count }) => sum + (state === 'in_progress' ? count : 0),
        0,
      );
      // A job whose lock is lost stays in progress, and no Praefect works on it.
      if (inAllChanges > (stale.lock_expired ?? 0) + (stale.lock_missing ?? 0))
        inProgress.set(storageKey(virtualStorage, storage), now);
    }
    if (queue.removed === undefined) removed = undefined;
    else if (removed?.total !== queue.removed) removed = { total: queue.removed, at: now };
  }

  function recordMachines({ gitalys, isUnknown }: CgroupView, now: number): void {
    // What cannot be read may run, as for the alert.
    if (isUnknown) {
      stopped = [];
      return;
    }
    const present = gitalys.map(({ identity }) => identity).filter(({ pod }) => pod === '');
    const names = new Set(present.map(identityKey));
    for (const identity of present) onMachines.set(identityKey(identity), { identity, lastSeen: now });
    for (const [key, { lastSeen }] of onMachines) if (now - lastSeen > lookback()) onMachines.delete(key);
    stopped = [...onMachines].flatMap(([key, seen]) => (names.has(key) ? [] : [seen]));
  }

  return {
    record({ praefect, gitaly, cgroup }, now) {
      if (praefect !== undefined) {
        recordMoves(praefect, now);
        recordQueue(praefect, now);
        recordStorages(praefect, now);
      }
      for (const { target, failure } of gitaly?.reads ?? [])
        if (failure === undefined && target.component === 'gitaly')
          readable.set(identityKey(target.identity), now);
      for (const [key, at] of readable) if (now - at > lookback()) readable.delete(key);
      if (cgroup === undefined) stopped = [];
      else recordMachines(cgroup, now);
    },
    movedOff: (virtualStorage, storage) =>
      (moves.get(storageKey(virtualStorage, storage))?.increases ?? []).reduce(
        (sum, { count }) => sum + count,
        0,
      ),
    lastJobInProgress: (virtualStorage, storage) => inProgress.get(storageKey(virtualStorage, storage)),
    lastJobRemoved: () => removed?.at,
    isStorage: (name) => storages.has(name),
    wasReadable: (identity) => readable.has(identityKey(identity)),
    disappeared: () => stopped,
  };
}

const storageKey = (virtualStorage: string, storage: string): string =>
  JSON.stringify([virtualStorage, storage]);
