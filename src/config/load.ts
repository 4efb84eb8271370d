/**
 * Flags over environment over file over defaults, to one frozen `Settings`, with every problem reported together.
 * Every given value is checked, including overridden ones.
 */

import { whyUnreadable } from '../lib/files.ts';
import type { Raw } from './kinds/kind.ts';
import { type Origin, originText, type SettingProblem } from './problem.ts';
import { rules, type Settings, sections } from './sections/index.ts';
import { type NamedSetting, namedSettings, type Section, type ValuesOf } from './setting.ts';
import { readVariables } from './sources/environment.ts';
import { type Flags, readFlags, type Word } from './sources/flags.ts';
import { readYaml } from './sources/yaml-file.ts';
import type { System } from './system.ts';

export interface Loaded<Options> {
  /** With problems: what could be read, and defaults in place of the rest. Use it only to find more problems. */
  readonly settings: Settings;
  /** Values of the command's own flags. */
  readonly options: Options;
  /** Where each setting came from, by its name (`log.level`). */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly SettingProblem[];
  /** Names of the settings whose value could not be read. */
  readonly unreadable: ReadonlySet<string>;
}

const noOptions = { title: 'Options', settings: {} } as const satisfies Section;

/** Loads the settings from flags alone, the environment and the file: for callers without commands of their own. */
export function loadSettings(args: readonly string[], system: System): Promise<Loaded<Record<never, never>>> {
  const flags = readFlags(args, { settings: namedSettings(sections) });
  const problems = [...flags.problems, ...flags.words.map(unexpectedWord)];
  return loadWithOptions({ ...flags, problems }, system, noOptions);
}

/** Named by its position, as it may be a secret whose flag was forgotten. */
export const unexpectedWord = ({ position }: Word): SettingProblem => ({
  where: undefined,
  message: `unexpected argument at position ${position}; write values as --flag=value`,
});

/**
 * Loads the settings and the command's own options, which are flags only: no variable and no file sets them.
 * Never rejects over what it reads.
 */
export async function loadWithOptions<S extends Section>(
  flags: Flags,
  system: System,
  options: S,
): Promise<Loaded<ValuesOf<S['settings']>>> {
  const settings = namedSettings(sections);
  const own = namedSettings([options]);
  const variables = readVariables(system.env, settings);
  const file = await readFile(
    flags.values.get('config.file') ?? variables.values.get('config.file'),
    settings,
    system,
  );
  const problems: SettingProblem[] = [...flags.problems, ...variables.problems, ...file.problems];

  const origins = new Map<string, Origin>();
  const unreadable = new Set<string>();
  const valueFor = (named: NamedSetting): unknown => {
    let value: unknown = named.setting.default;
    origins.set(named.name, { source: 'default' });
    // From the weakest to the strongest, so that the last good one stays.
    for (const source of [file.values, variables.values, flags.values]) {
      const raw = source.get(named.name);
      if (raw === undefined) continue;
      const read = named.setting.kind.read(raw, named.name);
      if (read.ok) {
        value = read.value;
        origins.set(named.name, raw.origin);
      } else {
        unreadable.add(named.name);
        problems.push(...read.problems);
      }
    }
    return value;
  };

  const loaded = buildTree(settings, valueFor) as Settings;
  const ownValues = buildTree(own, valueFor) as ValuesOf<S['settings']>;
  if (unreadable.size === 0) {
    const broken = rules.map((rule) => rule(loaded)).filter((message) => message !== undefined);
    problems.push(...broken.map((message) => ({ where: undefined, message })));
  }
  return { settings: loaded, options: ownValues, origins, problems, unreadable };
}

async function readFile(
  chosen: Raw | undefined,
  settings: readonly NamedSetting[],
  { files }: System,
): Promise<ReturnType<typeof readYaml>> {
  const nothing = { values: new Map(), problems: [] };
  // Flag and variable are text; a repeated or an empty one is reported as a problem elsewhere.
  if (chosen?.form !== 'text' || chosen.text.trim() === '') return nothing;
  try {
    return readYaml(await files.readText(chosen.text), chosen.text, settings);
  } catch (error) {
    return {
      values: new Map(),
      problems: [
        {
          where: originText(chosen.origin),
          message: `the configuration file ${chosen.text} ${whyUnreadable(error)}`,
        },
      ],
    };
  }
}

/** The values in the tree that their paths describe, frozen throughout. */
function buildTree(
  settings: readonly NamedSetting[],
  valueFor: (named: NamedSetting) => unknown,
  depth = 0,
): object {
  const groups = Map.groupBy(settings, ({ path }) => path[depth] ?? '');
  const entries = [...groups].map(([key, members]): [string, unknown] => {
    const [only] = members;
    return only?.path.length === depth + 1
      ? [key, valueFor(only)]
      : [key, buildTree(members, valueFor, depth + 1)];
  });
  return Object.freeze(Object.fromEntries(entries));
}
