/**
 * Runs the collectors: when each reads its source, and what a scrape shows of it.
 *
 * Guarantees: one run of a collector at a time; every run and every scrape ends by its deadline, whatever a collector
 * does; no collector (failing, throwing, hanging, flooding) affects another; no snapshot is shown beyond its
 * staleness limit. docs/decisions/0003-runner.md has the reasons.
 */
import { onAbort } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { describeThrown, stackOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Block } from '../metrics/samples.ts';
import type { Deadlines } from './bounded-run.ts';
import type { Collector } from './collector.ts';
import { createLauncher, graceMs } from './launcher.ts';
import { nextStart, nextStartAt } from './schedule.ts';
import { createSelfBlock, type ExtraFamilies, selfMetrics } from './self-metrics.ts';
import { createChanges } from './state-changes.ts';
import type { CollectorStatus } from './status.ts';
import {
  createTasks,
  isIntervalTask,
  missedReading,
  newestData,
  newestReading,
  type Reading,
  type Task,
} from './task.ts';
import { checkCollectors } from './validate.ts';

export interface RunnerOptions {
  /**
   * First runs start in this order, one after the other per source. Put the heaviest last, so that the others do not
   * wait for it.
   */
  readonly collectors: readonly Collector[];
  /** Names of collectors that are known but do not run: `collector_enabled` 0. */
  readonly disabled?: readonly string[];
  /** Of the running program: gitaly_exporter_build_info. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Families that other modules add to the exporter's own block. */
  readonly extraFamilies?: readonly ExtraFamilies[];
  /**
   * Called with each new block of an interval collector, so that its text is ready before the next scrape. Not
   * awaited.
   */
  readonly prepare?: (block: Block) => Promise<void>;
  /** Series of one collector over this limit are cut and counted. Default 100,000. */
  readonly maxSeriesPerCollector?: number;
  /** How long `stop` waits for runs to return. Default 5 s. */
  readonly stopTimeoutMs?: number;
}

export interface Scrape {
  /** Limit for the whole scrape: X-Prometheus-Scrape-Timeout-Seconds less an offset. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** Aborts when the client has disconnected. */
  readonly signal: AbortSignal;
}

export interface Runner {
  /** Starts the first runs, shortly after each other. Throws after `stop`. */
  start(): void;
  /** Aborts all runs and waits for them, within a limit. Idempotent; never rejects. */
  stop(): Promise<void>;
  /**
   * The blocks of a scrape in the order of the collectors, the exporter's own last. Within `timeoutMs`; never
   * rejects.
   */
  blocks(scrape: Scrape): Promise<readonly Block[]>;
  /**
   * The typed data of a collector's newest snapshot. Undefined whenever its samples are absent from /metrics: before
   * the first result, past the maximum age, and after a run that withdrew them.
   */
  latest<Snapshot>(collector: Collector<Snapshot>): Snapshot | undefined;
  /** In the order of the collectors. */
  status(): readonly CollectorStatus[];
  /**
   * Runs the collectors of scrapes that were not run for this long, so that the page is current without a scrape.
   * Returns immediately.
   */
  readIdle(afterMs: number): void;
  /** Every collector has ended its first run, whatever the outcome. */
  ready(): boolean;
  /** Resolves with true as soon as it is `ready`, with false when the signal aborts before. For a program without scrapes. */
  whenReady(signal: AbortSignal): Promise<boolean>;
}

/** Between two first runs. */
const staggerMs = 5;

/** Prometheus' own default. */
const defaultScrapeTimeoutMs = 10_000;

