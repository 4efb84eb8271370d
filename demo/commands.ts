/** The demo's commands, which only a checkout has. Their implementation is loaded when they run. */
import { type Command, type CommandIo, defineCommand } from '../src/cli/command.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { type DemoOptionValues, demoOptions, incidentOptions } from './options.ts';
import type { startStack } from './stack/stack.ts';

async function runWith(
  settings: Settings,
  io: CommandIo,
  options: DemoOptionValues,
  start?: typeof startStack,
): Promise<number> {
  const [{ runDemo }, { startExporter }] = await Promise.all([import('./run.ts'), import('./exporter.ts')]);
  return runDemo(
    settings,
    io,
    options,
    ({ listenAddress, ...request }) => startExporter(settings, io, listenAddress, request),
    start,
  );
}

export const demoCommands: readonly Command[] = [
  defineCommand({
    name: 'demo',
    summary: 'Run the exporter against a live simulated cluster',
    description:
      'Starts an embedded PostgreSQL with a simulated Gitaly Cluster, and the exporter for it. Start incidents from its page or with "demo incident". All its files are removed when it stops.',
    options: demoOptions,
    settings: ['Web', 'Log'],
    readsSources: false,
    run: (settings, io, options) => runWith(settings, io, options),
  }),
  defineCommand({
    name: 'demo stack',
    summary: 'Run the demo with Prometheus, Alertmanager and Grafana',
    description:
      'Starts the demo, and those of Prometheus, Alertmanager and Grafana that are on the PATH, with the rules, the dashboards and a data source. Shows how to get the others. All files are removed when it stops.',
    options: demoOptions,
    settings: ['Web', 'Log'],
    readsSources: false,
    run: async (settings, io, options) =>
      runWith(settings, io, options, (await import('./stack/stack.ts')).startStack),
  }),
  defineCommand({
    name: 'demo incident',
    summary: 'Start or end an incident in a running demo',
    description:
      'Starts an incident in a demo that runs in another terminal: "demo incident storage-dies". --list describes all incidents, --stop ends one.',
    argument: 'name',
    options: incidentOptions,
    settings: [],
    readsSources: false,
    run: async (settings, io, options) => (await import('./incident-command.ts')).run(settings, io, options),
  }),
];
