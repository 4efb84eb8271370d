/** `serve`: runs the exporter until it is told to stop. */
import type { CommandIo } from '../cli/command.ts';
import { printProblems } from '../cli/problems.ts';
import { praefectSources } from '../config/praefect/sources.ts';
import type { Settings } from '../config/sections/index.ts';
import { systemClock } from '../runtime/clock.ts';

export async function run(settings: Settings, io: CommandIo): Promise<number> {
  const sources = await praefectSources(settings, io.origins, io.world);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 2;
  }
  io.log.info({}, sources.value.databaseText);
  await systemClock.sleep(Number.MAX_SAFE_INTEGER, io.signal);
  return 0;
}
