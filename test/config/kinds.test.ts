import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Kind, Raw } from '../../src/config/kinds/kind.ts';
import { listenAddress } from '../../src/config/kinds/listen-address.ts';
import { listOf, virtualStorages } from '../../src/config/kinds/lists.ts';
import { bytes, duration, unitRatio } from '../../src/config/kinds/quantities.ts';
import { choice, filePath, float, integer, secret, text, toggle } from '../../src/config/kinds/scalars.ts';
import { type Origin, problemText } from '../../src/config/problem.ts';
import { parseDuration, printDuration } from '../../src/lib/format.ts';
import { Secret } from '../../src/lib/secret.ts';

const flag: Origin = { source: 'flag', name: '--x' };
const given = (value: string): Raw => ({ form: 'text', text: value, origin: flag });

/** The value, or the message. */
function read<T>(kind: Kind<T>, raw: Raw | string): unknown {
  const result = kind.read(typeof raw === 'string' ? given(raw) : raw, 'x');
  return result.ok ? result.value : result.problems.map(problemText).join('\n');
}

describe('a duration in the syntax of Prometheus', () => {
  test.each([
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1d', 86_400_000],
    ['2w', 1_209_600_000],
    ['1y', 31_536_000_000],
    ['100ms', 100],
    ['1m30s500ms', 90_500],
    ['0', 0],
    [' 5s ', 5000],
  ])('%s is %i ms', (written, milliseconds) => {
    expect(read(duration(), written)).toBe(milliseconds);
  });

  test.each([
    ['15', '--x: found "15", expected a duration such as 30s or 1h30m: write 15s for seconds'],
    ['1.5h', '--x: found "1.5h", expected a duration such as 30s or 1h30m'],
    ['30m1h', '--x: found "30m1h", expected a duration such as 30s or 1h30m'],
    ['-5s', '--x: found "-5s", expected a duration such as 30s or 1h30m'],
    ['5 s', '--x: found "5 s", expected a duration such as 30s or 1h30m'],
    ['99999999999999y', '--x: found "99999999999999y", expected a duration such as 30s or 1h30m'],
    ['', '--x: has no value, expected a duration such as 30s or 1h30m; set one or leave it out'],
  ])('%j is rejected', (written, message) => {
    expect(read(duration(), written)).toBe(message);
  });

  test('a message states the bounds', () => {
    expect(read(duration({ min: 1000 }), '10ms')).toBe(
      '--x: found "10ms", expected a duration such as 30s or 1h30m of at least 1s',
    );
    expect(read(duration({ max: 60_000 }), '61s')).toBe(
      '--x: found "61s", expected a duration such as 30s or 1h30m of at most 1m',
    );
  });

  test('a printed duration is parsed to the same value', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), (milliseconds) => {
        expect(parseDuration(printDuration(milliseconds))).toBe(milliseconds);
      }),
    );
  });
});

describe('a ratio as a percentage or a number', () => {
  test.each([
    ['1%', 0.01],
    ['0.01', 0.01],
    ['.5', 0.5],
    ['100%', 1],
    ['1', 1],
    ['0.1 %', 0.001],
  ])('%s is %d', (written, share) => {
    expect(read(unitRatio(), written)).toBeCloseTo(share, 12);
  });

  test.each([
    ['0', '--x: found "0", expected a ratio over 0 and at most 1, such as 1% or 0.01'],
    [
      '5',
      '--x: found "5", expected a ratio over 0 and at most 1, such as 1% or 0.01: write 5% if percent was meant',
    ],
    ['101%', '--x: found "101%", expected a ratio over 0 and at most 1, such as 1% or 0.01'],
    ['-1%', '--x: found "-1%", expected a ratio over 0 and at most 1, such as 1% or 0.01'],
    ['one', '--x: found "one", expected a ratio over 0 and at most 1, such as 1% or 0.01'],
  ])('%s is rejected', (written, message) => {
    expect(read(unitRatio(), written)).toBe(message);
  });

  test.each([0.01, 0.001, 0.07, 1, 1 / 3])(
    '%d is printed so that it is parsed to the same value',
    (share) => {
      expect(read(unitRatio(), String(unitRatio().print(share)))).toBeCloseTo(share, 12);
    },
  );
});

