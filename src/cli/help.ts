/** The help, wrapped to the terminal: of the program, and of each command with its settings by section. */
import { listedTitles, sections } from '../config/sections/index.ts';
import { environmentPrefix, type NamedSetting, namedSettings, printedDefault } from '../config/setting.ts';
import { wrap } from '../lib/format.ts';
import type { Command, Output } from './command.ts';

const narrowest = 40;
const widest = 110;

export const widthOf = (output: Output): number =>
  Math.min(widest, Math.max(narrowest, output.columns ?? widest));

/** `gitaly-exporter --help` */
export function programHelp(commands: readonly Command[], width: number): string {
  return lines(
    'gitaly-exporter: Prometheus exporter for Praefect and Gitaly',
    '',
    'Usage: gitaly-exporter [command] [flags]',
    '',
    'Commands',
    ...commandList(commands, width),
    '',
    ...wrap(
      'Run "gitaly-exporter <command> --help" for the flags of a command, and "--version" for the version.',
      width,
    ),
    '',
    ...wrap('Exit codes: 0 success, 1 problems found, 2 usage or internal error.', width),
    '',
    ...settingsHelp(listedTitles, width),
    ...wrap('"gitaly-exporter generate --help" lists the thresholds of alerts.', width),
  );
}

const commandList = (commands: readonly Command[], width: number): readonly string[] => {
  const longest = Math.max(...commands.map(({ name }) => name.length));
  return commands.flatMap(({ name, summary }) =>
    wrap(`${name.padEnd(longest)}  ${summary}`, width, 2, longest + 4),
  );
};

/** `gitaly-exporter config --help`: the commands that share a first word. */
export const groupHelp = (commands: readonly Command[], width: number): string =>
  lines(
    `Usage: gitaly-exporter ${commands[0]?.name.split(' ')[0]} <command> [flags]`,
    '',
    'Commands',
    ...commandList(commands, width),
  );

/** `gitaly-exporter <command> --help` */
export function commandHelp(command: Command, width: number): string {
  const { name, argument, options } = command;
  const named = namedSettings([options]);
  const word = named.find((each) => each.name === argument);
  const own = named.flatMap((each) => settingLines(each, width));
  return lines(
    `Usage: gitaly-exporter ${name} [flags]${word === undefined ? '' : ` [${word.setting.kind.placeholder}]`}`,
    '',
    ...wrap(command.description, width),
    ...(own.length === 0 ? [] : ['', options.title, ...own]),
    '',
    ...settingsHelp(command.settings, width),
  );
}

function settingsHelp(titles: readonly string[], width: number): readonly string[] {
  const shown = namedSettings(sections).filter(({ section }) => titles.includes(section));
  const groups = Map.groupBy(shown, ({ section }) => section);
  const note = `Each setting is also a variable (--log.level is ${environmentPrefix}LOG_LEVEL) and a key of the YAML file (log: {level: info}). Flags take precedence over variables, and variables over the file.`;
  return [
    ...[...groups].flatMap(([title, settings]) => [
      title,
      ...settings.flatMap((named) => settingLines(named, width)),
      '',
    ]),
    ...(titles.length === 0 ? ['The settings of serve are accepted too.'] : wrap(note, width)),
  ];
}

function settingLines(named: NamedSetting, width: number): readonly string[] {
  const { kind, help, defaultText } = named.setting;
  const flag = kind.flag === 'switch' ? `--[no-]${named.name}` : `${named.flag}=${kind.placeholder}`;
  const printed = printedDefault(named);
  const shown =
    printed === undefined
      ? (defaultText ?? 'none')
      : Array.isArray(printed)
        ? printed.join(', ')
        : String(printed);
  return [`  ${flag}`, ...wrap(`${help} Default: ${shown}.`, width, 6, 6)];
}

const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;
