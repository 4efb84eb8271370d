/** From sweeps to samples. Pure: what is not known has no sample. */

import { type Family, samplesOf } from '../../../metrics/samples.ts';
import type { Identity } from '../../identity.ts';
import * as metrics from '../metrics.ts';
import type { GitSweep } from './sweep.ts';

export interface SweptGitaly {
  readonly identity: Identity;
  /** Undefined where there are no buckets: nothing is said but of those that had kills. */
  readonly sweep: GitSweep | undefined;
  /** Of Gitaly's configuration, where that is known. */
  readonly configured: number | undefined;
  /** Processes killed in each bucket since the start; undefined while OOM kills are not followed there, or not asked for. */
  readonly kills: ReadonlyMap<number, number> | undefined;
}

/** All families of the buckets; those without a sample are there, and are not rendered. */
export function bucketFamilies(gitalys: readonly SweptGitaly[]): readonly Family[] {
  const processes = samplesOf(metrics.gitProcesses);
  const buckets = samplesOf(metrics.bucketCount);
  const active = samplesOf(metrics.bucketsActive);
  const nearLimit = samplesOf(metrics.bucketsNearLimit);
  const readErrors = samplesOf(metrics.bucketReadErrors);
  const usage = samplesOf(metrics.bucketMemoryUsage);
  const limits = samplesOf(metrics.bucketMemoryLimit);
  const cpuUsage = samplesOf(metrics.bucketCpuUsage);
  const cpuThrottled = samplesOf(metrics.bucketCpuThrottled);
  const oomKills = samplesOf(metrics.bucketOomKills);

  for (const { identity, sweep, configured, kills } of gitalys) {
    if (sweep === undefined) {
      for (const [bucket, count] of kills ?? []) oomKills.set({ ...identity, bucket: String(bucket) }, count);
      continue;
    }
    if (sweep.processes !== undefined) processes.set(identity, sweep.processes);
    buckets.set(identity, configured ?? sweep.found);
    if (sweep.active !== undefined) active.set(identity, sweep.active);
    if (sweep.nearLimitCount !== undefined) nearLimit.set(identity, sweep.nearLimitCount);
    readErrors.set(identity, sweep.readErrors);
    for (const { bucket, reading } of sweep.shown) {
      const labels = { ...identity, bucket: String(bucket) };
      if (kills !== undefined) oomKills.set(labels, kills.get(bucket) ?? 0);
      if (reading === undefined) continue;
      if (reading.usage !== undefined) usage.set(labels, reading.usage);
      if (reading.limit?.kind === 'limit') limits.set(labels, reading.limit.value);
      if (reading.cpuUsage !== undefined) cpuUsage.set(labels, reading.cpuUsage / 1e6);
      if (reading.cpuThrottled !== undefined) cpuThrottled.set(labels, reading.cpuThrottled / 1e6);
    }
  }
  return [
    processes,
    buckets,
    active,
    nearLimit,
    readErrors,
    usage,
    limits,
    cpuUsage,
    cpuThrottled,
    oomKills,
  ].map((samples) => samples.family());
}
