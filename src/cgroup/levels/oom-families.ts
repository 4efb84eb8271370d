/** From the totals of OOM kills to samples. Pure. */
import { type Identity, identityKey } from '../../identity.ts';
import { type Family, samplesOf } from '../../metrics/samples.ts';
import * as metrics from '../metrics-oom.ts';
import { type OomLevel, type OomTotals, oomLevels } from '../oom/record.ts';

export type OomSums = Omit<OomTotals, 'tree'>;

/**
 * By identity (as a key): a pod that was made anew has another tree under the same name, and its counters go on from
 * where those of the one before ended.
 */
export function oomSums(totals: readonly OomTotals[]): ReadonlyMap<string, OomSums> {
  const sums = new Map<string, OomSums>();
  for (const each of totals) {
    const key = identityKey(each.identity);
    const earlier = sums.get(key);
    sums.set(key, earlier === undefined ? each : sumOf(each.identity, earlier, each));
  }
  return sums;
}

function sumOf(identity: Identity, a: OomSums, b: OomSums): OomSums {
  const bucketKills = new Map(a.bucketKills);
  for (const [bucket, kills] of b.bucketKills)
    bucketKills.set(bucket, (bucketKills.get(bucket) ?? 0) + kills);
  const last: Partial<Record<OomLevel, number>> = { ...a.last };
  for (const level of oomLevels) {
    const at = b.last[level];
    if (at !== undefined) last[level] = Math.max(at, last[level] ?? at);
  }
  return {
    identity,
    kills: added(a.kills, b.kills),
    events: added(a.events, b.events),
    last,
    bucketKills,
  };
}

const added = (a: OomSums['kills'], b: OomSums['kills']): OomSums['kills'] =>
  Object.fromEntries(oomLevels.map((level) => [level, a[level] + b[level]])) as Record<OomLevel, number>;

/** Every level of each Gitaly is there, at 0. */
export function oomFamilies(sums: Iterable<OomSums>): readonly Family[] {
  const kills = samplesOf(metrics.oomKills);
  const events = samplesOf(metrics.oomEvents);
  const last = samplesOf(metrics.lastOom);
  for (const each of sums) {
    for (const level of oomLevels) {
      const labels = { ...each.identity, level };
      kills.set(labels, each.kills[level]);
      events.set(labels, each.events[level]);
      const at = each.last[level];
      if (at !== undefined) last.set(labels, at / 1000);
    }
  }
  return [kills, events, last].map((samples) => samples.family());
}
