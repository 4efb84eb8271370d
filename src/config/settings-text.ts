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
  const lines: string[] = [];
  let open: readonly string[] = [];
  const shown = namedSettings(sections).filter(
    ({ name, section }) => listedTitles.includes(section) || origins.get(name)?.source !== 'default',
  );
  for (const named of shown) {
    const keys = named.name.split('.');
    const groups = keys.slice(0, -1);
    const shared = groups.findIndex((group, depth) => group !== open[depth]);
    const from = shared === -1 ? groups.length : shared;
    for (const [depth, group] of groups.entries()) {
      if (depth >= from) lines.push(`${'  '.repeat(depth)}${group}:`);
    }
    open = groups;
    const indent = '  '.repeat(groups.length);
    lines.push(...settingLines(named, settings, origins).map((line) => indent + line));
  }
  return `${lines.join('\n')}\n`;
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
  const printed = kind.print(value as NonNullable<unknown>);
  const [first = '', ...rest] = stringify({ [key]: printed }, { lineWidth: 0 })
    .trimEnd()
    .split('\n');
  const lines = [`${first}  # ${origin}`, ...rest];
  return inFile && !kind.secret ? lines : lines.map((line) => `# ${line}`);
}
