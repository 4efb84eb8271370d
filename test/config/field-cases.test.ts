/**
 * Configurations found in the field: what Gitaly and Praefect accept is accepted, and a part of a file is never
 * treated as the whole.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { type GitalyConfig, parseGitalyConfig } from '../../src/config/gitaly/gitaly-config.ts';
import { loadSettings } from '../../src/config/load.ts';
import { resolvePraefect } from '../../src/config/praefect/resolve.ts';
import { problemText } from '../../src/config/problem.ts';
import { limitsOf } from '../../src/sources/gitaly/limits.ts';
import { memorySystem } from './memory-system.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/field-cases/toml/${name}.toml`, import.meta.url), 'utf8');

function gitaly(name: string): GitalyConfig {
  const parsed = parseGitalyConfig(fixture(name), 'config.toml');
  if (!parsed.ok) throw new Error(parsed.problems.map(problemText).join('\n'));
  return parsed.value;
}

const packObjects = (config: GitalyConfig, version: string) =>
  limitsOf({
    identity: { node: '', namespace: '', pod: '' },
    use: {
      version,
      rpcs: [],
      packObjects: undefined,
      backoffs: new Map(),
    } as unknown as NonNullable<Parameters<typeof limitsOf>[0]['use']>,
    config,
  }).packObjects.configured;

describe("Gitaly's config.toml", () => {
  test('a duration may be a bare 0, or nanoseconds', () => {
    const config = gitaly('queue-zero');
    expect(config.problems).toEqual([]);
    expect(config.rpcs).toMatchObject([
      {
        method: 'SSHUploadPackWithSidechannel',
        limit: { kind: 'static', current: 20 },
        queueWaitSeconds: undefined,
      },
    ]);
    expect(config.cgroups).toMatchObject({ memoryBytes: 8 * 2 ** 30, repositories: { count: 100 } });
    const text = '[[concurrency]]\nrpc = "/a.B/C"\nmax_per_repo = 1\nmax_queue_wait = 30000000000\n';
    const parsed = parseGitalyConfig(text, 'x');
    expect(parsed.ok && parsed.value.rpcs[0]?.queueWaitSeconds).toBe(30);
  });

  test('an adaptive limit needs no min_limit', () => {
    const config = gitaly('pack-min-omitted');
    expect(config.problems).toEqual([]);
    expect(config.packObjects.limit).toEqual({ kind: 'adaptive', min: 0, max: 20, initial: 10 });
    expect(config.cgroups.repositories.count).toBe(100);
  });

  test('one RPC without its leading slash is reported, and the rest is used', () => {
    const config = gitaly('odd-rpc');
    expect(config.problems.map(problemText)).toEqual([
      expect.stringMatching(/^config\.toml:\d+: concurrency\.rpc: expected an RPC with its service/),
    ]);
    expect(config.rpcs.map(({ method }) => method)).toEqual(['SSHUploadPackWithSidechannel']);
    expect(config.cgroups).toMatchObject({ memoryBytes: 8 * 2 ** 30, repositories: { count: 100 } });
  });

  test("with adaptive limiting off, pack-objects have Gitaly's static default from 16.1 on", () => {
    const config = gitaly('adaptive-off');
    expect(packObjects(config, '17.5.0')).toEqual({ kind: 'static', current: 200 });
    expect(packObjects(config, '15.11.0')).toBe(undefined);
  });

  test('settings that config_command may add are unknown, not unset', () => {
    const config = gitaly('config-command-gitaly');
    expect(config.incomplete).toMatch(/the output of its config_command adds to this file/);
    expect(config.storages).toEqual(['default']);
    expect(packObjects({ ...config, packObjectsCache: true }, '17.5.0')).toBe(undefined);
  });
});

describe("Praefect's config.toml", () => {
  const resolved = async (name: string, flags: readonly string[] = [], env: Record<string, string> = {}) => {
    const system = memorySystem({ '/p.toml': fixture(name) }, env);
    const loaded = await loadSettings(['--praefect.config-file=/p.toml', ...flags], system);
    return resolvePraefect(loaded.settings, loaded.origins, system);
  };
  const url = '--praefect.database.url=postgres://u@db/praefect?sslmode=disable';

  test('a verification interval of 0 disables verification', async () => {
    const found = await resolved('praefect-zero');
    expect(found.ok && found.value).toMatchObject({
      database: { host: '127.0.0.1', database: 'praefect_production' },
      config: { verificationIntervalSeconds: 0 },
      problems: [],
      configuredStorages: [{ name: 'default', storages: ['gitaly-1'] }],
    });
  });

  test('an incomplete [database] gives no address: the message names the fix, and no local socket is tried', async () => {
    const found = await resolved('praefect-part');
    expect(found.ok ? [] : found.problems.map(problemText)).toEqual([
      '/p.toml: [database] has no host, and the output of config_command adds to this file: set praefect.database.url',
    ]);
    const withUrl = await resolved('praefect-part', [url]);
    // The storages of an incomplete file are not the complete list.
    expect(withUrl.ok && withUrl.value).toMatchObject({
      database: { host: 'db' },
      configuredStorages: undefined,
    });
    const withVariable = await resolved('praefect-part', [], { PGHOST: 'db' });
    expect(withVariable.ok && withVariable.value.database?.host).toBe('db');
  });

  test('without [database] the message names the file and the fix', async () => {
    const found = await resolved('praefect');
    expect(found.ok && found.value.databaseText).toBe(
      "Praefect's database is not monitored: /p.toml is not all of Praefect's configuration: the output of its config_command adds to this file, which has no [database]: set praefect.database.url",
    );
  });
});

test('a megabyte of invalid entries is read in seconds, and the first problems are reported', () => {
  const text = '[[concurrency]]\nrpc = "x"\n'.repeat(40_000);
  const started = performance.now();
  const parsed = parseGitalyConfig(text, 'x');
  expect(parsed.ok && parsed.value.problems.length).toBe(100);
  expect(performance.now() - started).toBeLessThan(10_000);
});

test('values nested without limit are invalid TOML, without a stack overflow', () => {
  const parsed = parseGitalyConfig(`a = ${'['.repeat(100_000)}`, 'x');
  expect(parsed.ok ? [] : parsed.problems.map(problemText)).toEqual([
    expect.stringContaining('invalid TOML'),
  ]);
});
