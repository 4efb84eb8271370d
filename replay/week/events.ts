/** Events of an ordinary week that are modeled: their effect on the metrics that alerts read. */
import { familyOf } from '../series.ts';
import type { Overlay } from './compose.ts';

const minute = 60;

/** Seconds of a repeated pattern, from 0 to 1: a ramp up, then down. */
const triangle = (seconds: number, period: number): number =>
  1 - Math.abs(((seconds % period) / period) * 2 - 1);

const labelOf = (series: string, label: string): string =>
  new RegExp(`[{,]${label}="([^"]*)"`).exec(series)?.[1] ?? '';

/** Memory limits of the demo's Gitalys: all Git processes together, and the container. */
const gitLimit = 6 * 2 ** 30;
const containerLimit = 8 * 2 ** 30;

const anonymousMemory = (series: string, ratio: number): number | undefined => {
  const family = familyOf(series);
  if (family === 'gitaly_server_git_memory_anon_bytes') return ratio * gitLimit;
  if (/^gitaly_server_(container|pod)_memory_anon_bytes$/.test(family)) return ratio * containerLimit;
  return undefined;
};

/** Throttled periods as a ratio of the ten periods of a second. */
const throttled = (series: string, git: number, container: number): number | undefined => {
  const family = familyOf(series);
  if (family.endsWith('_cpu_periods_total')) return 10;
  if (family === 'gitaly_server_git_cpu_throttled_periods_total') return git * 10;
  return family.endsWith('_cpu_throttled_periods_total') ? container * 10 : undefined;
};

const memoryPressure = (series: string, ratio: number): number | undefined =>
  familyOf(series).endsWith('_pressure_seconds_total') && labelOf(series, 'resource') === 'memory'
    ? ratio
    : undefined;

type Span = Pick<Overlay, 'from' | 'to'>;

/** In the recording, page cache at its limit counts as memory pressure, which is wrong. */
export const noPressure = (span: Span): Overlay => ({ ...span, rate: (series) => memoryPressure(series, 0) });

/** Repositories are read one after the other, and Praefect's database is dumped in one transaction. */
export const nightlyBackup = (span: Span): Overlay => ({
  ...span,
  gauge: (series, value, seconds) => {
    const family = familyOf(series);
    if (family === 'praefect_db_longest_transaction_seconds') return Math.min(seconds, 45 * minute);
    if (family === 'praefect_db_connections' && labelOf(series, 'state') === 'active') return value + 8;
    return anonymousMemory(series, 0.55 + 0.2 * triangle(seconds, 10 * minute));
  },
  rate: (series) => throttled(series, 0.35, 0.18) ?? memoryPressure(series, 0.03),
});

/** Repacking comes in bursts of eight minutes, and each one needs much memory for a moment. */
export const housekeeping = (span: Span): Overlay => ({
  ...span,
  gauge: (series, _, seconds) => anonymousMemory(series, 0.5 + 0.43 * triangle(seconds, 6 * minute)),
  rate: (series, _, seconds) => {
    const isBurst = seconds % (14 * minute) < 8 * minute;
    return (
      throttled(series, isBurst ? 0.8 : 0.1, isBurst ? 0.4 : 0.05) ??
      memoryPressure(series, isBurst ? 0.08 : 0.01)
    );
  },
});

