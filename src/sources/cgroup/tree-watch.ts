/**
 * Keeps up with this host's Gitalys and their OOM kills: looks for trees when a directory or Kubernetes says that
 * something changed, and each minute; counts kills when a memory.events says so, at each poll, and whenever a
 * scrape asks. Looks and counts never overlap.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { describeThrown, stackOf } from '../../lib/thrown.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { Finder, Found } from './discovery/found.ts';
import type { OomKill, OomTracker } from './oom/record.ts';
import type { GitalyTree } from './tree.ts';

export interface TreeWatchOptions {
  readonly finder: Finder;
  readonly tracker: Pick<OomTracker, 'follow' | 'settle'>;
  /** Told of each look that came through, before its kills are counted. */
  readonly onFound: (found: Extract<Found, { kind: 'found' }>) => void;
  /** Told of each kill once. */
  readonly onKills: (kills: readonly OomKill[]) => void;
  readonly pollIntervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the newest look found. Its trees are empty when it failed. */
export interface TreeState {
  /** Monotonic; undefined before the first look. */
  readonly lookedAt: number | undefined;
  readonly trees: readonly GitalyTree[];
  /** Why there are no trees. */
  readonly failure: Failure | undefined;
  /** What of the tree could not be read; the trees are those that could. */
  readonly failures: readonly Failure[];
  /** What is not known and why, a line each. */
  readonly missing: readonly string[];
}

export interface TreeWatch {
  state(): TreeState;
  /** Something was made or removed: look again soon. */
  lookSoon(): void;
  /** A memory.events moved: count soon. */
  countSoon(): void;
  /**
   * Looks again where the last look is older than this or known to be out of date, and counts all kills up to now.
   * Resolves early when the signal aborts.
   */
  refresh(maxAgeMs: number, signal: AbortSignal): Promise<TreeState>;
  /** Ends it, and waits for what goes on. */
  stop(): Promise<void>;
}

const nothingYet: TreeState = {
  lookedAt: undefined,
  trees: [],
  failure: undefined,
  failures: [],
  missing: [],
};

const lookEveryMs = 60_000;

/** Notifications come in swarms: a pod's start makes dozens. Far less than the second that a kill may take. */
const swarmMs = 50;

/** Starts at once. */
export function startTreeWatch(options: TreeWatchOptions): TreeWatch {
  const { clock, log, pollIntervalMs, tracker } = options;
  const stopping = new AbortController();
  let state: TreeState = nothingYet;
  let isOutOfDate = true;
  let nap = new AbortController();
  let lastBug = '';

  let line: Promise<unknown> = Promise.resolve();
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = line.then(work);
    line = mine.catch(() => undefined);
    return mine;
  }

  async function look(signal: AbortSignal): Promise<void> {
    const startedAt = clock.monotonic();
    isOutOfDate = false;
    const found = await options.finder.find(signal);
    if (signal.aborted && found.kind === 'failed') {
      isOutOfDate = true;
      return;
    }
    if (found.kind === 'failed') {
      // Nobody is followed anew: what is there again after a failed look is what was there before it.
      const { message, reason } = found;
      state = { ...nothingYet, lookedAt: startedAt, failure: { reason, message } };
      return;
    }
    const { failures, missing, trees } = found;
    state = { lookedAt: startedAt, trees, failure: undefined, failures, missing };
    tracker.follow(trees);
    options.onFound(found);
  }

  /** Trees that could not be looked for are still followed: their kills count. */
  async function round(maxAgeMs: number, signal: AbortSignal): Promise<void> {
    const { failure, lookedAt } = state;
    // What failed may be mended at any moment, and is cheap to try.
    if (
      isOutOfDate ||
      failure !== undefined ||
      lookedAt === undefined ||
      clock.monotonic() - lookedAt >= maxAgeMs
    )
      await look(signal);
    const kills = await tracker.settle(signal);
    if (kills.length > 0) options.onKills(kills);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      nap = new AbortController();
      try {
        await inTurn(() => round(lookEveryMs, stopping.signal));
      } catch (thrown) {
        sayBug(thrown);
      }
      await clock.sleep(Math.min(swarmMs, pollIntervalMs), stopping.signal);
      await clock.sleep(pollIntervalMs - swarmMs, nap.signal);
    }
  }

  /** Once, not twice a second. */
  function sayBug(thrown: unknown): void {
    const what = describeThrown(thrown);
    if (what === lastBug || stopping.signal.aborted) return;
    lastBug = what;
    log.error({ stack: stackOf(thrown) }, `a bug: the cgroups could not be followed: ${what}`);
  }

  const running = run();
  return {
    state: () => state,
    lookSoon() {
      isOutOfDate = true;
      nap.abort();
    },
    countSoon: () => nap.abort(),
    async refresh(maxAgeMs, signal) {
      const done = inTurn(async () => {
        if (!signal.aborted) await round(maxAgeMs, signal);
      });
      await orAborted(done, signal);
      return state;
    },
    async stop() {
      stopping.abort();
      nap.abort();
      await running;
      await line;
    },
  };
}

/** Whoever waits in a queue must be able to leave it. */
async function orAborted(done: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const leave = (): void => resolve();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    await Promise.race([done, aborted]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
