import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePraefectConfig } from '../../../src/config/praefect/praefect-config.ts';
import { originText, problemText } from '../../../src/config/problem.ts';
import { anyText } from '../../support/any-text.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`./fixtures/${name}.toml`, import.meta.url), 'utf8');

function parse(text: string): unknown {
  const parsed = parsePraefectConfig(text, 'config.toml');
  if (!parsed.ok) return parsed.problems.map(problemText);
  const { database, virtualStorages, electionStrategy, databaseProblems, problems } = parsed.value;
  if (databaseProblems.length + problems.length > 0)
    return [...databaseProblems, ...problems].map(problemText);
  const plain = Object.entries(database ?? {}).map(([name, parameter]) => [
    name,
    `${name === 'password' ? '' : parameter.value} line ${originText(parameter.origin).split(':')[1]}`.trim(),
  ]);
  return {
    database: database && Object.fromEntries(plain),
    virtualStorages: virtualStorages.map(({ addresses, ...rest }) => ({
      ...rest,
      addresses: [...addresses.values()],
    })),
    electionStrategy,
  };
}

describe("Praefect's configuration of each version", () => {
  test('the file of the Linux package 13.5 gives the direct connection that bypasses PgBouncer', () => {
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
        {
          name: 'default',
          storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
          addresses: [
            'tcp://gitaly-1.internal:8075',
            'tcp://gitaly-2.internal:8075',
            'tcp://gitaly-3.internal:8075',
          ],
          defaultReplicationFactor: 0,
        },
      ],
      electionStrategy: 'sql',
    });
  });

  test('in version 15 each key of [database.session_pooled] takes precedence over [database]', () => {
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
        {
          name: 'default',
          storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
          addresses: [
            'tls://gitaly-1.internal:9999',
            'tls://gitaly-2.internal:9999',
            'tls://gitaly-3.internal:9999',
          ],
          defaultReplicationFactor: 3,
        },
        {
          name: 'archive',
          storages: ['archive-1'],
          addresses: ['tcp://archive-1.internal:8075'],
          defaultReplicationFactor: 0,
        },
      ],
      electionStrategy: undefined,
    });
  });

  test('the rendered file of the Helm chart is read', () => {
    expect(parse(fixture('chart-rendered'))).toMatchObject({
      database: { host: 'praefect.abc.eu-central-1.rds.amazonaws.com line 26', sslmode: 'disable line 31' },
      virtualStorages: [
        { name: 'default', storages: ['gitlab-gitaly-default-0', 'gitlab-gitaly-default-1'] },
      ],
    });
  });

  test("the template in the Helm chart's ConfigMap is read, with a password that is not set", () => {
    expect(parse(fixture('chart-template'))).toEqual({
      database: {
        host: 'gl-postgresql.gitlab.svc line 31',
        port: '5432 line 32',
        user: 'praefect line 33',
        dbname: 'praefect line 35',
        sslmode: 'verify-ca line 36',
        sslcert: '/etc/postgresql/ssl/client-certificate.pem line 37',
        sslkey: '/etc/postgresql/ssl/client-key.pem line 38',
        sslrootcert: '/etc/postgresql/ssl/server-ca.pem line 39',
      },
      virtualStorages: [
        {
          name: 'default',
          storages: ['gl-gitaly-default-0', 'gl-gitaly-default-1'],
          addresses: [
            'tcp://gl-gitaly-default-0.gl-gitaly-default.gitlab.svc:8075',
            'tcp://gl-gitaly-default-1.gl-gitaly-default.gitlab.svc:8075',
          ],
          defaultReplicationFactor: 0,
        },
      ],
      electionStrategy: undefined,
    });
  });

  test('a Praefect with its queue in memory has no database', () => {
    expect(parse(fixture('memory-queue-13.0'))).toEqual({
      database: undefined,
      virtualStorages: [
        {
          name: 'praefect',
          storages: ['praefect-git-0'],
          addresses: ['tcp://praefect-git-0.internal'],
          defaultReplicationFactor: 0,
        },
      ],
      electionStrategy: 'local',
    });
  });

  test('session_pooled takes precedence over the older keys', () => {
    const text =
      '[database]\nhost_no_proxy = "older"\nhost = "main"\n[database.session_pooled]\nhost = "newer"\n';
    expect(parse(text)).toMatchObject({ database: { host: 'newer line 5' } });
  });

  test('an empty file has no database and no virtual storages', () => {
    expect(parse('')).toEqual({ database: undefined, virtualStorages: [], electionStrategy: undefined });
  });
});

const template =
  "found a template, expected Praefect's rendered configuration: set praefect.config-file to the rendered file, or set praefect.database.url and praefect.virtual-storage instead";

