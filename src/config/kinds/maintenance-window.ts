/** Maintenance windows: once, or recurring by a cron expression in a time zone. */
import { Cron } from 'croner';
import { type Milliseconds, parseDuration, printDuration } from '../../lib/format.ts';
import { bad, type Checked, good, quotedValue } from '../problem.ts';
import { type Kind, problemOf } from './kind.ts';
import { collect, type Entry, entriesOf, firstRepeated } from './lists.ts';

export type ConfiguredWindow =
  | {
      readonly kind: 'once';
      /** A label value. */
      readonly name: string;
      /** Milliseconds since 1970. */
      readonly start: number;
      readonly end: number;
    }
  | {
      readonly kind: 'recurring';
      readonly name: string;
      /** Five fields: the starts, in local time of `zone`. */
      readonly cron: string;
      /** Elapsed time, whatever clocks change in between. */
      readonly duration: Milliseconds;
      /** IANA: `Europe/Berlin`. */
      readonly zone: string;
    };

const expected =
  'a window such as upgrade=2026-11-24T02:00:00Z/2026-11-24T06:00:00Z or weekly=0 2 * * 6 for 4h in Europe/Berlin';

/** A typo must not suppress alerts for longer than this. */
const maxDuration = 7 * 86_400_000;

/**
 * One per flag (a cron expression contains commas); several in one string are separated by semicolons; in YAML a list,
 * or a map from names to windows.
 */
export const maintenanceWindows = (): Kind<readonly ConfiguredWindow[]> =>
  Object.freeze<Kind<readonly ConfiguredWindow[]>>({
    name: 'list of windows',
    placeholder: '<name=window>',
    expected: `${expected}, or several`,
    flag: 'many',
    secret: false,
    print: (windows) => windows.map((window) => `${window.name}=${windowText(window)}`),
    read(raw, settingName) {
      const entries = entriesOf(raw, ';').filter(
        ({ key, value }) => key !== undefined || value.form !== 'text' || value.text !== '',
      );
      const read = collect(entries.map((entry) => readWindow(entry, settingName)));
      if (!read.ok) return read;
      const repeated = firstRepeated(read.value.map(({ name }) => name));
      if (repeated !== undefined)
        return bad(
          problemOf(
            raw.origin,
            settingName,
            `has two windows named ${repeated}; give each window its own name`,
          ),
        );
      return read.value.length === 0
        ? bad(problemOf(raw.origin, settingName, `is empty, expected ${expected}`))
        : read;
    },
  });

function readWindow({ key: name, value }: Entry, settingName: string): Checked<ConfiguredWindow> {
  const text = value.form === 'text' ? value.text.trim() : '';
  const window = name === undefined ? 'the name and = are missing' : windowOf(name, text);
  if (typeof window !== 'string') return good(window);
  const found = quotedValue(name === undefined ? text : `${name}=${text}`);
  return bad(problemOf(value.origin, settingName, `found ${found}, expected ${expected}: ${window}`));
}

const windowText = (window: ConfiguredWindow): string =>
  window.kind === 'once'
    ? `${new Date(window.start).toISOString()}/${new Date(window.end).toISOString()}`
    : `${window.cron} for ${printDuration(window.duration)} in ${window.zone}`;

/** The window, or what is wrong with the text. */
function windowOf(name: string, text: string): ConfiguredWindow | string {
  // Names with a colon or a slash are those of windows from Kubernetes.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name))
    return 'the name may have at most 63 letters, digits, dots, dashes and underscores';
  const recurring = /^(.+?)\s+for\s+(\S+)\s+in\s+(\S+)$/.exec(text);
  if (recurring !== null) {
    const [, cron = '', length = '', zone = ''] = recurring;
    return recurringWindow(name, cron.replaceAll(/\s+/g, ' '), length, zone);
  }
  if (/\sfor\s/.test(text))
    return 'the time zone is missing: add "in Europe/Berlin" or "in Etc/UTC" at the end';
  const [start, end, ...more] = text.split('/').map((each) => each.trim());
  if (start === undefined || end === undefined || more.length > 0)
    return 'it is neither START/END nor five cron fields, "for" a duration, "in" a time zone';
  return onceWindow(name, start, end);
}

function onceWindow(name: string, startText: string, endText: string): ConfiguredWindow | string {
  const [start, end] = [instantOf(startText), instantOf(endText)];
  if (start === undefined || end === undefined)
    return `${start === undefined ? startText : endText} is not a time with an offset, such as 2026-11-24T02:00:00Z or 2026-11-24T03:00:00+01:00`;
  if (end <= start) return 'it ends before it starts';
  if (end - start > maxDuration) return tooLong;
  return Object.freeze({ kind: 'once', name, start, end });
}

const tooLong = `it is longer than ${printDuration(maxDuration)}, the maximum`;

function recurringWindow(
  name: string,
  cron: string,
  length: string,
  zone: string,
): ConfiguredWindow | string {
  const duration = parseDuration(length);
  if (duration === undefined || duration < 60_000)
    return `${length} is not a duration of at least one minute, such as 4h`;
  if (duration > maxDuration) return tooLong;
  if (!isZone(zone)) return `${zone} is not an IANA time zone, such as Europe/Berlin or Etc/UTC`;
  const starts = startsOf(cron, zone);
  if (typeof starts === 'string') return `"${cron}" is not a cron expression of five fields: ${starts}`;
  if (starts.length === 0) return `"${cron}" never occurs`;
  const gaps = starts.slice(1).map((start, index) => start - (starts[index] ?? 0));
  if (gaps.length > 0 && gaps.every((gap) => gap <= duration))
    return 'it would never end: it lasts until its next start';
  return Object.freeze({ kind: 'recurring', name, cron, duration, zone });
}

/** Date.parse reads February 30 as March 2, and a time without an offset as local time. */
function instantOf(text: string): number | undefined {
  const found = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/i.exec(text);
  const time = Date.parse(text);
  if (found === null || Number.isNaN(time)) return undefined;
  const [year = 0, month = 0, day = 0] = found.slice(1).map(Number);
  return day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate() ? time : undefined;
}

function isZone(zone: string): boolean {
  try {
    // Intl accepts an offset (+01:00), which has no daylight saving.
    return /^[A-Za-z]/.test(zone) && new Intl.DateTimeFormat('en', { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}

/** The next starts, or why it is not a cron expression. */
function startsOf(cron: string, zone: string): readonly number[] | string {
  // croner also accepts nicknames and times in place of fields.
  if (cron.split(' ').length !== 5) return 'expected minute, hour, day of month, month, day of week';
  try {
    const job = new Cron(cron, { timezone: zone, mode: '5-part', paused: true });
    return job.nextRuns(100).map((start) => start.getTime());
  } catch (error) {
    return (error as { readonly message: string }).message.replace(/^\w+: /, '');
  }
}
