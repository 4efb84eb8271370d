/**
 * What a setting is, and how a tree of settings becomes flags, variables, YAML keys and the type `Settings`.
 *
 * A setting's name is its place in the tree: `praefect.database.maxTimeRatio` is the flag
 * `--praefect.database.max-time-ratio`, the variable `GITALY_EXPORTER_PRAEFECT_DATABASE_MAX_TIME_RATIO`, and in the file
 * `praefect:` / `database:` / `max-time-ratio:`.
 */
import type { Kind, Printable } from './kinds/kind.ts';

export const environmentPrefix = 'GITALY_EXPORTER_';

export interface Setting<T = unknown> {
  readonly kind: Kind<Exclude<T, undefined>>;
  /** The value when no source sets it; undefined for an optional setting. */
  readonly default: T;
  /** Describes the default where there is no value to show: `none`, `logfmt, or pretty on a terminal`. */
  readonly defaultText: string | undefined;
  /** What it does and when to change it, for the help and the documentation. */
  readonly help: string;
  readonly example: string | undefined;
  /** False for settings that make no sense in the configuration file. */
  readonly inFile: boolean;
}

interface SettingTexts {
  readonly help: string;
  readonly example?: string;
  readonly inFile?: boolean;
}

/** A setting that always has a value. */
export const setting = <T extends NonNullable<unknown>>(
  kind: Kind<T>,
  texts: SettingTexts & { readonly default: NoInfer<T> },
): Setting<T> => describe<T>(kind, texts.default, undefined, texts);

/** A setting that may be absent; `unset` describes the value in effect then. */
export const optional = <T extends NonNullable<unknown>>(
  kind: Kind<T>,
  texts: SettingTexts & { readonly unset: string },
): Setting<T | undefined> => describe<T | undefined>(kind, undefined, texts.unset, texts);

function describe<T>(
  kind: Kind<Exclude<T, undefined>>,
  value: T,
  defaultText: string | undefined,
  texts: SettingTexts,
): Setting<T> {
  const { help, example, inFile = true } = texts;
  return Object.freeze({ kind, default: value, defaultText, help, example, inFile });
}

/** Settings and groups of settings by their names in camel case. */
export interface Group {
  readonly [name: string]: Setting | Group;
}

/** The values of a tree of settings, in the same tree. */
export type ValuesOf<G> = {
  readonly [Name in keyof G]: G[Name] extends Setting<infer T> ? T : ValuesOf<G[Name]>;
};

/** Settings with a heading of their own in the help and the documentation. */
export interface Section<G extends Group = Group> {
  readonly title: string;
  readonly settings: G;
}

/** A setting with all its names. */
export interface NamedSetting {
  /** `praefect.database.max-time-ratio` */
  readonly name: string;
  /** `--praefect.database.max-time-ratio` */
  readonly flag: string;
  /** `GITALY_EXPORTER_PRAEFECT_DATABASE_MAX_TIME_RATIO` */
  readonly variable: string;
  /** Where its value stands in `Settings`: praefect, database, maxTimeRatio. */
  readonly path: readonly string[];
  readonly section: string;
  readonly setting: Setting<unknown>;
}

const isSetting = (node: unknown): node is Setting<unknown> =>
  typeof node === 'object' && node !== null && 'kind' in node && 'help' in node;

/** `stuckThreshold` to `stuck-threshold`. */
export const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** All settings of some sections, in the order in which they are declared. */
export function namedSettings(sections: readonly Section[]): readonly NamedSetting[] {
  return sections.flatMap((section) => walk(section.settings, [], section.title));
}

function walk(group: Group, above: readonly string[], section: string): readonly NamedSetting[] {
  return Object.entries(group).flatMap(([key, node]): readonly NamedSetting[] => {
    const path = [...above, key];
    if (!isSetting(node)) return walk(node as Group, path, section);
    const name = path.map(kebab).join('.');
    const variable = environmentPrefix + name.toUpperCase().replaceAll(/[.-]/g, '_');
    return [Object.freeze({ name, flag: `--${name}`, variable, path, section, setting: node })];
  });
}

/** A default as YAML would write it; undefined when there is none. */
export const printedDefault = ({ setting }: NamedSetting): Printable | undefined =>
  setting.default === undefined ? undefined : setting.kind.print(setting.default as NonNullable<unknown>);