/** Thousands of writes arrive: jobs wait for minutes, some calls are dropped, a bucket runs out of memory twice. */
export const largeImport = (span: Span): Overlay => ({
  ...span,
  gauge: (series, value, seconds) => {
    const family = familyOf(series);
    const level = triangle(seconds, span.to - span.from);
    const isReplica =
      labelOf(series, 'virtual_storage') === 'default' && labelOf(series, 'storage') !== 'gitaly-1';
    if (family === 'praefect_db_replication_jobs' && isReplica) {
      if (labelOf(series, 'state') === 'ready')
        return Math.round(2500 * level * (0.8 + 0.2 * triangle(seconds, 300)));
      return labelOf(series, 'state') === 'in_progress' ? 10 : value;
    }
    if (family === 'praefect_db_replicas' && isReplica && labelOf(series, 'state') === 'outdated')
      return Math.round(900 * level);
    if (family === 'gitaly_server_concurrency_queued') return Math.round(3 * triangle(seconds, 3 * minute));
    return anonymousMemory(series, 0.7 + 0.15 * triangle(seconds, 9 * minute));
  },
  rate: (series, perSecond, seconds) => {
    const family = familyOf(series);
    if (family === 'praefect_db_replication_jobs_removed_total') return 5;
    if (family === 'gitaly_server_concurrency_wait_seconds_count') return perSecond + 10;
    if (family === 'gitaly_server_requests_dropped_total')
      return labelOf(series, 'reason') === 'queue_full' ? perSecond + 0.05 : perSecond;
    if (family === 'gitaly_server_oom_kills_total' && labelOf(series, 'level') === 'bucket')
      return seconds % (20 * minute) < 2 * minute ? 1 / (2 * minute) : 0;
    return throttled(series, 0.4, 0.2);
  },
});

const isOfExporter = (series: string): boolean => labelOf(series, 'job') === 'gitaly-exporter';

/** The exporter's pod is replaced: it cannot be scraped for a moment, and its counters restart. */
export const exporterRollout = (from: number): Overlay => ({
  ...{ from, to: from + 45 },
  absent: (series) => isOfExporter(series) && familyOf(series) !== 'up',
  gauge: (series) => (isOfExporter(series) && familyOf(series) === 'up' ? 0 : undefined),
  resets: (series) => isOfExporter(series) && familyOf(series).startsWith('gitaly_exporter_'),
});

/** Nothing is scraped, and nothing is marked as stale. */
export const prometheusRestart = (from: number): Overlay => ({
  ...{ from, to: from + 4 * minute },
  absent: () => 'unmarked',
});

/** The exporter's own window, from a schedule: it suppresses alerts. */
export const maintenanceWindow = (span: Span): Overlay => ({
  ...span,
  gauge: (series) => (familyOf(series).startsWith('gitaly_exporter_maintenance') ? 1 : undefined),
});

/** Values on both sides of thresholds, for four minutes each. */
export const flapping = (span: Span): Overlay => ({
  ...span,
  gauge: (series, value, seconds) => {
    const isHigh = seconds % (8 * minute) < 4 * minute;
    const isSeen =
      familyOf(series) === 'praefect_db_storage_seen_healthy' &&
      labelOf(series, 'storage') === 'gitaly-2' &&
      labelOf(series, 'praefect').startsWith('praefect-3');
    if (isSeen) return isHigh ? 0 : 1;
    return anonymousMemory(series, isHigh ? 0.93 : 0.87) ?? value;
  },
  rate: (series, perSecond, seconds) => {
    const isHigh = seconds % (8 * minute) < 4 * minute;
    if (familyOf(series) === 'gitaly_server_concurrency_wait_seconds_count') return perSecond + 10;
    if (
      familyOf(series) === 'gitaly_server_requests_dropped_total' &&
      labelOf(series, 'reason') === 'queue_full'
    )
      return isHigh ? 0.13 : 0.07;
    return (
      throttled(series, isHigh ? 0.6 : 0.4, isHigh ? 0.3 : 0.2) ??
      memoryPressure(series, isHigh ? 0.12 : 0.05)
    );
  },
});

/** Every Gitaly is restarted by an update of its machine, within seconds. */
export const counterResets = (from: number): Overlay => ({
  ...{ from, to: from + 1 },
  resets: (series) => /^(gitaly_server_|grpc_server_|gitaly_)/.test(familyOf(series)) && !isOwn(series),
});

const isOwn = (series: string): boolean => familyOf(series).startsWith('gitaly_exporter_');
