/** Maintenance windows of the settings and of Kubernetes, as metrics that suppress alerts: docs/maintenance.md. */
import { Cron } from 'croner';
import type { ConfiguredWindow } from '../../config/kinds/maintenance-window.ts';
import type { Clock } from '../../lib/clock.ts';
import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';
import { createSamples } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { ownFailureReasons } from '../../scheduler/outcome.ts';

export const maintenance = gauge('gitaly_exporter_maintenance', {
  help: '1 while the maintenance window is open, else 0.',
  details:
    'window: its name in maintenance.window; annotation:KIND/NAME for objects with the annotation gitaly-exporter/maintenance-until; rollout:NAMESPACE/NAME for each StatefulSet. Windows from Kubernetes are absent while its API cannot be watched.',
  origin: 'maintenance.window; annotations and StatefulSets of the Kubernetes API',
  labels: { window: anyValue },
});

export const maintenanceActive = gauge('gitaly_exporter_maintenance_active', {
  help: '1 while any maintenance window is open, else 0.',
  details: 'Always present: a window that is unknown suppresses no alert.',
  origin: 'gitaly_exporter_maintenance',
});

export const maintenanceEnd = gauge('gitaly_exporter_maintenance_end_timestamp_seconds', {
  help: 'Time at which the open maintenance window ends.',
  details:
    'Absent while the window is not open. For a rollout, the time at which it stops suppressing alerts unless it makes another step until then.',
  origin: 'maintenance.window; annotations and StatefulSets of the Kubernetes API',
  labels: { window: anyValue },
});

export const maintenanceMetrics: readonly Metric[] = Object.freeze([
  maintenance,
  maintenanceActive,
  maintenanceEnd,
]);

export const maintenanceCollectorNames: readonly string[] = ['maintenance'];

/** A window at one moment. */
interface WindowState {
  /** A label value: `weekly`, `annotation:Node/lab-node-1`, `rollout:gitlab/gl-gitaly-default`. */
  readonly name: string;
  readonly open: boolean;
  /** Milliseconds since 1970; undefined while it is not open. */
  readonly endsAt: number | undefined;
}

/** Provides windows: the settings do, and Kubernetes does. */
export interface WindowSource {
  /** Those that are known now; none while nothing is known. */
  windows(now: number): readonly WindowState[];
  /** Annotations and the like that are not valid windows. */
  mistakes(now: number): readonly WindowMistake[];
}

/** What was found and how to fix it, for the page. */
interface WindowMistake {
  /** The same as long as it lasts. */
  readonly key: string;
  readonly title: string;
  readonly detail: string;
  readonly action: string;
}

interface MaintenanceSourceOptions {
  /** `configuredWindows` of the settings, and Kubernetes where this exporter watches it. */
  readonly sources: readonly WindowSource[];
  readonly clock: Clock;
  readonly events: EventLog;
}

export interface MaintenanceView {
  readonly open: readonly WindowState[];
  readonly mistakes: readonly WindowMistake[];
}

interface MaintenanceSource {
  readonly collectors: readonly Collector[];
  view(): MaintenanceView;
}

export function createMaintenanceSource({
  sources,
  clock,
  events,
}: MaintenanceSourceOptions): MaintenanceSource {
  let openBefore: ReadonlySet<string> = new Set();

  /** All windows now. Adds an event for each that opened or closed since the last call. */
  function currentWindows(): readonly WindowState[] {
    const now = clock.now();
    const windows = sources.flatMap((source) => source.windows(now));
    const open = new Set(windows.filter((window) => window.open).map(({ name }) => name));
    for (const window of open.difference(openBefore))
      events.add('maintenance_started', `Maintenance window ${window} started: it suppresses alerts`, {
        window,
      });
    for (const window of openBefore.difference(open))
      events.add('maintenance_ended', `Maintenance window ${window} ended, or is no longer known`, {
        window,
      });
    openBefore = open;
    return windows;
  }

  const collector: Collector = {
    name: 'maintenance',
    title: 'Maintenance windows, which suppress alerts',
    metrics: maintenanceMetrics,
    failureReasons: ownFailureReasons,
    schedule: { kind: 'scrape', timeoutMs: 1000 },
    async collect() {
      const samples = createSamples(maintenanceMetrics);
      const windows = currentWindows();
      for (const { name, open, endsAt } of windows) {
        samples.set(maintenance, { window: name }, open);
        samples.set(maintenanceEnd, { window: name }, endsAt && endsAt / 1000);
      }
      samples.set(
        maintenanceActive,
        {},
        windows.some(({ open }) => open),
      );
      return { kind: 'data', block: { families: samples.families() } };
    },
  };

  return {
    collectors: [collector],
    view: () => ({
      open: currentWindows().filter(({ open }) => open),
      mistakes: sources.flatMap((source) => source.mistakes(clock.now())),
    }),
  };
}

/** The windows of the settings. */
export function configuredWindows(windows: readonly ConfiguredWindow[]): WindowSource {
  const states = windows.map(stateOf);
  return {
    windows: (now) => states.map((state) => state(now)),
    mistakes: () => [],
  };
}

/**
 * For a start that daylight saving skips, croner takes the first moment after the gap; for one that occurs twice, the
 * first. The end follows after a fixed duration, so a window is as long in a night with a change of clocks as in any
 * other.
 */
function stateOf(window: ConfiguredWindow): (now: number) => WindowState {
  const { name } = window;
  if (window.kind === 'once') {
    const { start, end } = window;
    return (now) => {
      const open = now >= start && now < end;
      return { name, open, endsAt: open ? end : undefined };
    };
  }
  const starts = new Cron(window.cron, { timezone: window.zone, mode: '5-part', paused: true });
  return (now) => {
    // previousRuns excludes the given time itself, at which a window may start.
    const [start] = starts.previousRuns(1, new Date(now + 1));
    const end = start === undefined ? undefined : start.getTime() + window.duration;
    const open = end !== undefined && now < end;
    return { name, open, endsAt: open ? end : undefined };
  };
}
