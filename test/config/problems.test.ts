import { describe, expect, test } from '@jest/globals';
import { loadSettings } from '../../src/config/load.ts';
import { problemText } from '../../src/config/problem.ts';
import { type MemoryFiles, memorySystem } from './memory-system.ts';

const file = '/etc/exporter.yml';

async function problems(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  files: MemoryFiles = {},
): Promise<readonly string[]> {
  return (await loadSettings(args, memorySystem(files, env))).problems.map(problemText);
}

const inFile = (yaml: string): Promise<readonly string[]> =>
  problems([`--config.file=${file}`], {}, { [file]: yaml });

describe('an invalid flag is rejected', () => {
  test.each<[string[], string[]]>([
    [['--log.levle=info'], ['--log.levle: there is no such flag. Did you mean --log.level?']],
    [['--log.levle', 'info'], ['--log.levle: there is no such flag. Did you mean --log.level?']],
    [['--quite-another-thing'], ['--quite-another-thing: there is no such flag. --help lists them.']],
    [['-log.level=info'], ['-log.level: flags begin with two dashes: --log.level']],
    [['-x'], ['-x: there is no such flag. --help lists them.']],
    [['--no-log.level'], ['--no-log.level: there is no such flag. Did you mean --log.level?']],
    [['--no-web.enable-reload=true'], ['--no-web.enable-reload: takes no value']],
    [['--log.level'], ['--log.level: has no value, expected one of debug, info, warn, error']],
    [
      ['--log.level', '--log.format=json'],
      ['--log.level: has no value, expected one of debug, info, warn, error'],
    ],
    [
      ['--log.level='],
      ['--log.level: has no value, expected one of debug, info, warn, error; set one or leave it out'],
    ],
    [
      ['--log.level=info', '--log.level=warn'],
      ['--log.level: is given 2 times and takes one value; keep one'],
    ],
    [['info'], ['unexpected argument at position 1; write values as --flag=value']],
    [['--', 'x'], ['unexpected argument at position 2; write values as --flag=value']],
    [['--?'], ['an argument that begins with a dash is not a flag of this program']],
  ])('%j', async (args, expected) => {
    expect(await problems(args)).toEqual(expected);
  });
});

describe('an invalid variable is rejected', () => {
  test.each([
    [
      'GITALY_EXPORTER_LOG_LEVLE',
      'info',
      'GITALY_EXPORTER_LOG_LEVLE: there is no such setting. Did you mean GITALY_EXPORTER_LOG_LEVEL?',
    ],
    ['GITALY_EXPORTER_X', '1', 'GITALY_EXPORTER_X: there is no such setting. --help lists them; unset it.'],
    [
      'GITALY_EXPORTER_LOG_LEVEL',
      '',
      'GITALY_EXPORTER_LOG_LEVEL: has no value, expected one of debug, info, warn, error; set one or leave it out',
    ],
    [
      'GITALY_EXPORTER_PRAEFECT_DATABASE_URL',
      '',
      'GITALY_EXPORTER_PRAEFECT_DATABASE_URL: has no value, expected postgres://user@host:5432/praefect_production?sslmode=verify-full, or libpq keywords such as "host=db user=exporter"; set one or leave it out',
    ],
    [
      'GITALY_EXPORTER_WEB_ENABLE_RELOAD',
      'yes',
      'GITALY_EXPORTER_WEB_ENABLE_RELOAD: found "yes", expected true or false',
    ],
  ])('%s=%s', async (variable, value, expected) => {
    expect(await problems([], { [variable]: value })).toEqual([expected]);
  });
});