/** Throws when the collectors' declarations contradict each other or themselves. */
export function createRunner(options: RunnerOptions): Runner {
  const { clock, collectors, log, maxSeriesPerCollector = 100_000, stopTimeoutMs = 5000 } = options;
  checkCollectors(collectors, selfMetrics);

  const tasks = createTasks(collectors, clock);
  const intervalTasks = tasks.filter(isIntervalTask);
  const scrapeTasks = tasks.filter((task) => !isIntervalTask(task));
  const changes = createChanges(log, clock);
  const launcher = createLauncher({
    changes,
    clock,
    log,
    maxSeries: maxSeriesPerCollector,
    onFree: checkSoon,
    onSnapshot: (block) => void prepare(block),
  });
  const selfBlock = createSelfBlock({
    version: options.version,
    disabled: options.disabled ?? [],
    extraFamilies: options.extraFamilies ?? [],
    log,
  });

  const ready = (): boolean => tasks.every(({ record }) => record.verdict !== undefined);
  const stopping = new AbortController();
  const unsubscribe: (() => void)[] = [];
  let started = false;
  let stopped: Promise<void> | undefined;
  let timer = new AbortController();
  let checkPending = false;

  /** Starts every run that is due, and sets the timer for the next. */
  function startDueRuns(): void {
    checkPending = false;
    if (!started || stopping.signal.aborted) return;
    const now = clock.monotonic();
    for (let next = nextStart(intervalTasks, now); next; next = nextStart(intervalTasks, now))
      void launcher.launch(next.entry, next.cause, ownDeadlines(next.entry, now));
    for (const task of tasks) changes.notice(task);

    timer.abort();
    const nextAt = nextStartAt(intervalTasks);
    if (nextAt === Infinity) return;
    const mine = new AbortController();
    timer = mine;
    void clock.sleep(nextAt - now, mine.signal).then(() => {
      if (!mine.signal.aborted) startDueRuns();
    });
  }

  async function prepare(block: Block): Promise<void> {
    try {
      await options.prepare?.(block);
    } catch (thrown) {
      log.error(
        { error: describeThrown(thrown), stack: stackOf(thrown) },
        'internal error: a block could not be prepared',
      );
    }
  }

  /** Never synchronously: the caller is in the middle of a run. */
  function checkSoon(): void {
    if (checkPending) return;
    checkPending = true;
    queueMicrotask(startDueRuns);
  }

  /** So that readiness and the page need no scrape: on Kubernetes none may come before the pod is ready. */
  async function firstRunOf(task: Task, delayMs: number): Promise<void> {
    await clock.sleep(delayMs, stopping.signal);
    const hasStarted = task.current !== undefined || task.record.verdict !== undefined;
    if (hasStarted || stopping.signal.aborted) return;
    await launcher.launch(task, 'due', ownDeadlines(task, clock.monotonic()));
  }

  /** A run for this scrape, or the one in progress; the scrape with the latest deadline counts. */
  function readForScrape(task: Task, endsAt: number): Reading | Promise<Reading> {
    if (stopping.signal.aborted) return missedReading(task, 'the exporter is shutting down', clock);
    if (task.hung) return newestReading(task, clock);
    const { current } = task;
    const now = clock.monotonic();
    const deadlines = scrapeDeadlines(task, current?.run.startedAt ?? now, endsAt, now);
    if (current === undefined) return launcher.launch(task, 'scrape', deadlines);
    current.run.extend(deadlines);
    return current.reading;
  }

  return {
    start() {
      if (stopping.signal.aborted) throw new Error('a stopped runner cannot start again');
      if (started) return;
      started = true;
      for (const [index, task] of tasks.entries()) {
        const delayMs = index * staggerMs;
        if (!isIntervalTask(task)) {
          void firstRunOf(task, delayMs);
          continue;
        }
        const { timetable } = task;
        timetable.firstDueAt = timetable.dueAt = clock.monotonic() + delayMs;
        const stopListening = timetable.schedule.wake?.subscribe(() => {
          timetable.wakePending = true;
          checkSoon();
        });
        if (stopListening !== undefined) unsubscribe.push(stopListening);
      }
      startDueRuns();
    },

    stop() {
      if (stopped !== undefined) return stopped;
      stopping.abort();
      timer.abort();
      for (const each of unsubscribe) each();
      stopped = launcher.cancelAll(stopTimeoutMs);
      return stopped;
    },

    async blocks({ signal, timeoutMs }) {
      const limitMs = isTimeout(timeoutMs) ? timeoutMs : defaultScrapeTimeoutMs;
      const endsAt = clock.monotonic() + limitMs;
      const waiting = new AbortController();
      const giveUp = (): void => waiting.abort();
      // Not AbortSignal.any: on a long-lived signal it would outlive this scrape.
      signal.addEventListener('abort', giveUp);
      if (signal.aborted) giveUp();
      const over = clock.sleep(limitMs, waiting.signal);
      const read = new Map<Task, Reading>();
      await Promise.all(
        scrapeTasks.map(async (task) => {
          const missed = over.then(() => missedReading(task, 'no result within this scrape', clock));
          read.set(task, await Promise.race([readForScrape(task, endsAt), missed]));
        }),
      );
      giveUp();
      signal.removeEventListener('abort', giveUp);

      for (const task of tasks) changes.notice(task);
      const readings = tasks.map((task) => read.get(task) ?? newestReading(task, clock));
      const blocks = readings.flatMap(({ block }) => (block === undefined ? [] : [block]));
      return [...blocks, selfBlock(readings.map(({ status }) => status))];
    },

    latest<Snapshot>(collector: Collector<Snapshot>) {
      const task = tasks.find((each) => each.collector === collector);
      return task && (newestData(task, clock) as Snapshot | undefined);
    },
    readIdle(afterMs) {
      if (!started || stopping.signal.aborted) return;
      const now = clock.monotonic();
      for (const task of scrapeTasks) {
        const isIdle = task.current === undefined && !task.hung && now - task.startedAt >= afterMs;
        if (isIdle) void launcher.launch(task, 'due', ownDeadlines(task, now));
      }
    },
    status: () => tasks.map((task) => changes.notice(task)),
    ready,
    async whenReady(signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const unsubscribeReady = [changes.subscribe(() => ready() && resolve()), onAbort(signal, resolve)];
      if (ready()) resolve();
      await promise;
      for (const each of unsubscribeReady) each();
      return ready();
    },
  };
}

const isTimeout = (ms: number | undefined): ms is number => ms !== undefined && ms > 0 && ms < Infinity;

function ownDeadlines({ collector }: Task, now: number): Deadlines {
  const abortAt = now + collector.schedule.timeoutMs;
  return { abortAt, giveUpAt: abortAt + graceMs };
}

/** A run that a scrape waits for is given up shortly before the scrape ends, so that the scrape can report it. */
function scrapeDeadlines(task: Task, startedAt: number, endsAt: number, now: number): Deadlines {
  const own = ownDeadlines(task, startedAt);
  const margin = Math.min(graceMs, (endsAt - now) / 20);
  return {
    abortAt: Math.min(own.abortAt, endsAt - 2 * margin),
    giveUpAt: Math.min(own.giveUpAt, endsAt - margin),
  };
}
