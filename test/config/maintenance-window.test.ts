import { describe, expect, test } from '@jest/globals';
import type { Raw } from '../../src/config/kinds/kind.ts';
import { maintenanceWindows } from '../../src/config/kinds/maintenance-window.ts';
import { type Origin, problemText } from '../../src/config/problem.ts';

const flag: Origin = { source: 'flag', name: '--maintenance.window' };
const file: Origin = { source: 'file', file: '/etc/exporter.yml', line: 3 };
const kind = maintenanceWindows();

function read(raw: Raw | string): unknown {
  const result = kind.read(
    typeof raw === 'string' ? { form: 'text', text: raw, origin: flag } : raw,
    'maintenance.window',
  );
  return result.ok ? result.value : result.problems.map(problemText);
}

const upgrade = {
  ...{ kind: 'once', name: 'upgrade' },
  ...{ start: Date.UTC(2026, 10, 24, 2), end: Date.UTC(2026, 10, 24, 6) },
};
const weekly = {
  ...{ kind: 'recurring', name: 'weekly', cron: '0 2 * * 6' },
  ...{ duration: 4 * 3_600_000, zone: 'Europe/Berlin' },
};
const upgradeText = '2026-11-24T02:00:00Z/2026-11-24T06:00:00Z';
const weeklyText = '0 2 * * 6 for 4h in Europe/Berlin';

describe('a maintenance window', () => {
  test.each([
    ['that occurs once', `upgrade=${upgradeText}`, [upgrade]],
    [
      'that occurs once, with other offsets',
      'upgrade=2026-11-24T03:00:00+01:00/2026-11-23T22:00-08:00',
      [upgrade],
    ],
    ['that recurs', `weekly=${weeklyText}`, [weekly]],
    ['with additional blanks', ' weekly = 0  2 * *  6   for 4h  in Europe/Berlin ', [weekly]],
    ['two in one string', `upgrade=${upgradeText}; weekly=${weeklyText};`, [upgrade, weekly]],
    [
      'with commas, which are part of the cron expression',
      'nights=30 1,2 * * 1-5,SUN for 90m in Etc/UTC',
      [
        {
          ...{ kind: 'recurring', name: 'nights', cron: '30 1,2 * * 1-5,SUN' },
          ...{ duration: 5_400_000, zone: 'Etc/UTC' },
        },
      ],
    ],
  ])('is read %s', (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  test('is read from repeated flags, and from a list or a map in the file', () => {
    const text = (value: string, origin: Origin): Raw => ({ form: 'text', text: value, origin });
    const both = [upgrade, weekly];
    for (const origin of [flag, file])
      expect(
        read({
          form: 'items',
          items: [text(`upgrade=${upgradeText}`, origin), text(`weekly=${weeklyText}`, origin)],
          origin,
        }),
      ).toEqual(both);
    const entries = [
      { key: 'upgrade', value: text(upgradeText, file) },
      { key: 'weekly', value: text(weeklyText, file) },
    ];
    expect(read({ form: 'entries', entries, origin: file })).toEqual(both);
  });

  test('is printed in the form in which it is read', () => {
    const result = kind.read(
      { form: 'text', text: `upgrade=${upgradeText};weekly=${weeklyText}`, origin: flag },
      '',
    );
    if (!result.ok) throw new Error('rejected');
    expect((kind.print(result.value) as string[]).map((text) => read(text))).toEqual([[upgrade], [weekly]]);
  });

  test.each([
    ['2026-11-24T02:00:00Z/2026-11-24T06:00:00Z', 'the name and = are missing'],
    ['a/b=2026-11-24T02:00:00Z/2026-11-24T06:00:00Z', 'the name may have'],
    ['rollout:x=2026-11-24T02:00:00Z/2026-11-24T06:00:00Z', 'the name may have'],
    ['x=2026-11-24T06:00:00Z/2026-11-24T02:00:00Z', 'it ends before it starts'],
    ['x=2026-11-24T02:00:00/2026-11-24T06:00:00Z', '2026-11-24T02:00:00 is not a time with an offset'],
    ['x=2026-02-30T02:00:00Z/2026-03-01T06:00:00Z', '2026-02-30T02:00:00Z is not a time'],
    ['x=2026-11-24T02:00:00Z/2027-11-24T06:00:00Z', 'it is longer than 7d'],
    ['x=2026-11-24T02:00:00Z', 'it is neither START/END nor'],
    ['x=', 'it is neither START/END nor'],
    ['x=0 2 * * 6 for 4h', 'the time zone is missing'],
    ['x=0 2 * * 6 for 4h in Europe/Berln', 'Europe/Berln is not an IANA time zone'],
    ['x=0 2 * * 6 for 4h in +01:00', '+01:00 is not an IANA time zone'],
    ['x=0 2 * * 6 for 4 in Etc/UTC', '4 is not a duration of at least one minute'],
    ['x=0 2 * * 6 for 8d in Etc/UTC', 'it is longer than 7d'],
    ['x=0 2 * * 8 for 4h in Etc/UTC', '"0 2 * * 8" is not a cron expression of five fields'],
    ['x=61 2 * * 6 for 4h in Etc/UTC', '"61 2 * * 6" is not a cron expression of five fields'],
    ['x=0 2 * * for 4h in Etc/UTC', '"0 2 * *" is not a cron expression of five fields'],
    ['x=0 0 2 * * 6 for 4h in Etc/UTC', '"0 0 2 * * 6" is not a cron expression of five fields'],
    ['x=@daily for 4h in Etc/UTC', '"@daily" is not a cron expression of five fields'],
    ['x=0 2 31 2 * for 4h in Etc/UTC', '"0 2 31 2 *" never occurs'],
    ['x=0 2 * * * for 24h in Etc/UTC', 'it would never end'],
    ['x=* * * * * for 1m in Etc/UTC', 'it would never end'],
  ])('%s is rejected with the reason', (text, why) => {
    const problems = read(text) as readonly string[];
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('--maintenance.window: found ');
    expect(problems[0]).toContain('expected a window such as upgrade=');
    expect(problems[0]).toContain(why);
  });

  test('each invalid window is reported, and so is a repeated name', () => {
    expect(read('a=1;b=2')).toHaveLength(2);
    expect(read(`x=${upgradeText};x=${weeklyText}`)).toEqual([
      '--maintenance.window: has two windows named x; give each window its own name',
    ]);
    expect(read({ form: 'items', items: [], origin: file })).toEqual([
      expect.stringContaining('maintenance.window: is empty'),
    ]);
  });
});