describe('an invalid line of the file is rejected', () => {
  test.each([
    [
      'log: {levle: info}',
      '/etc/exporter.yml:1: log.levle: there is no such setting. Did you mean log.level?',
    ],
    ['logs:\n  level: info', '/etc/exporter.yml:1: logs: there is no such setting. Did you mean log?'],
    [
      'log.level: info',
      '/etc/exporter.yml:1: log.level: there is no such setting. Nest it: each dot is one more level.',
    ],
    [
      'praefect:\n  database.url: x',
      '/etc/exporter.yml:2: praefect.database.url: there is no such setting. Nest it: each dot is one more level.',
    ],
    ['log:\n  level: info\n\n  level: warn', '/etc/exporter.yml:4: log.level: is given twice; keep one'],
    ['log: {}\nweb: {}\nlog: {}', '/etc/exporter.yml:3: log: is given twice; keep one'],
    [
      'log: info',
      '/etc/exporter.yml:1: log: found a single value, expected settings of the form "name: value"',
    ],
    ['- log', '/etc/exporter.yml:1: the file: found a list, expected settings of the form "name: value"'],
    [
      'nothing',
      '/etc/exporter.yml:1: the file: found a single value, expected settings of the form "name: value"',
    ],
    [
      'log:\n  level: [info]',
      '/etc/exporter.yml:2: log.level: found a list, expected one of debug, info, warn, error',
    ],
    [
      'log:\n  level: {a: b}',
      '/etc/exporter.yml:2: log.level: found a map, expected one of debug, info, warn, error',
    ],
    [
      'log:\n  level:',
      '/etc/exporter.yml:2: log.level: has no value, expected one of debug, info, warn, error; set one or leave it out',
    ],
    [
      'log:\n  level: ~',
      '/etc/exporter.yml:2: log.level: has no value, expected one of debug, info, warn, error; set one or leave it out',
    ],
    [
      'log:\n  level: *a',
      '/etc/exporter.yml:2: log.level: aliases (*name) are not supported; repeat the value',
    ],
    ['log: *a', '/etc/exporter.yml:1: log: found an alias, expected settings of the form "name: value"'],
    ['? [a]\n: b', '/etc/exporter.yml:1: the file: a key must be the name of a setting'],
    [
      'config: {file: x}',
      '/etc/exporter.yml:1: config.file: is only a flag (--config.file) or a variable (GITALY_EXPORTER_CONFIG_FILE)',
    ],
    ['log:\n\tlevel: info', '/etc/exporter.yml:2: is not valid YAML: a tab cannot indent; use spaces'],
    [
      'log: {level: info',
      '/etc/exporter.yml:1: is not valid YAML: wrong indentation, or an unclosed bracket',
    ],
    ['log: "info', '/etc/exporter.yml:1: is not valid YAML: a quote, bracket, comma or colon is missing'],
    ['log: @x', '/etc/exporter.yml:1: is not valid YAML: a value that begins with @, ` or % needs quotes'],
    ['log: !!python/object x', '/etc/exporter.yml:1: has a tag (!...), which is not supported'],
    ['log: {}\n---\nweb: {}', '/etc/exporter.yml:2: is a second document (---), expected one'],
    [
      'web:\n  listen-address:\n    - :1\n    - 2\n',
      '/etc/exporter.yml:4: web.listen-address: found "2", expected an address such as :9656, 127.0.0.1:9656 or [::1]:9656: write :2',
    ],
    [
      'web:\n  telemetry-path: /-/x',
      '/etc/exporter.yml:2: web.telemetry-path: found "/-/x", expected a path: /-/, /api/, /demo/ and /runbooks/ are reserved for the server itself',
    ],
    ...['/a b', '/:x'].map((path): [string, string] => [
      `web:\n  telemetry-path: ${path}`,
      `/etc/exporter.yml:2: web.telemetry-path: found "${path}", expected a path: it must start with / and contain only letters, digits, ., _, - and /`,
    ]),
    [
      'web:\n  telemetry-path: metrics',
      '/etc/exporter.yml:2: web.telemetry-path: found "metrics", expected a path: it must start with / and contain only letters, digits, ., _, - and /',
    ],
    [
      'web: {max-requests: 0}',
      '/etc/exporter.yml:1: web.max-requests: found "0", expected a whole number from 1 to 10000',
    ],
    [
      'metrics: {max-series: lots}',
      '/etc/exporter.yml:1: metrics.max-series: found "lots", expected a whole number from 100 to 1000000',
    ],
    [
      'praefect: {database: {max-time-ratio: 0}}',
      '/etc/exporter.yml:1: praefect.database.max-time-ratio: found "0", expected a ratio over 0 and at most 1, such as 1% or 0.01',
    ],
    [
      'praefect: {stuck-threshold: 10s}',
      '/etc/exporter.yml:1: praefect.stuck-threshold: found "10s", expected a duration such as 30s or 1h30m of at least 1m',
    ],
  ])('%j', async (yaml, expected) => {
    const found = await inFile(yaml);
    expect(found[0]).toBe(expected);
    expect(found.length).toBe(1);
  });

  test('one syntax error is reported once, not for every line after it', async () => {
    expect((await inFile(`log: [${'['.repeat(5000)}`)).length).toBeLessThanOrEqual(3);
  });

  test('a file over the size limit is rejected without being read', async () => {
    expect(await inFile(`#${'x'.repeat(1024 * 1024)}`)).toEqual([
      '/etc/exporter.yml: is larger than 1 MiB, expected a configuration file',
    ]);
  });

  test.each([
    [{}, `--config.file: the configuration file ${file} does not exist`],
    [
      { [file]: { folder: true } },
      `--config.file: the configuration file ${file} is a directory, not a file`,
    ],
    [
      { [file]: { code: 'EACCES' } },
      `--config.file: the configuration file ${file} is not readable by this user`,
    ],
    [{ [file]: { code: 'EIO' } }, `--config.file: the configuration file ${file} cannot be read (EIO)`],
  ] as [MemoryFiles, string][])('an unreadable file is reported: %j', async (files, expected) => {
    expect(await problems([`--config.file=${file}`], {}, files)).toEqual([expected]);
  });
});

