/** Windows of maintenance: one with a beginning and an end, or one that comes back as cron says. */
import { Cron } from 'croner';
import { bad, type Checked, good, type Problem } from '../problem.ts';
import { type Kind, problemOf, type Raw } from './kind.ts';
import { formatDuration, parseDuration } from './quantities.ts';

export type ConfiguredWindow = {
  /** A label's value. */
  readonly name: string;
  /** As it was written, after the name. */
  readonly text: string;
} & (
  | {
      readonly kind: 'once';
      /** Milliseconds since 1970. */
      readonly start: number;
      readonly end: number;
    }
  | {
      readonly kind: 'again';
      /** Minute, hour, day of the month, month, day of the week. */
      readonly cron: string;
      /** Milliseconds. */
      readonly duration: number;
      /** IANA's name. */
      readonly zone: string;
    }
);

const expected =
  "a name and a window, such as 'upgrade=2026-12-01T22:00:00Z/2026-12-02T02:00:00Z' or 'weekly=0 2 * * 6 for 4h in Europe/Berlin'";

const longestMs = 7 * 24 * 3_600_000;

/** A repeated flag, a list in YAML; in one text (the variable) several are parted by semicolons: cron has commas. */
export const maintenanceWindows = (): Kind<readonly ConfiguredWindow[]> =>
  Object.freeze<Kind<readonly ConfiguredWindow[]>>({
    name: 'list of windows',
    placeholder: '<name=window>',
    expected,
    flag: 'many',
    secret: false,
    print: (windows) => windows.map(({ name, text }) => `${name}=${text}`),
    read(raw, settingName) {
      const problems: Problem[] = [];
      const windows: ConfiguredWindow[] = [];
      for (const text of textsOf(raw)) {
        const window = text === undefined ? `expected ${expected}` : parseWindow(text);
        if (typeof window !== 'string') windows.push(window);
        else
          problems.push(
            problemOf(raw.origin, settingName, text === undefined ? window : `found '${text}': ${window}`),
          );
      }
      const double = windows.find(
        ({ name }, index) => windows.findIndex((other) => other.name === name) !== index,
      );
      if (double !== undefined)
        problems.push(
          problemOf(
            raw.origin,
            settingName,
            `names ${double.name} twice; give each window a name of its own`,
          ),
        );
      if (windows.length === 0 && problems.length === 0)
        problems.push(problemOf(raw.origin, settingName, `is empty, expected ${expected}`));
      return problems.length > 0
        ? bad(...problems)
        : (good(Object.freeze(windows)) as Checked<readonly ConfiguredWindow[]>);
    },
  });

/** Undefined: what stands there is no text. */
function textsOf(raw: Raw): readonly (string | undefined)[] {
  switch (raw.form) {
    case 'text':
      return raw.text
        .split(';')
        .map((part) => part.trim())
        .filter((part) => part !== '');
    case 'items':
      return raw.items.flatMap(textsOf);
    case 'entries':
      return raw.entries.map(({ key, value }) =>
        value.form === 'text' ? `${key}=${value.text}` : undefined,
      );
  }
}

/** The window, or what is wrong with it and the mend. */
export function parseWindow(found: string): ConfiguredWindow | string {
  const [, name, text] = /^([a-z0-9][a-z0-9_-]{0,62})\s*=\s*(.+)$/s.exec(found.trim()) ?? [];
  if (name === undefined || text === undefined)
    return `write NAME=WINDOW, the name in small letters, digits, - and _; expected ${expected}`;
  return text.includes('/') && !text.includes(' for ') ? once(name, text) : again(name, text);
}

const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})$/;

function once(name: string, text: string): ConfiguredWindow | string {
  const parts = text.split('/').map((part) => part.trim());
  const [from, until] = parts.map((part) => (time.test(part) ? Date.parse(part) : Number.NaN));
  if (parts.length !== 2 || from === undefined || until === undefined || Number.isNaN(from + until))
    return 'write beginning/end, each with its offset, such as 2026-12-01T22:00:00Z/2026-12-02T02:00:00+01:00';
  if (until <= from) return 'it ends before it begins';
  if (until - from > longestMs) return tooLong;
  return Object.freeze({ name, text, kind: 'once', start: from, end: until });
}

const tooLong = `it is longer than ${formatDuration(longestMs)}: alerts must not be held for that long`;

function again(name: string, text: string): ConfiguredWindow | string {
  const [, pattern, length = '', zone = 'UTC'] = /^(.+?) +for +(\S+)(?: +in +(\S+))?$/.exec(text) ?? [];
  if (pattern === undefined)
    return "write when it begins as cron has it, how long it is, and its time zone: '0 2 * * 6 for 4h in Europe/Berlin'";
  if (pattern.split(/ +/).length !== 5)
    return `'${pattern}' is no cron with five fields: minute, hour, day of the month, month, day of the week`;
  const lengthMs = parseDuration(length);
  if (lengthMs === undefined || lengthMs < 60_000)
    return `'${length}' is no duration of a minute or more, such as 4h`;
  if (lengthMs > longestMs) return tooLong;
  if (!isZone(zone)) return `'${zone}' is no time zone of IANA's, such as Europe/Berlin or UTC`;
  const period = shortestPeriod(pattern, zone);
  if (typeof period === 'string') return period;
  if (lengthMs >= period)
    return `it is ${formatDuration(lengthMs)} long and comes back after ${formatDuration(period)}: it would never end; make it shorter, or rarer`;
  return Object.freeze({ name, text, kind: 'again', cron: pattern, duration: lengthMs, zone });
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).format(0) !== '';
  } catch {
    return false;
  }
}

/** Over the next hundred times, in milliseconds; or what is wrong with the pattern. */
function shortestPeriod(pattern: string, zone: string): number | string {
  try {
    const runs = new Cron(pattern, { timezone: zone, paused: true }).nextRuns(100).map(Number);
    if (runs.length === 0) return `'${pattern}' never comes`;
    return Math.min(...runs.slice(1).map((run, index) => run - (runs[index] ?? 0)), Number.POSITIVE_INFINITY);
  } catch (error) {
    const { message } = error as { readonly message: string };
    return `'${pattern}' is no cron with five fields: ${message.replace(/^\w+: /, '')}`;
  }
}
