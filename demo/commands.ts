/** The demo's commands, which only a checkout has. Their implementation is loaded when they run. */
import { type Command, defineCommand } from '../src/cli/command.ts';
import { float, integer, text, toggle } from '../src/config/kinds/scalars.ts';
import { defaultPort } from '../src/config/sections/web.ts';
import { optional, type Section, setting, type ValuesOf } from '../src/config/setting.ts';

const defaultDemoSettings = { repositories: 500, writesPerSecond: 8, seed: 1 } as const;

const demoOptions = {
  title: 'The simulated cluster',
  settings: {
    repositories: setting(integer({ min: 100, max: 1_000_000 }), {
      default: defaultDemoSettings.repositories,
      help: 'Repositories in the cluster. Seeding a million takes a minute or two.',
    }),
    writesPerSecond: setting(float({ min: 0.1, max: 100 }), {
      default: defaultDemoSettings.writesPerSecond,
      help: 'Writes per second of the simulated users.',
    }),
    seed: setting(integer({ min: 0, max: 2 ** 31 }), {
      default: defaultDemoSettings.seed,
      help: 'Seed of the random numbers: the same seed gives the same repositories and writes.',
    }),
  },
} as const satisfies Section;

export type DemoOptionValues = ValuesOf<(typeof demoOptions)['settings']>;

const incidentOptions = {
  title: 'Incident',
  settings: {
    name: optional(text('<incident>'), {
      unset: 'none',
      help: 'The incident to start. Can also be given as an argument.',
      example: 'storage-dies',
    }),
    stop: setting(toggle(), { default: false, help: 'End the incident.' }),
    list: setting(toggle(), {
      default: false,
      help: 'List all incidents with their metrics, alerts and end.',
    }),
    url: setting(text('<url>'), {
      default: `http://127.0.0.1:${defaultPort}`,
      help: 'Address of the demo, as printed at its start.',
    }),
  },
} as const satisfies Section;

export type IncidentOptionValues = ValuesOf<(typeof incidentOptions)['settings']>;

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
