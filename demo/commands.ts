/** The demo's commands, which only a checkout has. Their implementation is loaded when they run. */
import { type Command, defineCommand } from '../src/cli/command.ts';
import { demoOptions, incidentOptions } from './options.ts';

export const demoCommands: readonly Command[] = [
  defineCommand({
    name: 'demo',
    summary: 'Run the exporter against a live simulated cluster',
    description:
      'Starts an embedded PostgreSQL with a simulated Gitaly Cluster, and the exporter for it. Start incidents from its page or with "demo incident". All its files are removed when it stops.',
    options: demoOptions,
    settings: ['Web', 'Log'],
    readsSources: false,
    async run(settings, io, options) {
      const [{ runDemo }, { startExporter }] = await Promise.all([
        import('./run.ts'),
        import('./exporter.ts'),
      ]);
      return runDemo(settings, io, options, ({ listenAddress, ...request }) =>
        startExporter(settings, io, listenAddress, request),
      );
    },
  }),
  defineCommand({
    name: 'demo stack',
    summary: 'Run the demo with Prometheus, Alertmanager and Grafana',
    description:
      'Starts the demo, and those of Prometheus, Alertmanager and Grafana that are on the PATH, with the rules, the dashboards and a data source. Shows how to get the others. All files are removed when it stops.',
    options: demoOptions,
    settings: ['Web', 'Log'],
    readsSources: false,
    async run(settings, io, options) {
      const [{ runDemo }, { startExporter }, { startStack }] = await Promise.all([
        import('./run.ts'),
        import('./exporter.ts'),
        import('./stack/stack.ts'),
      ]);
      return runDemo(
        settings,
        io,
        options,
        ({ listenAddress, ...request }) => startExporter(settings, io, listenAddress, request),
        startStack,
      );
    },
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