test('a conflict between two settings is reported only when each is valid', async () => {
  expect(
    await problems(['--praefect.database.refresh-interval=10m', '--praefect.database.max-staleness=1m']),
  ).toEqual([
    'praefect.database.max-staleness (1m) is shorter than praefect.database.refresh-interval (10m), so values would expire before the next refresh; set max-staleness to several times refresh-interval',
  ]);
});

test('all problems are reported together, including those of overridden values', async () => {
  const yaml = 'log:\n  level: loud\n  colour: red\nweb:\n  max-requests: many\n';
  const found = await problems(
    [`--config.file=${file}`, '--log.level=debug', '--log.format=xml', '--verbose'],
    { GITALY_EXPORTER_LOG_LEVEL: 'silent', GITALY_EXPORTER_WEB_PORT: '9656' },
    { [file]: yaml },
  );
  expect(found).toEqual([
    '--verbose: there is no such flag. --help lists them.',
    'GITALY_EXPORTER_WEB_PORT: there is no such setting. --help lists them; unset it.',
    '/etc/exporter.yml:3: log.colour: there is no such setting.',
    '/etc/exporter.yml:5: web.max-requests: found "many", expected a whole number from 1 to 10000',
    '/etc/exporter.yml:2: log.level: found "loud", expected one of debug, info, warn, error',
    'GITALY_EXPORTER_LOG_LEVEL: found "silent", expected one of debug, info, warn, error',
    '--log.format: found "xml", expected one of logfmt, json, pretty',
  ]);
});

test('settings with problems keep their valid values, and have defaults for the invalid ones', async () => {
  const loaded = await loadSettings(['--log.level=loud', '--log.format=json'], memorySystem());
  expect(loaded.settings.log).toEqual({ level: 'info', format: 'json' });
  expect([...loaded.unreadable]).toEqual(['log.level']);
});
