/** `serve`: runs the exporter until it is told to stop. */
import { type Configuration, createApp } from '../../app/app.ts';
import { praefectSources } from '../../config/praefect/sources.ts';
import type { Problem } from '../../config/problem.ts';
import type { Settings } from '../../config/sections/index.ts';
import { systemClock } from '../../lib/clock.ts';
import type { CommandIo } from '../command.ts';
import { printProblems } from '../problems.ts';

export async function run(settings: Settings, io: CommandIo): Promise<number> {
  const sources = await praefectSources(settings, io.origins, io.system);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 2;
  }
  io.log.info({}, sources.value.databaseText);
  const app = createApp({
    settings,
    sources: sources.value,
    clock: systemClock,
    log: io.log,
    reload: () => readAgain(io),
  });
  const hangUp = (): void => void app.reload();
  const started = await app.start();
  if (!started.ok) {
    printProblems(
      started.problems.map((message) => ({ where: undefined, message })),
      io.stderr,
    );
    await app.stop();
    return 2;
  }
  for (const { url } of started.addresses) io.log.info({ url }, `listening on ${url}`);
  process.on('SIGHUP', hangUp);
  // A timer ends after 24 days at most.
  while (!io.signal.aborted) await systemClock.sleep(Number.POSITIVE_INFINITY, io.signal);
  process.off('SIGHUP', hangUp);
  await app.stop();
  return 0;
}

async function readAgain(io: CommandIo): Promise<Configuration | { readonly problems: readonly string[] }> {
  const loaded = await io.reload();
  if (loaded.problems.length > 0) return { problems: loaded.problems.map(inWords) };
  const sources = await praefectSources(loaded.settings, loaded.origins, io.system);
  return sources.ok
    ? { settings: loaded.settings, sources: sources.value }
    : { problems: sources.problems.map(inWords) };
}

const inWords = ({ where, message }: Problem): string =>
  where === undefined ? message : `${where}: ${message}`;
