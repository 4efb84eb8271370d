/** `serve`: runs the exporter until a signal stops it. */
import type { Configuration } from '../../app/app.ts';
import { resolvePraefect } from '../../config/praefect/resolve.ts';
import { problemText } from '../../config/problem.ts';
import { type Settings, sections } from '../../config/sections/index.ts';
import { untilAborted } from '../../lib/abort.ts';
import { systemClock } from '../../lib/clock.ts';
import { type CommandIo, defineCommand } from '../command.ts';
import { printProblems } from '../setting-problems.ts';

export const serve = defineCommand({
  name: 'serve',
  summary: 'Run the exporter (the default)',
  description:
    'Reads what is configured and serves its metrics until SIGTERM or SIGINT. SIGHUP reloads the configuration.',
  settings: sections.map(({ title }) => title),
  readsSources: true,
  reloads: true,
  run,
});

async function run(settings: Settings, io: CommandIo): Promise<number> {
  const sources = await resolvePraefect(settings, io.origins, io.system);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 2;
  }
  io.log.info({}, sources.value.databaseText);
  const { createApp } = await import('../../app/app.ts');
  const app = createApp({
    settings,
    sources: sources.value,
    clock: systemClock,
    log: io.log,
    reload: () => reloadConfiguration(io),
  });
  const onHangUp = (): void => void app.reload();
  const started = await app.start();
  if (!started.ok) {
    printProblems(
      started.problems.map((message) => ({ where: undefined, message })),
      io.stderr,
    );
    await app.stop();
    return 2;
  }
  for (const { url } of started.addresses) io.log.info({ url }, 'listening');
  const unsubscribe = io.hangUps?.subscribe(onHangUp);
  await untilAborted(io.signal);
  unsubscribe?.();
  await app.stop();
  return 0;
}

async function reloadConfiguration(
  io: CommandIo,
): Promise<Configuration | { readonly problems: readonly string[] }> {
  const loaded = await io.reload();
  if (loaded.problems.length > 0) return { problems: loaded.problems.map(problemText) };
  const sources = await resolvePraefect(loaded.settings, loaded.origins, io.system);
  return sources.ok
    ? { settings: loaded.settings, sources: sources.value }
    : { problems: sources.problems.map(problemText) };
}
