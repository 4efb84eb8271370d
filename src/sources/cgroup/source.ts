/** The cgroup source: finds and follows this host's Gitalys; two collectors, own metrics, and the view. */
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { createSamples, type Family } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createWake } from '../../scheduler/wake.ts';
import type { Identity } from '../identity.ts';
import { bucketMaxAgeMs, createBucketCollector } from './buckets/collector.ts';
import type { BucketChoice, GitSweep } from './buckets/sweep.ts';
import { createFinder } from './discovery/finder.ts';
import { createCgroupFiles } from './files/files.ts';
import { readFailures } from './files/reading.ts';
import { createDisappearedHistory, createThrottlingHistory } from './history.ts';
import { createLevelCollector } from './levels/collector.ts';
import type { GitalyRead } from './levels/read.ts';
import { oomByIdentity } from './levels/samples.ts';
import { oomKillText, refusedWatchText } from './messages.ts';
import * as metrics from './metrics.ts';
import { currentMoment, type Moment, msSince, wallTimeOf } from './moment.ts';
import { topOf } from './oom/counter-tree.ts';
import type { OomKill } from './oom/record.ts';
import { createOomTracker } from './oom/tracker.ts';
import { watchPaths } from './path-watch.ts';
import type { GitalyConfigs, PodDirectory } from './tree.ts';
import { gitalysFound, startTreeWatch } from './tree-watch.ts';
import { type CgroupView, cgroupView } from './view.ts';

/** The names of its collectors, for when the source is disabled. */
export const cgroupCollectorNames: readonly string[] = ['cgroup', 'cgroup_buckets'];

export interface CgroupSourceOptions {
  /** Where the host's cgroup v2 is mounted. */
  readonly root: string;
  readonly hostName: string;
  /** Which buckets get series of their own. */
  readonly buckets: BucketChoice;
  /** How many of the busiest buckets of each Gitaly, with `top`. */
  readonly topBuckets: number;
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly events: Pick<EventLog, 'add'>;
  readonly log: Log;
  /** Knows Gitaly's pods; without it they are found by their Git cgroups, and named by UID. */
  readonly directory?: PodDirectory | undefined;
  /** Gitaly's configuration: where its cgroups must be, and that there must be some. */
  readonly configs?: GitalyConfigs | undefined;
  /** cgroups.repositories.count of a Gitaly's configuration, where that is known. */
  readonly configuredBuckets?: ((identity: Identity) => number | undefined) | undefined;
  /** uname -r. */
  readonly kernelVersion?: string | undefined;
  /** Over how long the view measures CPU throttling. */
  readonly throttlingWindowMs?: number | undefined;
}

export interface CgroupSource {
  readonly collectors: readonly Collector[];
  /** Part of the exporter's own metrics: exposed even while the collectors have no data. */
  selfFamilies(): readonly Family[];
  view(): CgroupView;
  /** Stops all work, and closes every file and watch. */
  stop(): Promise<void>;
}

/** What a collector read. */
interface Timed<T> {
  /** Monotonic. */
  readonly at: number;
  readonly value: T;
}

const keepKillsMs = 3_600_000;
const keepKillsAtMost = 1000;
const defaultThrottlingWindowMs = 5 * 60_000;
/** As long as Prometheus looks back for a sample: without a scrape for longer, the view has no levels. */
const levelMaxAgeMs = 5 * 60_000;

