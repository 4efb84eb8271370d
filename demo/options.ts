/** The flags of the demo's commands. */
import { float, integer, text, toggle } from '../src/config/kinds/scalars.ts';
import { defaultPort } from '../src/config/sections/program.ts';
import { optional, type Section, setting, type ValuesOf } from '../src/config/setting.ts';

const defaultDemoSettings = { repositories: 500, writesPerSecond: 8, seed: 1 } as const;

export const demoOptions = {
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

export const incidentOptions = {
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
