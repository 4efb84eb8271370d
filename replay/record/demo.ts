/** Records incidents of the demo in real time: its exporter and its Gitalys are scraped as by Prometheus. */
import { type Demo, startDemo } from '../../demo/demo.ts';
import { startExporter } from '../../demo/exporter.ts';
import { demoPods } from '../../demo/node/pods.ts';
import { loadSettings } from '../../src/config/load.ts';
import { hostSystem } from '../../src/config/system.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { Happening, RecordedScrapes } from '../recording.ts';
import { createScraper, type RecordedTarget } from './scraper.ts';

export interface Plan {
  /** `ordinary`: no incident. */
  readonly incident: string;
  /** The duration of the incident, unless it ends by itself earlier. */
  readonly minutes: number;
  readonly repositories?: number;
  readonly writesPerSecond?: number;
  /** How long to record after the incident, for the end of its alerts. */
  readonly minutesAfter?: number;
}

/** The name of a recording without an incident. */
export const ordinary = 'ordinary';

const stepSeconds = 15;
/** Not scraped: the exporter has just started, and has not read all sources yet. */
const settleMs = 40_000;
/** Ordinary operation before the incident. */
const beforeMinutes = 2;
/** Praefect's default intervals, in place of the demo's short ones. */
const realTimings = {
  ...{ poll: 2000, verify: 15_000, reconcile: 300_000, verificationInterval: 86_400_000 },
} as const;

/** @throws Error when the demo does not start, or the incident cannot be started */
export async function recordDemoIncident(plan: Plan, signal: AbortSignal): Promise<RecordedScrapes> {
  const { incident, repositories = 200, writesPerSecond = 2, minutesAfter = 4 } = plan;
  const happenings: { readonly time: number; readonly what: string }[] = [];
  const demo = await startDemo({
    settings: {
      repositories,
      writesPerSecond,
      seed: 7,
      timings: realTimings,
      cgroupStepMs: 3000,
    },
    log: (line) => happenings.push({ time: systemClock.now(), what: line }),
    signal,
    startExporter: startProductionExporter,
  });
  try {
    await systemClock.sleep(settleMs, signal);
    const scraper = createScraper({
      targets: targetsOf(demo),
      stepSeconds,
      clock: systemClock,
      fetch,
      signal,
    });
    const minutes = (count: number): number => (count * 60) / stepSeconds;
    await scraper.scrapeFor(minutes(beforeMinutes));
    const began = scraper.elapsed();
    const isOrdinary = incident === ordinary;
    const started = isOrdinary ? { ok: true, message: '' } : await demo.incidents.start(incident);
    if (!started.ok) throw new Error(started.message);
    const isRunning = (): boolean =>
      isOrdinary || demo.incidents.list().some(({ name, state }) => name === incident && state !== 'idle');
    await scraper.scrapeFor(minutes(plan.minutes), isRunning);
    const ended = scraper.elapsed();
    if (!isOrdinary) await demo.incidents.stop(incident);
    await scraper.scrapeFor(minutes(minutesAfter));
    const { startedAt, series, scrapes } = scraper.result();
    return {
      name: incident,
      source: `demo, ${repositories} repositories, ${writesPerSecond} writes per second`,
      ...{ startedAt, stepSeconds, scrapes, began, ended, series },
      truth: happenings
        .map(({ time, what }): Happening => ({ at: Math.round(time / 1000 - startedAt), what }))
        .filter(({ at }) => at >= 0),
    };
  } finally {
    await demo.stop();
  }
}

/** With the labels that Prometheus finds for pods and hosts. */
const targetsOf = ({ url, gitalyTargets }: Demo): readonly RecordedTarget[] => [
  { url: `${url}/metrics`, labels: { job: 'gitaly-exporter', instance: 'exporter:9656' } },
  ...gitalyTargets.map(({ url: page, name = '' }) => ({
    url: page,
    labels: {
      ...{ job: 'gitaly', instance: `${name}:9236` },
      ...(demoPods.some(({ storage }) => storage === name) && { namespace: 'gitlab', pod: name }),
    },
  })),
];

/**
 * With the defaults of `serve`, not those of the demo, so that alerts fire as late as in production. The ratio of
 * the database's time is not limited: on a machine that records several demos, queries wait for the CPU.
 */
async function startProductionExporter(
  request: Parameters<typeof startExporter>[3],
): ReturnType<typeof startExporter> {
  const system = hostSystem({});
  const { settings } = await loadSettings(
    ['--web.listen-address=127.0.0.1:0', '--cgroup.poll-interval=5s', '--praefect.database.max-time-ratio=1'],
    system,
  );
  const io = { system, log: silentLog, origins: new Map() };
  return startExporter(settings, io, settings.web.listenAddress, request);
}
