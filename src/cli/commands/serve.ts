/** `serve`: runs the exporter until a signal stops it. */
import type { Configuration } from '../../app/sources.ts';
import { resolvePraefect } from '../../config/praefect/resolve.ts';
import { problemText } from '../../config/problem.ts';
import { listedTitles, type Settings } from '../../config/sections/index.ts';
import { untilAborted } from '../../lib/abort.ts';
import { systemClock } from '../../lib/clock.ts';
import { packageVersion } from '../../lib/package-folder.ts';
import { type CommandIo, defineCommand } from '../command.ts';
import { printProblems } from '../setting-problems.ts';

export const serve = defineCommand({
  name: 'serve',
  summary: 'Run the exporter (the default)',
  description:
    'Reads what is configured and serves its metrics until SIGTERM or SIGINT. SIGHUP reloads the configuration.',
  settings: listedTitles,
  readsSources: true,
  reloads: true,
  run,
});

async function run(settings: Settings, io: CommandIo): Promise<number> {
  const praefect = await resolvePraefect(settings, io.origins, io.system);
  if (!praefect.ok) {
    printProblems(praefect.problems, io.stderr);
    return 2;
  }
  const version = packageVersion();
  io.log.info({ version, praefect: praefect.value.databaseText }, 'starting gitaly-exporter');
  for (const problem of praefect.value.problems)
    io.log.warn(
      { problem: problemText(problem) },
      "an entry of Praefect's configuration is wrong and was left out",
    );
  const [{ createExporter }, { processHost }] = await Promise.all([
    import('../../server/exporter.ts'),
    import('../../app/sources.ts'),
  ]);
  const exporter = createExporter({
    settings,
    praefect: praefect.value,
    host: processHost(io.system, io.log, systemClock),
    version,
    lostLogLines: io.lostLogLines,
    reload: () => reloadConfiguration(io),
  });
  const onHangUp = (): void => void exporter.reload();
  const started = await exporter.start();
  if (!started.ok) {
    printProblems(
      started.problems.map((message) => ({ where: undefined, message })),
      io.stderr,
    );
    await exporter.stop();
    return 2;
  }
  for (const { url } of started.addresses) io.log.info({ url }, 'listening');
  const unsubscribe = io.hangUps?.subscribe(onHangUp);
  await untilAborted(io.signal);
  unsubscribe?.();
  await exporter.stop();
  return 0;
}

async function reloadConfiguration(
  io: CommandIo,
): Promise<Configuration | { readonly problems: readonly string[] }> {
  const loaded = await io.reload();
  if (loaded.problems.length > 0) return { problems: loaded.problems.map(problemText) };
  const praefect = await resolvePraefect(loaded.settings, loaded.origins, io.system);
  return praefect.ok
    ? { settings: loaded.settings, praefect: praefect.value }
    : { problems: praefect.problems.map(problemText) };
}
