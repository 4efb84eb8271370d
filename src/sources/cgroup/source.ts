/** The room as a whole: this host's Gitalys, found and followed; two collectors, and what the page shows. */

import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { type Family, samplesOf, single } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createWake } from '../../scheduler/wake.ts';
import type { Identity } from '../identity.ts';
import { createBucketCollector } from './buckets/collector.ts';
import type { BucketChoice, GitSweep } from './buckets/sweep.ts';
import { createFinder } from './discovery/finder.ts';
import { watchTrees } from './discovery/watch.ts';
import { createCgroupFiles } from './files/files.ts';
import { type CgroupFiles, readFailures } from './files/reading.ts';
import { createLevelCollector } from './levels/collector.ts';
import type { GitalyLook } from './levels/look.ts';
import { oomByIdentity } from './levels/oom-families.ts';
import { createThrottleWatch } from './levels/throttling.ts';
import * as metrics from './metrics.ts';
import type { OomKill } from './oom/record.ts';
import { createOomTracker } from './oom/tracker.ts';
import { type OomWatchState, watchOomEvents } from './oom/watch.ts';
import { oomKillText } from './oom-text.ts';
import type { PodDirectory } from './tree.ts';
import { startTreeWatch } from './tree-watch.ts';
import { type CgroupView, cgroupView, createVanishedWatch } from './view.ts';

/** The names of all collectors of the room, for when it is switched off. */
export const cgroupCollectorNames: readonly string[] = ['cgroup', 'cgroup_buckets'];

export interface CgroupRoomOptions {
  /** Where the host's cgroup v2 is mounted. */
  readonly root: string;
  readonly hostName: string;
  /** Which buckets get series of their own. */
  readonly buckets: BucketChoice;
  /** How many of the busiest of each Gitaly, with `top`. */
  readonly topBuckets: number;
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly events: Pick<EventLog, 'add'>;
  readonly log: Log;
  /** Who knows Gitaly's pods; without it they are known by their Git cgroups, and by uid. */
  readonly directory?: PodDirectory | undefined;
  /** cgroups.repositories.count of a Gitaly's configuration, where that is known. */
  readonly configuredBuckets?: ((identity: Identity) => number | undefined) | undefined;
  /** uname -r. */
  readonly kernelVersion?: string | undefined;
}

export interface CgroupRoom {
  readonly collectors: readonly Collector[];
  /** What it says of itself, for the exporter's own block: there even while the collectors have nothing to say. */
  selfFamilies(): readonly Family[];
  view(): CgroupView;
  /** Ends all that goes on, and closes every file and watch. */
  stop(): Promise<void>;
}

const rememberKillsMs = 3_600_000;
const rememberKillsAtMost = 1000;

/** Begins to look and to follow at once. */
export function createCgroupRoom(options: CgroupRoomOptions): CgroupRoom {
  const { clock, directory, events, hostName, log, pollIntervalMs, root } = options;
  const files = createCgroupFiles({ root, clock });
  const finder = createFinder({ root, hostName, clock, ...(directory && { directory }) });
  const tracker = createOomTracker({ files, root, clock });
  const throttling = createThrottleWatch();
  const vanished = createVanishedWatch();
  const killed = createWake();
  const closing = new AbortController();
  const directoryWatch = watchTrees({
    root,
    clock,
    signal: closing.signal,
    onChange: () => watch.lookSoon(),
  });
  const oomWatch = watchOomEvents({ root, signal: closing.signal, onEvent: () => watch.countSoon() });
  let looks: readonly GitalyLook[] = [];
  let sweeps: ReadonlyMap<string, GitSweep> = new Map();
  /** Newest last. */
  let kills: OomKill[] = [];

  const watch = startTreeWatch({
    finder,
    tracker,
    pollIntervalMs,
    clock,
    log,
    onFound({ folders, trees, unlisted }) {
      vanished.look(trees, clock.now(), unlisted);
      oomWatch.follow(trees);
      void directoryWatch.follow(folders);
    },
    onKills(found) {
      for (const kill of found) say(kill);
      kills = [...kills, ...found].slice(-rememberKillsAtMost);
      killed.call();
    },
  });

  function say(kill: OomKill): void {
    const { bucket, container, identity, level, memory, processes } = kill;
    const message = oomKillText(kill);
    // `level` is the line's own.
    log.warn({ ...identity, oom_level: level, bucket, container, processes, memory }, message);
    const place =
      bucket !== undefined ? { bucket: String(bucket) } : container !== undefined ? { container } : {};
    events.add('oom_kill', message, { ...identity, level, ...place });
  }

  const unsubscribe = directory?.subscribe(() => watch.lookSoon());
  const pod = (uid: string) => directory?.pods().pods.find((known) => known.uid === uid);
  const why = (): string => watch.state().missing.join('; ') || `no Gitaly is found below ${root}`;
  return {
    collectors: [
      createLevelCollector({
        watch,
        files,
        tracker,
        pod,
        kernelVersion: options.kernelVersion ?? '',
        whyEmpty: why,
        onRead(read) {
          looks = read;
          const levels = read.flatMap((look) => look.levels);
          throttling.look(clock.monotonic(), new Map(levels.map(({ path, reading }) => [path, reading])));
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
        onSweep(swept) {
          sweeps = swept;
        },
      }),
    ],

    selfFamilies() {
      const { failure, lookedAt, trees } = watch.state();
      const isKnown = lookedAt !== undefined && failure === undefined;
      return [
        single(metrics.cgroupGitalys, isKnown ? trees.length : undefined),
        readFailureFamily(files),
        single(metrics.unattributedKills, tracker.health().unattributed),
        single(metrics.cgroupOpenFiles, files.openDescriptors()),
        samplesOf(metrics.cgroupWatches)
          .set({ kind: 'directory' }, directoryWatch.watched())
          .set({ kind: 'memory_events' }, oomWatch.state().armed)
          .family(),
      ];
    },

    view() {
      const now = clock.now();
      return cgroupView({
        state: watch.state(),
        unwatched: unwatchedText(oomWatch.state(), directoryWatch.refusal()),
        looks,
        sweeps,
        totals: oomByIdentity(tracker.totals()),
        throttled: throttling.ratio,
        vanished: vanished.current(now),
        kills: kills.filter(({ at }) => now - at < rememberKillsMs).toReversed(),
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

/** Every reason exists from the start, at 0. */
function readFailureFamily(files: CgroupFiles): Family {
  const counts = files.failures();
  const samples = samplesOf(metrics.cgroupReadFailures);
  for (const reason of readFailures) samples.set({ reason }, counts[reason]);
  return samples.family();
}

/** Undefined while the kernel gives every watch that is asked for. */
function unwatchedText({ failed }: OomWatchState, refusal: string | undefined): string | undefined {
  const code = failed[0]?.code ?? refusal;
  if (code === undefined) return undefined;
  const mend =
    code === 'ENOSPC'
      ? ': raise fs.inotify.max_user_watches on the host'
      : code === 'EMFILE'
        ? ': raise fs.inotify.max_user_instances on the host'
        : '';
  return `the kernel refuses notifications (${code}), so OOM kills and new pods are seen by polling alone${mend}`;
}
