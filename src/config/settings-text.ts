/** The settings as YAML with the source of each, secrets hidden: the output of `config check`. */
import { stringify } from 'yaml';
import { type Origin, originText } from './problem.ts';
import { listedTitles, type Settings, sections } from './sections/index.ts';
import { type NamedSetting, namedSettings } from './setting.ts';

/**
 * A YAML document that gives the same settings when it is read as a configuration file, except for secrets (shown as
 * `<secret>`) and settings without a value (shown as comments). Thresholds at their defaults are left out.
 */
export function settingsText(settings: Settings, origins: ReadonlyMap<string, Origin>): string {
  const shown = namedSettings(sections).filter(
    ({ name, section }) => listedTitles.includes(section) || origins.get(name)?.source !== 'default',
  );
  return `${nestedLines(shown, (named) => settingLines(named, settings, origins)).join('\n')}\n`;
}

/** The setting as a YAML entry of its group. */
export const entryLines = ({ name }: NamedSetting, value: unknown): readonly string[] =>
  stringify({ [name.split('.').at(-1) ?? '']: value }, { lineWidth: 0 })
    .trimEnd()
    .split('\n');

/** Lines of settings as YAML, below the keys of their groups. */
export function nestedLines(
  settings: readonly NamedSetting[],
  linesOf: (named: NamedSetting) => readonly string[],
): readonly string[] {
  let open: readonly string[] = [];
  return settings.flatMap((named) => {
    const groups = named.name.split('.').slice(0, -1);
    const shared = groups.findIndex((group, depth) => group !== open[depth]);
    const from = shared === -1 ? groups.length : shared;
    open = groups;
    return [
      ...groups.map((group, depth) => `${'  '.repeat(depth)}${group}:`).slice(from),
      ...linesOf(named).map((line) => '  '.repeat(groups.length) + line),
    ];
  });
}

function settingLines(
  named: NamedSetting,
  settings: Settings,
  origins: ReadonlyMap<string, Origin>,
): readonly string[] {
  const key = named.name.split('.').at(-1) ?? '';
  const { kind, defaultText, inFile } = named.setting;
  const value = named.path.reduce<unknown>((node, step) => (node as Record<string, unknown>)[step], settings);
  const origin = originText(origins.get(named.name) ?? { source: 'default' });
  if (value === undefined) return [`# ${key}: not set (${defaultText ?? 'no default'})`];
  const [first = '', ...rest] = entryLines(named, kind.print(value as NonNullable<unknown>));
  const lines = [`${first}  # ${origin}`, ...rest];
  return inFile && !kind.secret ? lines : lines.map((line) => `# ${line}`);
}
