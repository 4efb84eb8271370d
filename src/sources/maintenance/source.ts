/** The room as a whole: all windows of planned work, as metrics that hold alerts. */

import type { Clock } from '../../lib/clock.ts';
import { samplesOf, single } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { maintenance, maintenanceActive, maintenanceEnd, maintenanceMetrics } from './metrics.ts';
import type { WindowMistake, WindowSource, WindowState } from './window.ts';

export const maintenanceCollectorNames: readonly string[] = ['maintenance'];

export interface MaintenanceSourceOptions {
  /** `configuredWindows` of the settings, and Kubernetes where it is watched by this exporter. */
  readonly sources: readonly WindowSource[];
  readonly clock: Clock;
  readonly events: EventLog;
}

export interface MaintenanceView {
  readonly open: readonly WindowState[];
  readonly mistakes: readonly WindowMistake[];
}

export interface MaintenanceSource {
  readonly collectors: readonly Collector[];
  view(): MaintenanceView;
}

export function createMaintenanceSource({
  sources,
  clock,
  events,
}: MaintenanceSourceOptions): MaintenanceSource {
  let openBefore: ReadonlySet<string> = new Set();

  function look(): readonly WindowState[] {
    const now = clock.now();
    const windows = sources.flatMap((source) => source.windows(now));
    const open = new Set(windows.filter((window) => window.open).map(({ name }) => name));
    for (const window of open)
      if (!openBefore.has(window))
        events.add('maintenance_started', `Maintenance ${window} has begun: alerts that it holds are held`, {
          window,
        });
    for (const window of openBefore)
      if (!open.has(window))
        events.add('maintenance_ended', `Maintenance ${window} is over, or not known any more`, { window });
    openBefore = open;
    return windows;
  }

  const collector: Collector = {
    name: 'maintenance',
    title: 'Windows of planned work, which hold alerts',
    metrics: maintenanceMetrics,
    schedule: { kind: 'scrape', timeoutMs: 1000 },
    async collect() {
      const state = samplesOf(maintenance);
      const ends = samplesOf(maintenanceEnd);
      const windows = look();
      for (const { name, open, endsAt } of windows) {
        state.set({ window: name }, open ? 1 : 0);
        if (endsAt !== undefined) ends.set({ window: name }, endsAt / 1000);
      }
      const active = single(maintenanceActive, windows.some(({ open }) => open) ? 1 : 0);
      return { kind: 'data', block: { families: [state.family(), active, ends.family()] } };
    },
  };

  return {
    collectors: [collector],
    view: () => ({
      open: look().filter(({ open }) => open),
      mistakes: sources.flatMap((source) => source.mistakes(clock.now())),
    }),
  };
}
