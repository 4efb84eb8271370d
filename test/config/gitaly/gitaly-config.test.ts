/** Gitaly's config.toml of each version, its problems, and the chart's template. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type GitalyConfig, parseGitalyConfig } from '../../../src/config/gitaly/gitaly-config.ts';
import { parseGoDuration } from '../../../src/config/go-duration.ts';
import { problemText } from '../../../src/config/problem.ts';
import { templateToml, templateValue } from '../../../src/config/toml/template.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/gitaly/configs/${name}`, import.meta.url), 'utf8');

function parsed(text: string): GitalyConfig {
  const config = parseGitalyConfig(text, 'config.toml');
  if (!config.ok) throw new Error(config.problems.map(problemText).join('\n'));
  return config.value;
}

const problems = (text: string): readonly string[] => {
  const config = parseGitalyConfig(text, 'config.toml');
  return (config.ok ? config.value.problems : config.problems).map(problemText);
};

const nothing = { limit: undefined, queueSize: undefined, queueWaitSeconds: undefined };

describe('the configuration of each version', () => {
  test('13.5 has limits per repository, and cgroups in their old form', () => {
    const config = parsed(fixture('linux-package-13.5.toml'));
    expect(config.storages).toEqual(['default']);
    expect(config.rpcs).toEqual([
      {
        ...{ service: 'gitaly.SmartHTTPService', method: 'PostReceivePack' },
        ...{ ...nothing, limit: { kind: 'static', current: 3 }, unauthenticated: nothing },
      },
      {
        ...{ service: 'gitaly.SSHService', method: 'SSHUploadPack' },
        ...{ ...nothing, limit: { kind: 'static', current: 5 }, unauthenticated: nothing },
      },
    ]);
    expect(config.packObjects).toEqual({ ...nothing, unauthenticated: nothing, isSet: false });
    expect(config.cgroups).toEqual({
      mountpoint: '/sys/fs/cgroup',
      hierarchyRoot: 'gitaly',
      ...{ memoryBytes: undefined, cpuShares: undefined, cpuQuotaUs: undefined },
      repositories: {
        ...{ count: 10, memoryBytes: 1_048_576, cpuShares: undefined, cpuQuotaUs: undefined },
        maxCgroupsPerRepo: 1,
      },
    });
  });

  test('15 has queues and rate limits, and 0 means no limit', () => {
    const config = parsed(fixture('linux-package-15.toml'));
    expect(config.rpcs[0]).toMatchObject({ queueSize: 10, queueWaitSeconds: 60 });
    expect(config.rateLimits).toEqual([
      {
        ...{ service: 'gitaly.SmartHTTPService', method: 'PostUploadPackWithSidechannel' },
        ...{ burst: 5, intervalSeconds: 60 },
      },
    ]);
    expect(config.packObjects).toMatchObject({ limit: undefined, queueWaitSeconds: 60, isSet: true });
    expect(config.packObjectsCache).toBe(false);
  });

  test('18 has adaptive limits, and limits for unauthenticated calls', () => {
    const config = parsed(fixture('linux-package-18.toml'));
    expect(config.packObjectsCache).toBe(true);
    expect(config.packObjects).toEqual({
      ...{ limit: { kind: 'static', current: 15 }, queueSize: 20, queueWaitSeconds: 30, isSet: true },
      unauthenticated: { ...nothing, limit: { kind: 'adaptive', min: 1, initial: 2, max: 3 } },
    });
    expect(config.rpcs).toEqual([
      {
        ...{ service: 'gitaly.RepositoryService', method: 'GetArchive' },
        ...{ ...nothing, limit: { kind: 'static', current: 4 }, unauthenticated: nothing },
      },
      {
        ...{ service: 'gitaly.SSHService', method: 'SSHUploadPackWithSidechannel' },
        limit: { kind: 'adaptive', min: 5, initial: 20, max: 40 },
        ...{ queueSize: 50, queueWaitSeconds: 90 },
        unauthenticated: { ...nothing, limit: { kind: 'static', current: 2 }, queueSize: 3 },
      },
    ]);
    expect(config.cgroups).toEqual({
      mountpoint: '/sys/fs/cgroup',
      hierarchyRoot: 'gitaly',
      ...{ memoryBytes: 64_424_509_440, cpuShares: 1024, cpuQuotaUs: 400_000 },
      repositories: {
        ...{ count: 1000, memoryBytes: 32_212_254_720, cpuShares: 512, cpuQuotaUs: undefined },
        maxCgroupsPerRepo: 2,
      },
    });
  });

  test("the chart's template from a real ConfigMap is read", () => {
    const config = parsed(fixture('chart-limits.toml.tpl'));
    expect(config.storages).toEqual([templateValue]);
    expect(config.rpcs).toEqual([
      {
        ...{ service: 'gitaly.SmartHTTPService', method: 'PostUploadPackWithSidechannel' },
        ...{ limit: { kind: 'static', current: 20 }, queueSize: 100, queueWaitSeconds: 60 },
        unauthenticated: nothing,
      },
      {
        ...{ service: 'gitaly.SSHService', method: 'SSHUploadPackWithSidechannel' },
        ...{
          ...nothing,
          limit: { kind: 'adaptive', min: 5, initial: 20, max: 40 },
          unauthenticated: nothing,
        },
      },
    ]);
    expect(config.cgroups).toMatchObject({
      mountpoint: templateValue,
      memoryBytes: 8_589_934_592,
      repositories: { count: 100, memoryBytes: 4_294_967_296, maxCgroupsPerRepo: 2 },
    });
    expect(parsed(fixture('chart-defaults.toml.tpl')).rpcs).toEqual([]);
  });

  test("the chart's concurrency, which is JSON in a template action, is read", () => {
    const action = (json: string) =>
      `[hooks]\n{% \`${json}\` | data.JSON | data.ToTOML | strings.TrimSpace %}\n[cgroups]\nmemory_bytes = 5\n`;
    const config = parsed(
      action(
        '{"concurrency":[{"rpc":"/gitaly.SSHService/SSHUploadPack","max_per_repo":20,"max_queue_wait":"60s"},{"rpc":"/gitaly.SmartHTTPService/PostUploadPack","adaptive":true,"min_limit":5,"initial_limit":20,"max_limit":40}]}',
      ),
    );
    expect(config.rpcs).toMatchObject([
      { method: 'SSHUploadPack', limit: { kind: 'static', current: 20 }, queueWaitSeconds: 60 },
      { method: 'PostUploadPack', limit: { kind: 'adaptive', min: 5, initial: 20, max: 40 } },
    ]);
    expect(config.cgroups.memoryBytes).toBe(5);
    // Values that are not a table or not JSON are ignored, like other actions.
    expect(parsed(action('{"bin_dir":"/x"}')).cgroups.memoryBytes).toBe(5);
    expect(parsed(action('{"concurrency":')).rpcs).toEqual([]);
  });

  test('the last of two entries of one RPC counts, as in Gitaly', () => {
    const entry = (limit: number) => `[[concurrency]]\nrpc = "/a.B/C"\nmax_per_repo = ${limit}\n`;
    expect(parsed(entry(1) + entry(2)).rpcs).toMatchObject([{ limit: { kind: 'static', current: 2 } }]);
  });
});

describe('a problem names its line and key, and quotes nothing else from the file', () => {
  test.each<[string, string[]]>([
    [
      '[[concurrency]]\nmax_per_repo = 1\n',
      ['config.toml:1: concurrency.rpc: expected an RPC with its service'],
    ],
    [
      '[[concurrency]]\nrpc = "SENTINEL"\n',
      ['config.toml:2: concurrency.rpc: expected an RPC with its service'],
    ],
    ['[[concurrency]]\nrpc = ""\n', ['config.toml:2: concurrency.rpc: expected an RPC with its service']],
    ['[[concurrency]]\nrpc = 5\n', ['config.toml:2: concurrency.rpc: expected a quoted string']],
    [
      '[[concurrency]]\nrpc = "/a.B/C"\nmax_per_repo = "SENTINEL"\n\n[[concurrency]]\nrpc = "/a.B/D"\nmax_queue_wait = "SENTINEL"\n',
      [
        'config.toml:3: concurrency.max_per_repo: expected an unquoted integer',
        'config.toml:7: concurrency.max_queue_wait: expected a duration such as "1m30s"',
      ],
    ],
    [
      '[[concurrency]]\nrpc = "/a.B/C"\nadaptive = true\nmin_limit = 5\nmax_limit = 4\ninitial_limit = 5\n',
      ['config.toml:3: concurrency.adaptive: needs min_limit, initial_limit and max_limit'],
    ],
    [
      '[[concurrency]]\nrpc = "/a.B/C"\nadaptive = "true"\n',
      ['config.toml:3: concurrency.adaptive: expected an unquoted true or false'],
    ],
    [
      '[[concurrency]]\nrpc = "/a.B/C"\nmax_per_repo = 1\n[[concurrency]]\nrpc = "/a.B/D"\nmax_per_repo = 1\n[concurrency.unauthenticated]\nmax_per_repo = "x"\n',
      ['config.toml:8: concurrency.unauthenticated.max_per_repo: expected an unquoted integer'],
    ],
    [
      '[concurrency]\nrpc = "/a.B/C"\n',
      ['config.toml:1: concurrency: expected an array of tables ([[...]])'],
    ],
    ['[[pack_objects_limiting]]\n', ['config.toml:1: pack_objects_limiting: expected a table']],
    [
      '[cgroups]\nmemory_bytes = "8GiB"\n',
      ['config.toml:2: cgroups.memory_bytes: expected an unquoted integer'],
    ],
    ['[auth]\ntoken = SENTINEL\n', ['config.toml:2: invalid TOML: ']],
    ['[auth]\ntoken = "SENTINEL\n', ['config.toml:2: invalid TOML: ']],
    ['a = <%= SENTINEL %>\n', ["config.toml:1: this is a template of Gitaly's configuration"]],
  ])('%j', (text, expected) => {
    const found = problems(text);
    expect(found).toEqual(expected.map((line) => expect.stringContaining(line)));
    expect(found.join()).not.toContain('SENTINEL');
  });

  test('a limit that the template fills in is a problem', () => {
    expect(
      problems(
        '{% if true %}\n[[concurrency]]\nrpc = "/a.B/C"\nmax_per_repo = {% .Env.LIMIT %}\n{% end %}\n',
      ),
    ).toEqual([
      'config.toml:4: concurrency.max_per_repo: is filled in when Gitaly starts, so it is not known from the template',
    ]);
  });

  test('arbitrary text gives a configuration or problems, and nothing is thrown', () => {
    const piece = fc.constantFrom(
      ...[
        '[[concurrency]]\n',
        '[cgroups]\n',
        '[concurrency.unauthenticated]\n',
        'rpc = "/a.B/C"\n',
        'adaptive = true\n',
      ],
      ...[
        'max_per_repo = ',
        '1',
        '-1',
        '"',
        "'",
        '"""',
        '\n',
        '{%',
        '%}',
        '#',
        '\\',
        'unauthenticated = [{}]\n',
        '=',
        '{',
        '}',
      ],
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(piece).map((all) => all.join('')),
          fc.string(),
        ),
        (text) => {
          const config = parseGitalyConfig(text, 'x');
          expect(config.ok || config.problems.length > 0).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('a template becomes TOML with the same lines', () => {
  const word = templateValue;
  test.each([
    ['{% if x %}\na = 1\n{% end %}\n', '\na = 1\n\n'],
    ['a = {% .x %}\n', `a = "${word}"\n`],
    ['a = [1, {% .x %}]\n', `a = [1, "${word}"]\n`],
    ['a = "{% .x %}"\n', `a = "${word}"\n`],
    ['a = "x{% file.Read "/a" | y "}" %}z" # "\n', `a = "x${word}z" \n`],
    ["a = 'it''s {% .x %}'\n", `a = 'it''s ${word}'\n`],
    ['a = "%}" {% printf "%}\\"" %}\n', 'a = "%}" \n'],
    ['# don\'t {% "\na = 1\n', '\na = 1\n'],
    ['{%/* a\nb */%}\na = 1\n', '\n\na = 1\n'],
    ['a = """x\n{% .x %} "y"\n"""\nb = {% .y %}', `a = """x\n${word} "y"\n"""\nb = "${word}"`],
    ['a = "\\"{% .x %}"\n', `a = "\\"${word}"\n`],
    ['a = {% .x\n', 'a = {% .x\n'],
    ['a = `{% `%}` %}', `a = \``],
  ])('%j', (template, toml) => {
    expect(templateToml(template)).toBe(toml);
  });
});

test.each([
  ['1m30s', 90],
  ['1.5h', 5400],
  ['500ms', 0.5],
  ['2us', 2e-6],
  ['-1s', -1],
  ['0', 0],
  ['', undefined],
  ['5', undefined],
  ['1 s', undefined],
  ['1d', undefined],
  ['s', undefined],
])('the duration %j', (text, seconds) => {
  expect(parseGoDuration(text)).toBe(seconds);
});
