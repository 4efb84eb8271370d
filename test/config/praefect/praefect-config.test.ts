import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePraefectConfig } from '../../../src/config/praefect/praefect-config.ts';
import { originText, problemText } from '../../../src/config/problem.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`./fixtures/${name}.toml`, import.meta.url), 'utf8');

function parse(text: string): unknown {
  const parsed = parsePraefectConfig(text, 'config.toml');
  if (!parsed.ok) return parsed.problems.map(problemText);
  const { database, virtualStorages, electionStrategy } = parsed.value;
  const plain = Object.entries(database ?? {}).map(([name, parameter]) => [
    name,
    `${name === 'password' ? '' : parameter.value} line ${originText(parameter.origin).split(':')[1]}`.trim(),
  ]);
  return { database: database && Object.fromEntries(plain), virtualStorages, electionStrategy };
}

describe("Praefect's configuration, by version", () => {
  test('13.5 from the Linux package: the direct connection beside PgBouncer', () => {
    expect(parse(fixture('linux-package-13.5'))).toEqual({
      database: {
        host: 'postgres.internal line 47',
        port: '5432 line 48',
        user: 'praefect line 40',
        password: 'line 41',
        dbname: 'praefect_production line 42',
        sslmode: 'require line 43',
      },
      virtualStorages: [
        { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'], defaultReplicationFactor: 0 },
      ],
      electionStrategy: 'sql',
    });
  });

  test('15: [database.session_pooled] over [database], key by key', () => {
    expect(parse(fixture('linux-package-15'))).toEqual({
      database: {
        host: 'postgres.internal line 52',
        port: '5432 line 53',
        user: 'praefect line 46',
        password: 'line 47',
        dbname: 'praefect_production line 48',
        sslmode: 'require line 54',
      },
      virtualStorages: [
        { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'], defaultReplicationFactor: 3 },
        { name: 'archive', storages: ['archive-1'], defaultReplicationFactor: 0 },
      ],
      electionStrategy: undefined,
    });
  });

  test('the rendered file of the Helm chart', () => {
    expect(parse(fixture('chart-rendered'))).toMatchObject({
      database: { host: 'praefect.abc.eu-central-1.rds.amazonaws.com line 26', sslmode: 'disable line 31' },
      virtualStorages: [
        { name: 'default', storages: ['gitlab-gitaly-default-0', 'gitlab-gitaly-default-1'] },
      ],
    });
  });

  test('a Praefect without a database', () => {
    expect(parse(fixture('memory-queue-13.0'))).toEqual({
      database: undefined,
      virtualStorages: [{ name: 'praefect', storages: ['praefect-git-0'], defaultReplicationFactor: 0 }],
      electionStrategy: 'local',
    });
  });

  test('session_pooled wins over the older keys', () => {
    const text =
      '[database]\nhost_no_proxy = "older"\nhost = "main"\n[database.session_pooled]\nhost = "newer"\n';
    expect(parse(text)).toMatchObject({ database: { host: 'newer line 5' } });
  });

  test('nothing of an empty file', () => {
    expect(parse('')).toEqual({ database: undefined, virtualStorages: [], electionStrategy: undefined });
  });
});

const template =
  "this is a template from which Praefect's configuration is made, not the configuration: give the rendered file (in a pod of Praefect: /etc/gitaly/config.toml), or praefect.database.url and praefect.virtual-storage in its place";

describe('mistakes name the file, the line and the key', () => {
  test.each<[string, string[]]>([
    [fixture('chart-template'), [`config.toml:5: ${template}`]],
    ['[database]\npassword = "<%= File.read(\'x\') %>"', [`config.toml:2: ${template}`]],
    ["[database]\nhost = '{{ .Values.host }}'", [`config.toml:2: ${template}`]],
    ['[database]\nport = "5432"', ['config.toml:2: database.port: expected a whole number without quotes']],
    ['[database]\nport = 5432.5', ['config.toml:2: database.port: expected a whole number without quotes']],
    [
      '[database]\n\nhost = 7\nuser = false',
      [
        'config.toml:3: database.host: expected text in quotes',
        'config.toml:4: database.user: expected text in quotes',
      ],
    ],
    [
      '[database]\nhost = "a"\n[database.session_pooled]\nport = "x"',
      ['config.toml:4: database.session_pooled.port: expected a whole number without quotes'],
    ],
    ['database = 3', ['config.toml:1: database: expected a table']],
    [
      '[virtual_storage]\nname = "default"',
      ['config.toml:1: virtual_storage: expected tables in double brackets'],
    ],
    [
      '[[virtual_storage]]\nname = "default"',
      ['config.toml:1: virtual_storage: default has no [[virtual_storage.node]]'],
    ],
    [
      '[[virtual_storage]]\n[[virtual_storage.node]]\nstorage = "a"',
      ['config.toml:1: virtual_storage: has no name; Praefect needs one'],
    ],
    [
      '[[virtual_storage]]\nname = "x"\n[[virtual_storage.node]]\nstorage = "a"\n[[virtual_storage]]\nname = "x"\n[[virtual_storage.node]]\nstorage = "b"\n[[virtual_storage.node]]\n[[virtual_storage.node]]\nstorage = "b"',
      [
        'config.toml:6: virtual_storage.name: a second virtual storage is called x',
        'config.toml:9: virtual_storage.node: has no storage; Praefect needs one',
        'config.toml:11: virtual_storage.node.storage: a second node of x is called b',
      ],
    ],
    [
      '[failover]\nelection_strategy = "raft"',
      ['config.toml:2: failover.election_strategy: expected one of local, sql, per_repository'],
    ],
    ['[database]\npassword = SENTINEL', ['config.toml:2: is not valid TOML: invalid value']],
    ['[database]\npassword = "SENTINEL', ['config.toml:2: is not valid TOML: unfinished string']],
    [
      'a = 1\na = 2',
      ['config.toml:2: is not valid TOML: trying to redefine an already defined table or value'],
    ],
  ])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });
});

