/** From the totals of OOM kills to samples. Pure. */

import { type Family, samplesOf } from '../../../metrics/samples.ts';
import { identityKey } from '../../identity.ts';
import * as metrics from '../metrics.ts';
import { type OomTotals, oomLevels } from '../oom/record.ts';

/** By identity (as a key): a pod that was made anew continues the totals of the one before it. */
export const oomByIdentity = (totals: readonly OomTotals[]): ReadonlyMap<string, OomTotals> =>
  new Map(totals.map((each) => [identityKey(each.identity), each]));

/** Every level of each Gitaly is there, at 0. */
export function oomFamilies(totals: readonly OomTotals[]): readonly Family[] {
  const kills = samplesOf(metrics.oomKills);
  const events = samplesOf(metrics.oomEvents);
  const last = samplesOf(metrics.lastOom);
  for (const each of totals) {
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
