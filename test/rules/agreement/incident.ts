/**
 * An incident of the demo as the exporter shows it: metrics and typed views, captured twice, so that both can
 * be extrapolated over the time that alerts need.
 */
import { type Demo, startDemo } from '../../../demo/demo.ts';
import { startCollection } from '../../../replay/collection.ts';
import { seriesIn } from '../../../replay/series.ts';
import type { Collection } from '../../../src/app/collectors.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { expositionText } from '../../../src/metrics/exposition.ts';
import { defaultJudgment } from '../../../src/rules/judgment.ts';
import {
  createProblemTracker,
  type ProblemViews,
  type TrackedProblem,
} from '../../../src/rules/problems/tracker.ts';
import type { Throttling } from '../../../src/sources/cgroup/history.ts';

/** What the exporter showed at one moment. */
export interface Capture {
  /** Seconds since 1970. */
  readonly at: number;
  /** Values by series, as in the exposition: `name{label="value"}`. Without histograms. */
  readonly series: ReadonlyMap<string, number>;
  readonly views: ProblemViews;
}

export interface PlayedIncident {
  readonly healthy: Capture;
  readonly first: Capture;
  readonly second: Capture;
  /** The problems after the incident has continued for `seconds`, at each evaluation of the rules. */
  continueFor(
    seconds: number,
    stepSeconds: number,
  ): readonly { after: number; problems: readonly TrackedProblem[] }[];
}

export interface Stage {
  /**
   * Runs the incident until its problems are on the page, captures it, and ends it.
   * @param kinds problems that must exist before the capture
   */
  play(incident: string, kinds: readonly string[], isSteady: boolean): Promise<PlayedIncident>;
  stop(): Promise<void>;
}

const captureApartMs = 5000;
const startLimitMs = 90_000;

