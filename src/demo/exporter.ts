/** The real exporter on the demo's database: the same program as `serve`, told of its database by the demo. */
import { createApp } from '../app.ts';
import type { CommandIo } from '../cli/command.ts';
import type { Settings } from '../config/sections/index.ts';
import { systemClock } from '../runtime/clock.ts';
import { type Log, silentLog } from '../runtime/log.ts';
import type { ExporterRequest, RunningExporter } from './demo.ts';

/** For an eye that watches: what nobody set is asked more often, and a replica counts as stuck sooner. */
const lookIntervalMs = 5000;
const stuckAfterMs = 60_000;

/** The demo tells itself what goes on; of the exporter it shows what is wrong, unless somebody asks for more. */
const onlyTrouble = (log: Log): Log => ({
  ...silentLog,
  warn: (fields, message) => log.warn(fields, message),
  error: (fields, message) => log.error(fields, message),
});

/** @throws Error with what to mend, when it can't listen */
export async function startExporter(
  settings: Settings,
  io: CommandIo,
  listenAddress: readonly string[],
  { connection, virtualStorages, incidents }: ExporterRequest,
): Promise<RunningExporter> {
  const isDefault = (name: string): boolean => io.origins.get(name)?.source === 'default';
  const { praefect, web } = settings;
  const app = createApp({
    settings: {
      ...settings,
      web: { ...web, listenAddress },
      praefect: {
        ...praefect,
        stuckAfter: isDefault('praefect.stuck-after') ? stuckAfterMs : praefect.stuckAfter,
        database: {
          ...praefect.database,
          lookInterval: isDefault('praefect.database.look-interval')
            ? lookIntervalMs
            : praefect.database.lookInterval,
        },
      },
    },
    sources: {
      database: connection,
      databaseText: `Praefect's database ${connection.database} of the demo`,
      config: undefined,
      configuredStorages: virtualStorages,
    },
    clock: systemClock,
    log: isDefault('log.level') ? onlyTrouble(io.log) : io.log,
    demo: {
      view: () => ({ incidents: incidents.list() }),
      actions: { start: incidents.start, end: incidents.stop },
    },
  });
  const started = await app.start();
  const url = started.ok ? started.addresses[0]?.url : undefined;
  if (url === undefined) {
    await app.stop();
    throw new Error(started.ok ? 'it listens nowhere' : started.problems.join('\n'));
  }
  return { url, stop: app.stop };
}