describe('bytes', () => {
  test.each([
    ['512', 512],
    ['512B', 512],
    ['1KiB', 1024],
    ['1Ki', 1024],
    ['1KB', 1000],
    ['1K', 1000],
    ['1.5GiB', 1_610_612_736],
    ['2 GB', 2_000_000_000],
  ])('%s is %i', (written, value) => {
    expect(read(bytes(), written)).toBe(value);
  });

  test.each(['1XB', 'GiB', '1.0001', '-1', '1e3'])('%s is rejected', (written) => {
    expect(read(bytes(), written)).toBe(
      `--x: found "${written}", expected a number of bytes such as 512MiB or 2GB`,
    );
  });

  test.each([
    [512, '512B'],
    [1_610_612_736, '1536MiB'],
    [1024 ** 3, '1GiB'],
  ])('%i is printed as %s', (value, printed) => {
    expect(bytes().print(value)).toBe(printed);
  });
});

describe('a value', () => {
  test.each<[string, Kind<unknown>, string, unknown]>([
    ['integer', integer(), '-3', -3],
    ['integer', integer({ min: 1, max: 9 }), '0', '--x: found "0", expected a whole number from 1 to 9'],
    ['integer', integer(), '1.5', '--x: found "1.5", expected a whole number'],
    ['integer', integer(), '0x10', '--x: found "0x10", expected a whole number'],
    [
      'integer',
      integer(),
      '99999999999999999999',
      '--x: found "99999999999999999999", expected a whole number',
    ],
    ['float', float(), '1.5e3', 1500],
    ['float', float({ min: 0 }), '-0.1', '--x: found "-0.1", expected a number of at least 0'],
    ['float', float(), 'NaN', '--x: found "NaN", expected a number'],
    ['float', float(), 'Infinity', '--x: found "Infinity", expected a number'],
    ['switch', toggle(), 'true', true],
    ['switch', toggle(), 'yes', '--x: found "yes", expected true or false'],
    ['choice', choice(['debug', 'info']), 'info', 'info'],
    [
      'choice',
      choice(['debug', 'info']),
      'INFO',
      '--x: found "INFO", expected one of debug, info: did you mean info?',
    ],
    ['choice', choice(['debug', 'info']), 'loud', '--x: found "loud", expected one of debug, info'],
    ['text', text('<user>'), 'a b', 'a b'],
    ['text', text('<user>'), '  ', '--x: has no value, expected a user; set one or leave it out'],
    ['path', filePath(), 'a/b', 'a/b'],
  ])('of kind %s is read or rejected', (_name, kind, written, expected) => {
    expect(read(kind, written)).toEqual(expected);
  });

  test('a path in the file is relative to the directory of the file', () => {
    const origin: Origin = { source: 'file', file: '/etc/exporter/config.yml', line: 3 };
    expect(read(filePath(), { form: 'text', text: 'tls/web.yml', origin })).toBe('/etc/exporter/tls/web.yml');
    expect(read(filePath(), { form: 'text', text: '/srv/web.yml', origin })).toBe('/srv/web.yml');
  });

  test('a secret is a Secret, and a rejected one is not shown', () => {
    const kind = secret('<key>', 'a key of 8 characters', (found) =>
      found.length === 8 ? undefined : 'it is too short',
    );
    expect(read(kind, 'hunter42')).toBeInstanceOf(Secret);
    expect(read(kind, 'hunter2')).toBe(
      '--x: its value (not shown) is not usable, expected a key of 8 characters: it is too short',
    );
  });

  test('a long value is truncated in messages', () => {
    expect(String(read(integer(), 'y'.repeat(500))).length).toBeLessThan(150);
  });

  test('a list or a map is not a single value', () => {
    expect(read(integer(), { form: 'items', items: [], origin: flag })).toBe(
      '--x: found a list, expected a whole number',
    );
    expect(read(integer(), { form: 'entries', entries: [], origin: flag })).toBe(
      '--x: found a map, expected a whole number',
    );
  });
});