describe('each problem names the file, the line and the key', () => {
  test.each<[string, string[]]>([
    [
      '[database]\nhost = {% file.Read "/host" %}\nport = 5432\nuser = \'praefect_{% .Env.REGION %}\'',
      [
        'config.toml:2: database.host: the template fills this in when a pod starts: set praefect.database.url instead',
        'config.toml:4: database.user: the template fills this in when a pod starts: set praefect.database.url instead',
      ],
    ],
    [
      "[[virtual_storage]]\nname = 'default'\n[[virtual_storage.node]]\nstorage = '{% .Env.HOSTNAME %}'",
      [
        'config.toml:4: virtual_storage.node.storage: the template fills this in when a pod starts: set praefect.virtual-storage',
      ],
    ],
    ['[database]\npassword = "<%= File.read(\'x\') %>"', [`config.toml:2: ${template}`]],
    ["[database]\nhost = '{{ .Values.host }}'", [`config.toml:2: ${template}`]],
    ['[database]\nport = "5432"', ['config.toml:2: database.port: expected an unquoted integer']],
    ['[database]\nport = 5432.5', ['config.toml:2: database.port: expected an unquoted integer']],
    [
      '[database]\n\nhost = 7\nuser = false',
      [
        'config.toml:3: database.host: expected a quoted string',
        'config.toml:4: database.user: expected a quoted string',
      ],
    ],
    [
      '[database]\nhost = "a"\n[database.session_pooled]\nport = "x"',
      ['config.toml:4: database.session_pooled.port: expected an unquoted integer'],
    ],
    ['database = 3', ['config.toml:1: database: expected a table']],
    [
      '[virtual_storage]\nname = "default"',
      ['config.toml:1: virtual_storage: expected an array of tables ([[...]])'],
    ],
    [
      '[[virtual_storage]]\nname = "default"',
      ['config.toml:1: virtual_storage: default has no [[virtual_storage.node]]'],
    ],
    [
      '[[virtual_storage]]\n[[virtual_storage.node]]\nstorage = "a"',
      ['config.toml:1: virtual_storage: name is missing'],
    ],
    [
      '[[virtual_storage]]\nname = "x"\n[[virtual_storage.node]]\nstorage = "a"\n[[virtual_storage]]\nname = "x"\n[[virtual_storage.node]]\nstorage = "b"\n[[virtual_storage.node]]\n[[virtual_storage.node]]\nstorage = "b"',
      [
        'config.toml:6: virtual_storage.name: duplicate virtual storage x',
        'config.toml:9: virtual_storage.node: storage is missing',
        'config.toml:11: virtual_storage.node.storage: duplicate storage b in virtual storage x',
      ],
    ],
    [
      '[failover]\nelection_strategy = "raft"',
      ['config.toml:2: failover.election_strategy: expected one of local, sql, per_repository'],
    ],
    ['[database]\npassword = SENTINEL', ['config.toml:2: invalid TOML: invalid value']],
    ['[database]\npassword = "SENTINEL', ['config.toml:2: invalid TOML: unfinished string']],
    ['a = 1\na = 2', ['config.toml:2: invalid TOML: trying to redefine an already defined table or value']],
  ])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
  });
});

test('an invalid entry is skipped and the rest is used, but no storages are, as the list would be incomplete', () => {
  const text = `
[failover]
election_strategy = "raft"
[background_verification]
verification_interval = "24h"
[database]
host = "db"
[[virtual_storage]]
name = "default"
[[virtual_storage.node]]
storage = "gitaly-1"
[[virtual_storage.node]]
`;
  const parsed = parsePraefectConfig(text, 'config.toml');
  if (!parsed.ok) throw new Error('not parsed');
  expect(parsed.value).toMatchObject({ verificationIntervalSeconds: 86_400, virtualStorages: [] });
  expect(parsed.value.database?.host?.value).toBe('db');
  expect(parsed.value.problems.map(problemText)).toEqual([
    expect.stringContaining('virtual_storage.node: storage is missing'),
    expect.stringContaining('failover.election_strategy'),
  ]);
});

test('the parsed configuration shows no secret of the file', () => {
  for (const name of ['linux-package-13.5', 'linux-package-15', 'chart-rendered']) {
    const parsed = parsePraefectConfig(fixture(name), 'config.toml');
    expect(parsed.ok).toBe(true);
    expect(inspect(parsed, { depth: 20 }) + JSON.stringify(parsed)).not.toContain('SENTINEL');
  }
});

test('no text makes the parser throw', () => {
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
    anyText(),
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

describe('the verification interval is a Go duration', () => {
  const interval = (value: string): unknown => {
    const parsed = parsePraefectConfig(
      `[background_verification]\nverification_interval = ${value}\n`,
      'config.toml',
    );
    if (!parsed.ok) return parsed.problems.map(problemText);
    const { problems, verificationIntervalSeconds } = parsed.value;
    return problems.length > 0 ? problems.map(problemText) : verificationIntervalSeconds;
  };
  test.each([
    ['"168h"', 604_800],
    ['"1h30m"', 5400],
    ['"0"', 0],
    ['"1.5s"', 1],
    ['0', 0],
    ['3600000000000', 3600],
    ['"-1h"', 0],
  ])('%s is %s seconds', (text, seconds) => expect(interval(text)).toBe(seconds));
  test('an invalid duration is a problem that names the key', () => {
    expect(interval('"a week"')).toEqual([expect.stringContaining('verification_interval')]);
  });
  test('without the key the interval is undefined', () => {
    const parsed = parsePraefectConfig('', 'config.toml');
    expect(parsed.ok && parsed.value.verificationIntervalSeconds).toBe(undefined);
  });
});
