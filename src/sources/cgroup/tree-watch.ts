/**
 * Keeps the trees of this host's Gitalys and their OOM kills current: scans when a directory or Kubernetes reports a
 * change, and every minute; counts kills when a memory.events changed, at every poll, and at every scrape. Scans and
 * counts never overlap.
 */
import { unlessAborted } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import { describeThrown, stackOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { createSerialQueue } from '../../lib/serial-queue.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { Finder, FoundTrees } from './discovery/finder.ts';
import type { OomKill, OomTracker } from './oom/record.ts';

export interface TreeWatchOptions {
  readonly finder: Finder;
  readonly tracker: Pick<OomTracker, 'follow' | 'settle'>;
  /** Called for each successful scan, before its kills are counted. */
  readonly onFound: (found: FoundTrees) => void;
  /** Called once for each kill. */
  readonly onKills: (kills: readonly OomKill[]) => void;
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Result of the newest scan; empty when it failed. */
export interface TreeState
  extends Pick<FoundTrees, 'trees' | 'failures' | 'missing' | 'notes' | 'isPartial'> {
  /** Monotonic; undefined before the first scan. */
  readonly scannedAt: number | undefined;
  /** Why there are no trees. */
  readonly failure: Failure | undefined;
}

/** How many Gitalys this host has; undefined while there may be one that cannot be read. */
export function gitalysFound({ failure, isPartial, trees }: TreeState): number | undefined {
  const found = trees.filter(({ vacancy }) => vacancy === undefined).length;
  return failure !== undefined || (found === 0 && isPartial) ? undefined : found;
}

export interface TreeWatch {
  state(): TreeState;
  /** A cgroup was created or removed, or the list of pods changed. */
  scanSoon(): void;
  /** A memory.events changed. */
  countSoon(): void;
  /**
   * Scans if the last scan is older than this or outdated, and counts all kills up to now. Resolves early when the
   * signal aborts.
   */
  refresh(maxAgeMs: number, signal: AbortSignal): Promise<TreeState>;
  /** Resolves when the work in progress has ended. */
  stop(): Promise<void>;
}

const notScanned: TreeState = {
  scannedAt: undefined,
  trees: [],
  failure: undefined,
  failures: [],
  missing: [],
  notes: [],
  isPartial: true,
};

const scanIntervalMs = 60_000;

/**
 * Notifications come in bursts: the start of a pod causes dozens. Far less than the second within which a kill is to be
 * reported.
 */
const gatherMs = 50;

/** Starts immediately. */
export function startTreeWatch(options: TreeWatchOptions): TreeWatch {
  const { clock, log, pollIntervalMs, tracker } = options;
  const queue = createSerialQueue();
  const stopping = new AbortController();
  let state: TreeState = notScanned;
  let isOutdated = true;
  let poll = new AbortController();
  let lastError = '';

  async function scan(signal: AbortSignal): Promise<void> {
    const startedAt = clock.monotonic();
    isOutdated = false;
    const found = await options.finder.find(signal);
    if (signal.aborted && found.kind === 'failed') {
      isOutdated = true;
      return;
    }
    if (found.kind === 'failed') {
      // The tracker keeps its trees: what exists again after a failed scan is what existed before it.
      const { message, reason } = found;
      state = { ...notScanned, scannedAt: startedAt, failure: { reason, message } };
      return;
    }
    const { failures, isPartial, missing, notes, trees } = found;
    state = { scannedAt: startedAt, trees, failure: undefined, failures, missing, notes, isPartial };
    tracker.follow(trees);
    options.onFound(found);
  }

  /** Kills are counted even after a failed scan. */
  async function scanAndCount(maxAgeMs: number, signal: AbortSignal): Promise<void> {
    const { failure, scannedAt } = state;
    const isOld = scannedAt === undefined || clock.monotonic() - scannedAt >= maxAgeMs;
    // The cause of a failure may be fixed at any moment, and trying is cheap.
    if (isOutdated || failure !== undefined || isOld) await scan(signal);
    const kills = await tracker.settle(signal);
    if (kills.length > 0) options.onKills(kills);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      poll = new AbortController();
      try {
        await queue.run(() => scanAndCount(scanIntervalMs, stopping.signal));
      } catch (thrown) {
        logError(thrown);
      }
      await clock.sleep(Math.min(gatherMs, pollIntervalMs), stopping.signal);
      await clock.sleep(pollIntervalMs - gatherMs, poll.signal);
    }
  }

  /** Once, not at every poll. */
  function logError(thrown: unknown): void {
    const error = describeThrown(thrown);
    if (error === lastError || stopping.signal.aborted) return;
    lastError = error;
    log.error({ error, stack: stackOf(thrown) }, 'internal error: cgroups not followed');
  }

  const running = run();
  return {
    state: () => state,
    scanSoon() {
      isOutdated = true;
      poll.abort();
    },
    countSoon: () => poll.abort(),
    async refresh(maxAgeMs, signal) {
      const done = queue.run(async () => {
        if (!signal.aborted) await scanAndCount(maxAgeMs, signal);
      });
      await unlessAborted(done, signal);
      return state;
    },
    async stop() {
      stopping.abort();
      poll.abort();
      await running;
      await queue.run(async () => undefined);
    },
  };
}
