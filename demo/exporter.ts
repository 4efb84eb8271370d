/** The real exporter, as `serve` runs it, with the demo's database, Gitalys and node as its targets. */
import { processHost } from '../src/app/sources.ts';
import type { CommandIo } from '../src/cli/command.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { systemClock } from '../src/lib/clock.ts';
import { type Log, silentLog } from '../src/lib/log.ts';
import { packageVersion } from '../src/lib/package-folder.ts';
import { createExporter } from '../src/server/exporter.ts';
import type { ExporterRequest, RunningExporter } from './demo.ts';

/** Defaults that differ from `serve`: changes show sooner, and no other client needs the database's time. */
const demoDefaults = { refreshInterval: 5000, maxTimeRatio: 0.1, stuckThreshold: 60_000 } as const;

/** The demo logs its own progress, so the exporter logs only warnings and errors unless a level is configured. */
const warningsOnly = (log: Log): Log => ({
  ...silentLog,
  warn: (fields, message) => log.warn(fields, message),
  error: (fields, message) => log.error(fields, message),
});

/** @throws Error that says how to fix it, when the exporter cannot listen */
export async function startExporter(
  settings: Settings,
  io: Pick<CommandIo, 'log' | 'origins' | 'system'>,
  listenAddress: Settings['web']['listenAddress'],
  { connection, virtualStorages, incidents, gitaly, cgroup, kubernetes }: ExporterRequest,
): Promise<RunningExporter> {
  const isDefault = (name: string): boolean => io.origins.get(name)?.source === 'default';
  const { praefect, web } = settings;
  const exporter = createExporter({
    settings: {
      ...settings,
      web: { ...web, listenAddress },
      gitaly: { ...settings.gitaly, target: gitaly.targets, configFile: gitaly.configFiles },
      cgroup: { ...settings.cgroup, ...cgroup, enabled: true },
      kubernetes: { ...settings.kubernetes, ...kubernetes, enabled: true, volumeStats: true },
      praefect: {
        ...praefect,
        ...(isDefault('praefect.stuck-threshold') && { stuckThreshold: demoDefaults.stuckThreshold }),
        database: {
          ...praefect.database,
          ...(isDefault('praefect.database.refresh-interval') && {
            refreshInterval: demoDefaults.refreshInterval,
          }),
          ...(isDefault('praefect.database.max-time-ratio') && { maxTimeRatio: demoDefaults.maxTimeRatio }),
        },
      },
    },
    praefect: {
      database: connection,
      databaseText: `Praefect's database ${connection.database} of the demo`,
      config: undefined,
      problems: [],
      configuredStorages: virtualStorages,
    },
    host: processHost(io.system, isDefault('log.level') ? warningsOnly(io.log) : io.log, systemClock),
    version: packageVersion(),
    demo: {
      view: () => ({ incidents: incidents.list() }),
      actions: { start: incidents.start, end: incidents.stop },
    },
  });
  const started = await exporter.start();
  const url = started.ok ? started.addresses[0]?.url : undefined;
  if (url === undefined) {
    await exporter.stop();
    throw new Error(started.ok ? 'the exporter has no listen address' : started.problems.join('\n'));
  }
  return { url, stop: exporter.stop };
}