/** A demo of its own, read by the collectors of `serve`, with its problems tracked as the page does. */
export async function openStage(signal: AbortSignal): Promise<Stage> {
  let collection: Collection | undefined;
  const demo: Demo = await startDemo({
    settings: {
      repositories: 60,
      writesPerSecond: 8,
      seed: 7,
      timings: { reconcile: 15_000, gitFails: 200 },
    },
    log: () => undefined,
    signal,
    async startExporter({ connection, virtualStorages, gitaly, cgroup, kubernetes }) {
      collection = await startCollection(
        { database: connection, configuredStorages: virtualStorages },
        (settings) => ({
          ...settings,
          gitaly: { ...settings.gitaly, target: gitaly.targets, configFile: gitaly.configFiles },
          cgroup: { ...settings.cgroup, ...cgroup, enabled: true },
          kubernetes: { ...settings.kubernetes, ...kubernetes, enabled: true },
          praefect: {
            ...settings.praefect,
            stuckThreshold: 8000,
            database: { ...settings.praefect.database, refreshInterval: 2000, maxTimeRatio: 1 },
          },
        }),
      );
      return { url: '', stop: async () => collection?.stop() };
    },
  });
  const { runner, views } = collection as Collection;
  let tracker = createProblemTracker(() => defaultJudgment, silentLog);
  const seconds = (): number => systemClock.now() / 1000;

  async function capture(): Promise<Capture> {
    const text = expositionText(await runner.blocks({ signal }));
    return { at: seconds(), series: seriesIn(text), views: views() };
  }

  /** Tracks the problems as the page does, until the condition holds. */
  async function followUntil(
    what: string,
    holds: (found: readonly TrackedProblem[]) => boolean,
  ): Promise<void> {
    const limit = performance.now() + startLimitMs;
    for (;;) {
      const found = tracker.update(views(), seconds());
      if (runner.ready() && holds(found)) return;
      signal.throwIfAborted();
      // A collector that runs at scrapes recovers by the next one.
      if (found.some(({ id }) => id === 'collector_failing')) await runner.blocks({ signal });
      if (performance.now() > limit)
        throw new Error(
          `timeout: ${what}; problems: ${found.map(({ id, title }) => `${id} (${title})`).join(', ')}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  const follow = async (ms: number): Promise<void> => {
    const end = performance.now() + ms;
    await followUntil('time passes', () => performance.now() >= end);
  };

  return {
    async play(incident, kinds, isSteady) {
      // The previous incident was extrapolated into the future.
      tracker = createProblemTracker(() => defaultJudgment, silentLog);
      // OOM kills and dropped requests stay on the page for a while: they run last.
      await followUntil(`no problems before ${incident}`, (found) =>
        found.every(({ alert }) => alert === undefined),
      );
      await follow(1000);
      const healthy = await capture();
      const started = await demo.incidents.start(incident);
      if (!started.ok) throw new Error(started.message);
      try {
        return await captured(incident, kinds, isSteady, healthy);
      } finally {
        await demo.incidents.stop(incident);
      }
    },
    stop: () => demo.stop(),
  };

  async function captured(
    incident: string,
    kinds: readonly string[],
    isSteady: boolean,
    healthy: Capture,
  ): Promise<PlayedIncident> {
    await followUntil(`${incident} shows ${kinds.join(', ')}`, (found) =>
      kinds.every((kind) => found.some(({ id }) => id === kind)),
    );
    await follow(kinds.length === 0 ? 15_000 : 1500);
    const first = await capture();
    await follow(isSteady ? captureApartMs : 500);
    const second = await capture();
    return {
      healthy,
      first,
      second,
      continueFor(total, step) {
        const viewsAfter = isSteady ? extrapolation(first, second) : () => second.views;
        return Array.from({ length: Math.floor(total / step) + 1 }, (_, i) => {
          const after = i * step;
          return { after, problems: tracker.update(viewsAfter(after), second.at + after) };
        });
      },
    };
  }
}

/** Totals of a snapshot keep their rate; every other number keeps its value, except times that advance. */
const totals: ReadonlySet<string> = new Set(['total', 'removed', 'enqueued']);

/** The value `after` seconds later; undefined for a value that stays as it is. */
type Continuation = ((after: number) => unknown) | undefined;

/** The views at any number of seconds later, as if the incident had continued unchanged. */
function extrapolation(first: Capture, second: Capture): (after: number) => ProblemViews {
  const continued = continuation(first.views, second.views, '', second.at - first.at);
  return (after) => (continued === undefined ? second.views : (continued(after) as ProblemViews));
}

function continuation(before: unknown, now: unknown, key: string, elapsed: number): Continuation {
  if (typeof now === 'number' && typeof before === 'number') {
    if (now === before) return undefined;
    if (totals.has(key)) return (after) => now + ((now - before) / elapsed) * after;
    if (now > 1e12) return (after) => now + after * 1000;
    return now > 1e9 ? (after) => now + after : undefined;
  }
  if (now instanceof Map) {
    const known = before instanceof Map ? before : new Map<unknown, unknown>();
    const parts = partsOf([...now], (name) => known.get(name), String, elapsed);
    return parts && ((after) => new Map(parts(after)));
  }
  if (Array.isArray(now)) {
    const aligned: readonly unknown[] = Array.isArray(before) && before.length === now.length ? before : [];
    const parts = partsOf(
      [...now.entries()],
      (index) => aligned[index],
      () => key,
      elapsed,
    );
    return parts && ((after) => parts(after).map(([, value]) => value));
  }
  if (isThrottling(now)) return isThrottling(before) ? continuedThrottling(before, now, elapsed) : undefined;
  if (typeof now === 'object' && now !== null) {
    const known = before as Record<string, unknown> | undefined;
    const parts = partsOf(Object.entries(now), (name) => known?.[name], String, elapsed);
    return parts && ((after) => Object.fromEntries(parts(after)));
  }
  return undefined;
}

const isThrottling = (value: unknown): value is Throttling =>
  typeof value === 'object' && value !== null && 'ratio' in value && 'periods' in value;

/** The window fills with what happened between the captures, as the counters do that the alert reads. */
function continuedThrottling(before: Throttling, now: Throttling, elapsed: number): Continuation {
  const window = defaultJudgment.thresholds.rateWindow.value;
  const added = now.periods - before.periods;
  if (added <= 0) return undefined;
  const throttled = now.ratio * now.periods;
  const addedThrottled = throttled - before.ratio * before.periods;
  return (after) => {
    const past = Math.max(0, 1 - after / window);
    const more = Math.min(after, window) / elapsed;
    const periods = now.periods * past + added * more;
    return { ratio: (throttled * past + addedThrottled * more) / periods, periods };
  };
}

/** Undefined when every part stays as it is. */
function partsOf<K>(
  entries: readonly (readonly [K, unknown])[],
  before: (name: K) => unknown,
  keyOf: (name: K) => string,
  elapsed: number,
): ((after: number) => readonly (readonly [K, unknown])[]) | undefined {
  const parts = entries.map(
    ([name, value]) => [name, value, continuation(before(name), value, keyOf(name), elapsed)] as const,
  );
  if (parts.every(([, , continued]) => continued === undefined)) return undefined;
  return (after) => parts.map(([name, value, continued]) => [name, continued?.(after) ?? value]);
}