test('no secret of the file is in what is read, however it is shown', () => {
  for (const name of ['linux-package-13.5', 'linux-package-15', 'chart-rendered']) {
    const parsed = parsePraefectConfig(fixture(name), 'config.toml');
    expect(parsed.ok).toBe(true);
    expect(inspect(parsed, { depth: 20 }) + JSON.stringify(parsed)).not.toContain('SENTINEL');
  }
});

test('no text makes it throw', () => {
  const pieces = fc.constantFrom(
    '[database]\n',
    '[[virtual_storage]]\n',
    '[[virtual_storage.node]]\n',
    'host = ',
    'port = ',
    'name = ',
    'storage = ',
    '"x"\n',
    '1\n',
    '{}\n',
    '[]\n',
    'database.port = 1\n',
    '= ',
    '"',
    '1979-05-27\n',
    '\u0000',
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const parsed = parsePraefectConfig(text, 'config.toml');
      if (!parsed.ok)
        for (const problem of parsed.problems) expect(problemText(problem)).toMatch(/^config\.toml/);
    }),
    { numRuns: 1000 },
  );
});

describe('the verification interval, as Go writes durations', () => {
  const interval = (value: string): unknown => {
    const parsed = parsePraefectConfig(
      `[background_verification]\nverification_interval = ${value}\n`,
      'config.toml',
    );
    return parsed.ok ? parsed.value.verificationIntervalSeconds : parsed.problems.map(problemText);
  };
  test.each([
    ['"168h"', 604_800],
    ['"1h30m"', 5400],
    ['"0"', 0],
    ['"1.5s"', 1],
  ])('%s is %s seconds', (text, seconds) => expect(interval(text)).toBe(seconds));
  test('what is none is an error that names the key', () => {
    expect(interval('"a week"')).toEqual([expect.stringContaining('verification_interval')]);
  });
  test('without it, nothing is said', () => {
    const parsed = parsePraefectConfig('', 'config.toml');
    expect(parsed.ok && parsed.value.verificationIntervalSeconds).toBe(undefined);
  });
});
