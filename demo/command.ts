/** The module of the command `demo`. */
import type { CommandModule } from '../src/cli/command.ts';
import { startExporter } from './exporter.ts';
import { demoOptions, runDemo } from './run.ts';

export const options = demoOptions;

export const run: CommandModule<typeof demoOptions>['run'] = (settings, io, values) =>
  runDemo(settings, io, values, ({ listenAddress, ...request }) =>
    startExporter(settings, io, listenAddress, request),
  );