describe('a listen address', () => {
  test.each([
    [':9656', undefined, 9656],
    ['0.0.0.0:9656', '0.0.0.0', 9656],
    ['[::1]:0', '::1', 0],
    ['[fe80::1%eth0]:9656', 'fe80::1%eth0', 9656],
    ['localhost:0', 'localhost', 0],
    ['exporter.example:65535', 'exporter.example', 65535],
  ])('%s is accepted', (configured, host, port) => {
    expect(read(listenAddress(), configured)).toEqual({ configured, host, port });
    expect(listenAddress().print({ configured, host, port })).toBe(configured);
  });

  const expected = 'expected an address such as :9656, 127.0.0.1:9656 or [::1]:9656';
  test.each([
    ['9656', `--x: found "9656", ${expected}: write :9656`],
    ['::1:9656', `--x: found "::1:9656", ${expected}: write an IPv6 address as [::1]:9656`],
    ['[::1]', `--x: found "[::1]", ${expected}: write an IPv6 address as [::1]:9656`],
    [':70000', `--x: found ":70000", ${expected}: a port is at most 65535`],
    ['[localhost]:1', `--x: found "[localhost]:1", ${expected}: brackets are for IPv6 addresses only`],
    ['1.2.3:9656', `--x: found "1.2.3:9656", ${expected}: 1.2.3 is not an IPv4 address`],
    [
      'http://localhost:9656',
      `--x: found "http://localhost:9656", ${expected}: write host:port, without a scheme; only TCP is supported`,
    ],
    [
      'unix:///run/x.sock',
      `--x: found "unix:///run/x.sock", ${expected}: write host:port, without a scheme; only TCP is supported`,
    ],
    ['localhost:', `--x: found "localhost:", ${expected}`],
    ['localhost:http', `--x: found "localhost:http", ${expected}`],
    ['localhost', `--x: found "localhost", ${expected}`],
  ])('%s is rejected', (written, message) => {
    expect(read(listenAddress(), written)).toBe(message);
  });

  test('a list can be comma-separated, repeated flags or YAML, and each invalid item is named', () => {
    const kind = listOf(listenAddress(), 'list of addresses');
    expect(read(kind, ':1, :2')).toMatchObject([{ port: 1 }, { port: 2 }]);
    expect(read(kind, { form: 'items', items: [given(':1'), given(':2,:3')], origin: flag })).toMatchObject([
      { port: 1 },
      { port: 2 },
      { port: 3 },
    ]);
    expect(read(kind, '9,8')).toBe(
      `--x: found "9", ${expected}: write :9\n--x: found "8", ${expected}: write :8`,
    );
    expect(read(kind, { form: 'items', items: [], origin: flag })).toBe(
      `--x: is an empty list, ${expected}, or several`,
    );
    expect(read(kind, { form: 'entries', entries: [], origin: flag })).toBe(
      `--x: found a map, ${expected}, or several`,
    );
  });
});

describe('the storages of virtual storages', () => {
  const expected = 'expected a virtual storage and its storages, such as default=gitaly-1,gitaly-2,gitaly-3';

  test('are separated by semicolons in text, and a map in YAML', () => {
    const both = [
      { name: 'default', storages: ['gitaly-1', 'gitaly-2'] },
      { name: 'other', storages: ['gitaly-3'] },
    ];
    expect(read(virtualStorages(), 'default=gitaly-1,gitaly-2; other=gitaly-3')).toEqual(both);
    const items = [given('gitaly-1'), given('gitaly-2')];
    const entries = [
      { key: 'default', value: { form: 'items', items, origin: flag } as const },
      { key: 'other', value: given('gitaly-3') },
    ];
    expect(read(virtualStorages(), { form: 'entries', entries, origin: flag })).toEqual(both);
    const flags = [given('default=gitaly-1,gitaly-2'), given('other=gitaly-3')];
    expect(read(virtualStorages(), { form: 'items', items: flags, origin: flag })).toEqual(both);
  });

  test.each([
    ['gitaly-1', `--x: ${expected}`],
    ['default=', `--x: ${expected}`],
    ['=a', `--x: ${expected}`],
    ['default=a,,b', `--x: ${expected}`],
    ['default=a,a', '--x: lists the storage a of default twice; list it once'],
    ['default=a;default=b', '--x: lists the virtual storage default twice; list it once'],
  ])('are rejected when given as %s', (written, message) => {
    expect(read(virtualStorages(), written)).toBe(message);
  });
});