/** Begins to scan and to follow immediately. */
export function createCgroupSource(options: CgroupSourceOptions): CgroupSource {
  const { clock, directory, events, hostName, log, pollIntervalMs, root } = options;
  const files = createCgroupFiles({ root, clock });
  const finder = createFinder({
    root,
    hostName,
    clock,
    configs: options.configs,
    ...(directory && { directory }),
  });
  const tracker = createOomTracker({ files, root, clock });
  const throttling = createThrottlingHistory(options.throttlingWindowMs ?? defaultThrottlingWindowMs);
  const disappeared = createDisappearedHistory();
  const killed = createWake();
  const closing = new AbortController();
  const { signal } = closing;
  const directoryWatch = watchPaths({ root, on: 'rename', onEvent: () => watch.scanSoon(), signal });
  const eventsWatch = watchPaths({ root, on: 'change', onEvent: () => watch.countSoon(), signal });
  let levels: Timed<readonly GitalyRead[]> | undefined;
  let buckets: Timed<ReadonlyMap<string, GitSweep>> | undefined;
  /** Oldest first. */
  let kills: readonly { readonly kill: OomKill; readonly moment: Moment }[] = [];

  const watch = startTreeWatch({
    finder,
    tracker,
    pollIntervalMs,
    clock,
    log,
    onFound({ folders, isPartial, trees, unlisted }) {
      // What cannot be read for a while has not disappeared.
      if (!isPartial) disappeared.record(trees, clock, unlisted);
      const tops = trees.flatMap((tree) => topOf(tree)?.path ?? []);
      void eventsWatch.follow(tops.map((path) => `${path}/memory.events`));
      void directoryWatch.follow(folders);
    },
    onKills(found) {
      for (const kill of found) report(kill);
      const moment = currentMoment(clock);
      kills = [...kills, ...found.map((kill) => ({ kill, moment }))].slice(-keepKillsAtMost);
      killed.call();
    },
  });

  function report(kill: OomKill): void {
    const { bucket, container, identity, level, memory, processes } = kill;
    // The field `level` is the log line's own.
    log.warn({ ...identity, oom_level: level, bucket, container, processes, memory }, 'OOM kill');
    const place =
      bucket !== undefined ? { bucket: String(bucket) } : container !== undefined ? { container } : {};
    events.add('oom_kill', oomKillText(kill), { ...identity, level, ...place });
  }

  const unsubscribe = directory?.subscribe(() => watch.scanSoon());
  const newest = <T>(read: Timed<T> | undefined, maxAgeMs: number): T | undefined =>
    read !== undefined && clock.monotonic() - read.at <= maxAgeMs ? read.value : undefined;
  return {
    collectors: [
      createLevelCollector({
        watch,
        files,
        tracker,
        pod: (uid) => directory?.pods().pods.find((known) => known.uid === uid),
        kernelVersion: options.kernelVersion ?? '',
        whyEmpty: () => watch.state().missing.join('; ') || `no Gitaly found below ${root}`,
        onRead(reads) {
          levels = { at: clock.monotonic(), value: reads };
          const cgroups = reads.flatMap((gitaly) => gitaly.levels);
          throttling.record(levels.at, new Map(cgroups.map(({ path, reading }) => [path, reading])));
        },
      }),
      createBucketCollector({
        watch,
        files,
        tracker,
        clock,
        choice: options.buckets,
        top: options.topBuckets,
        configured: options.configuredBuckets ?? (() => undefined),
        killed,
        onSweep(sweeps) {
          buckets = { at: clock.monotonic(), value: sweeps };
        },
      }),
    ],

    selfFamilies() {
      const failures = files.failures();
      const samples = createSamples(metrics.cgroupSelfMetrics);
      samples.set(metrics.cgroupGitalys, {}, gitalysFound(watch.state()));
      // Every reason exists from the start, at 0.
      for (const reason of readFailures)
        samples.set(metrics.cgroupReadFailures, { reason }, failures[reason]);
      samples.set(metrics.unattributedKills, {}, tracker.health().unattributed);
      samples.set(metrics.cgroupOpenFiles, {}, files.openDescriptors());
      samples.set(metrics.cgroupWatches, { kind: 'directory' }, directoryWatch.watched());
      samples.set(metrics.cgroupWatches, { kind: 'memory_events' }, eventsWatch.watched());
      return samples.families();
    },

    view() {
      const refused = eventsWatch.refusal() ?? directoryWatch.refusal();
      return cgroupView({
        state: watch.state(),
        unwatched: refused === undefined ? undefined : refusedWatchText(refused),
        reads: newest(levels, levelMaxAgeMs) ?? [],
        sweeps: newest(buckets, bucketMaxAgeMs) ?? new Map(),
        totals: oomByIdentity(tracker.totals()),
        throttling: throttling.of,
        disappeared: disappeared.lastHour(clock),
        kills: kills
          .filter(({ moment }) => msSince(moment, clock) < keepKillsMs)
          .map(({ kill, moment }) => ({ ...kill, at: wallTimeOf(moment, clock) }))
          .toReversed(),
      });
    },

    async stop() {
      unsubscribe?.();
      closing.abort();
      await watch.stop();
      tracker.close();
      files.close();
    },
  };
}
