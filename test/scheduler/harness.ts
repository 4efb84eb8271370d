/** A runner on a manual clock with scripted collectors, and its scrapes as plain objects. */

import type { Clock } from '../../src/lib/clock.ts';
import type { Log } from '../../src/lib/log.ts';
import { anyValue, gauge } from '../../src/metrics/metric.ts';
import { type Block, createSamples } from '../../src/metrics/samples.ts';
import type { Collector, IntervalSchedule, Run, Schedule } from '../../src/scheduler/collector.ts';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import { createRunner, type Runner, type RunnerOptions } from '../../src/scheduler/runner.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

export const scrapeSchedule = { kind: 'scrape', timeoutMs: 5000 } as const satisfies Schedule;

export const every = (
  everyMs: number,
  rest: Partial<Omit<IntervalSchedule, 'kind' | 'everyMs'>> = {},
): IntervalSchedule => ({ kind: 'interval', everyMs, timeoutMs: 10_000, maxAgeMs: 3 * everyMs, ...rest });

/** What the scripted collectors expose: one gauge each, `<collector>_value`. */
export const valueMetric = (name: string) =>
  gauge(`${name}_value`, { help: 'A value.', origin: 'a test', labels: { of: anyValue } });

export function valueBlock(name: string, value: number): Block {
  const samples = createSamples();
  samples.set(valueMetric(name), { of: name }, value);
  return { families: samples.families() };
}

export const ok = (name: string, value = 1): Outcome => ({
  kind: 'data',
  block: valueBlock(name, value),
  snapshot: value,
});

type Collect = (run: Run, nth: number) => Promise<Outcome> | Outcome;

export interface ScriptedCollector extends Collector {
  /** One line per run: `due at 60 s`, in seconds since the clock's start. */
  readonly runs: readonly string[];
}

export interface Harness {
  readonly clock: ManualClock;
  readonly lines: readonly string[];
  collector(name: string, schedule: Schedule, collect?: Collect): ScriptedCollector;
  /** Creates and starts a runner. */
  run(collectors: readonly Collector[], options?: Partial<RunnerOptions>): Runner;
  /** Seconds since the clock's start. */
  seconds(): number;
}

export function createHarness(): Harness {
  const clock = createManualClock();
  const startedAt = clock.monotonic();
  const seconds = (): number => (clock.monotonic() - startedAt) / 1000;
  const { lines, log } = recordingLog();
  return {
    clock,
    lines,
    seconds,
    collector(name, schedule, collect = () => ok(name)) {
      const runs: string[] = [];
      return {
        name,
        title: `reads ${name}`,
        metrics: [valueMetric(name)],
        schedule,
        runs,
        async collect(run) {
          runs.push(`${run.cause} at ${seconds()} s`);
          return collect(run, runs.length);
        },
      };
    },
    run(collectors, options = {}) {
      const runner = createRunner({ collectors, clock, log, version: '1.2.3', ...options });
      runner.start();
      return runner;
    },
  };
}

export function recordingLog(): { lines: string[]; log: Log } {
  const lines: string[] = [];
  const at = (level: string) => (fields: object, message: string) => {
    const shown = new Map(Object.entries(fields));
    const values = ['collector', 'reason', 'message', 'after', 'error'].flatMap(
      (name) => shown.get(name) ?? [],
    );
    lines.push([level, `${message}:`, ...values].join(' '));
  };
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

/** Never resolves and ignores its signal. */
export const hang = (): Promise<never> => new Promise(() => undefined);

/** Takes `ms`, or returns a failed outcome when its signal aborts, as a well-behaved collector does. */
export async function slow(clock: Clock, ms: number, run: Run, outcome: Outcome): Promise<Outcome> {
  await clock.sleep(ms, run.signal);
  return run.signal.aborted ? failed('timeout', 'aborted') : outcome;
}

/** Takes `ms` and ignores its signal. */
export async function ignoringSignal(clock: Clock, ms: number, outcome: Outcome): Promise<Outcome> {
  await clock.sleep(ms);
  return outcome;
}

export const never = new AbortController().signal;

/** Every sample as `name{label="value"}` -> value. */
export function flatten(blocks: readonly Block[]): ReadonlyMap<string, number> {
  const flat = new Map<string, number>();
  for (const { families } of blocks) {
    for (const family of families) {
      if (!('samples' in family)) continue;
      const { labelNames, name } = family.metric;
      for (const { labelValues, value } of family.samples) {
        const labels = labelNames.map((label, index) => `${label}="${labelValues[index]}"`).join(',');
        flat.set(labels === '' ? name : `${name}{${labels}}`, value);
      }
    }
  }
  return flat;
}

export interface Seen {
  readonly value: number | undefined;
  readonly success: number | undefined;
  readonly stale: number | undefined;
}

/** A scrape that takes no time: what it shows of each collector. */
export async function scrape(
  runner: Runner,
  ...names: readonly string[]
): Promise<Readonly<Record<string, Seen>>> {
  const flat = flatten(await runner.blocks({ signal: never }));
  return Object.fromEntries(names.map((name) => [name, seen(flat, name)]));
}

export function seen(flat: ReadonlyMap<string, number>, name: string): Seen {
  return {
    value: flat.get(`${name}_value{of="${name}"}`),
    success: flat.get(`gitaly_exporter_collector_success{collector="${name}"}`),
    stale: flat.get(`gitaly_exporter_collector_stale{collector="${name}"}`),
  };
}
