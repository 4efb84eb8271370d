/** Windows by the clock, and the metrics and events of all windows. */
import { describe, expect, test } from '@jest/globals';
import { type ConfiguredWindow, maintenanceWindows } from '../../../src/config/kinds/maintenance-window.ts';
import { expositionText } from '../../../src/metrics/exposition.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import {
  configuredWindows,
  createMaintenanceSource,
  maintenanceCollectorNames,
  maintenanceMetrics,
  type WindowSource,
} from '../../../src/sources/maintenance/source.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { lintMetrics } from '../../support/lint-metrics.ts';
import { createManualClock } from '../../support/manual-clock.ts';

function windows(text: string): readonly ConfiguredWindow[] {
  const read = maintenanceWindows().read({ form: 'text', text, origin: { source: 'default' } }, 'x');
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.value;
}

/** When the window opens and closes, to the minute. */
function changes(text: string, from: string, hours: number): readonly string[] {
  const source = configuredWindows(windows(text));
  const begin = Date.parse(from);
  const found: string[] = [];
  let before = source.windows(begin - 60_000)[0]?.open;
  for (let at = begin; at < begin + hours * 3_600_000; at += 60_000) {
    const open = source.windows(at)[0]?.open;
    if (open !== before) found.push(`${open ? 'opens' : 'closes'} ${new Date(at).toISOString()}`);
    before = open;
  }
  return found;
}

describe('a window of the settings opens and closes', () => {
  test.each([
    [
      'once, from its start up to its end but not at it',
      ...['x=2026-11-24T02:00:00Z/2026-11-24T06:00:00Z', '2026-11-24T00:00:00Z', 24],
      ['opens 2026-11-24T02:00:00.000Z', 'closes 2026-11-24T06:00:00.000Z'],
    ],
    [
      'each Saturday in local time of Berlin',
      ...['x=0 2 * * 6 for 4h in Europe/Berlin', '2026-11-16T00:00:00Z', 240],
      ['opens 2026-11-21T01:00:00.000Z', 'closes 2026-11-21T05:00:00.000Z'],
    ],
    [
      'across midnight and the end of a year',
      ...['x=0 22 31 12 * for 4h in Etc/UTC', '2026-12-31T00:00:00Z', 48],
      ['opens 2026-12-31T22:00:00.000Z', 'closes 2027-01-01T02:00:00.000Z'],
    ],
    [
      'in the night that skips 02:30: from 03:00 on, with its full length',
      ...['x=30 2 * * * for 1h in Europe/Berlin', '2026-03-28T12:00:00Z', 24],
      ['opens 2026-03-29T01:00:00.000Z', 'closes 2026-03-29T02:00:00.000Z'],
    ],
    [
      'in the night in which 02:30 occurs twice: once, at the first',
      ...['x=30 2 * * * for 30m in Europe/Berlin', '2026-10-24T12:00:00Z', 24],
      ['opens 2026-10-25T00:30:00.000Z', 'closes 2026-10-25T01:00:00.000Z'],
    ],
    [
      'across a change to or from daylight saving time: after four hours, regardless of the local time',
      ...['x=0 1 * * 0 for 4h in Europe/Berlin', '2026-10-24T12:00:00Z', 24],
      ['opens 2026-10-24T23:00:00.000Z', 'closes 2026-10-25T03:00:00.000Z'],
    ],
  ] as const)('%s', (_, text, from, hours, expected) => {
    expect(changes(text, from, hours)).toEqual(expected);
  });

  test('exactly at its start, and no later than its end', () => {
    const source = configuredWindows(windows('x=0 2 * * 6 for 4h in Etc/UTC'));
    const begin = Date.parse('2026-11-21T02:00:00.000Z');
    const open = (at: number) => source.windows(at)[0]?.open;
    expect([begin - 1, begin, begin + 4 * 3_600_000 - 1, begin + 4 * 3_600_000].map(open)).toEqual([
      ...[false, true],
      ...[true, false],
    ]);
  });
});

describe('the maintenance source', () => {
  function start(sources: readonly WindowSource[], now: string) {
    const clock = createManualClock();
    clock.setWall(Date.parse(now));
    const events = createEventLog(clock);
    const made = createMaintenanceSource({ sources, clock, events });
    const lines = async (): Promise<readonly string[]> => {
      const outcome = await made.collectors[0]?.collect({
        signal: new AbortController().signal,
        cause: 'scrape',
      });
      if (outcome?.kind !== 'data') throw new Error(JSON.stringify(outcome));
      expect(lintBlock(outcome.block, maintenanceMetrics)).toEqual([]);
      return expositionText([outcome.block])
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
    };
    return { made, lines, clock, messages: () => events.recent().map(({ message }) => message) };
  }

  test('exposes each window, whether any window is open, and when it ends', async () => {
    const settings = configuredWindows(
      windows('upgrade=2026-11-24T02:00:00Z/2026-11-24T06:00:00Z;weekly=0 2 * * 6 for 4h in Etc/UTC'),
    );
    const { lines, clock, messages, made } = start([settings], '2026-11-24T01:59:59Z');
    expect(await lines()).toEqual([
      'gitaly_exporter_maintenance{window="upgrade"} 0',
      'gitaly_exporter_maintenance{window="weekly"} 0',
      'gitaly_exporter_maintenance_active 0',
    ]);
    await clock.advance(1000);
    expect(await lines()).toEqual([
      'gitaly_exporter_maintenance{window="upgrade"} 1',
      'gitaly_exporter_maintenance{window="weekly"} 0',
      'gitaly_exporter_maintenance_active 1',
      `gitaly_exporter_maintenance_end_timestamp_seconds{window="upgrade"} ${Date.UTC(2026, 10, 24, 6) / 1000}`,
    ]);
    expect(made.view().open.map(({ name }) => name)).toEqual(['upgrade']);
    await clock.advance(4 * 3_600_000);
    expect(await lines()).toContain('gitaly_exporter_maintenance_active 0');
    expect(messages()).toEqual([
      'Maintenance window upgrade ended, or is no longer known',
      'Maintenance window upgrade started: it suppresses alerts',
    ]);
  });

  test('without windows exposes that none is open', async () => {
    expect(await start([], '2026-11-24T00:00:00Z').lines()).toEqual(['gitaly_exporter_maintenance_active 0']);
  });

  test('exposes no window that no longer exists, so that it suppresses no alert', async () => {
    let known = true;
    const source: WindowSource = {
      windows: () => (known ? [{ name: 'annotation:Node/n', open: true, endsAt: 1_800_000_000_000 }] : []),
      mistakes: () => [],
    };
    const { lines } = start([source], '2026-11-24T00:00:00Z');
    expect(await lines()).toContain('gitaly_exporter_maintenance_active 1');
    known = false;
    expect(await lines()).toEqual(['gitaly_exporter_maintenance_active 0']);
  });

  test('has metrics that pass the lint, and lists the names of its collectors', () => {
    expect(lintMetrics(maintenanceMetrics)).toEqual([]);
    expect(start([], '2026-11-24T00:00:00Z').made.collectors.map(({ name }) => name)).toEqual(
      maintenanceCollectorNames,
    );
  });
});
