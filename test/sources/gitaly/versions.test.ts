/**
 * Each version's page and its samples. The README of the fixtures states which pages are real and which are
 * hand-written.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { limitFamilies } from '../../../src/sources/gitaly/families.ts';
import { limitsOf } from '../../../src/sources/gitaly/limits.ts';
import { gitalyMetrics } from '../../../src/sources/gitaly/metrics.ts';
import { serverUse } from '../../../src/sources/gitaly/server-use.ts';
import {
  adaptiveLimitName,
  countsDrops,
  nativeFamilies,
  praefectPrefix,
  reasonOf,
  rpcOf,
  wantedSamples,
} from '../../../src/sources/gitaly/versions.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { lintMetrics } from '../../support/lint-metrics.ts';
import { fixtures, pageBytes, readText, samplesOfBlock } from './support.ts';

const identity = { namespace: '', pod: '', node: 'gitaly-1' };

const pages = ['written', '19'].flatMap((folder) =>
  readdirSync(join(fixtures, folder))
    .filter((file) => /\.prom(\.gz)?$/.test(file) && !file.includes('praefect'))
    .map((file) => `${folder}/${file.replace(/\.prom(\.gz)?$/, '')}`),
);

describe('each page of Gitaly', () => {
  test.each(pages)('%s', (name) => {
    const page = readText(pageBytes(name));
    const block = {
      families: limitFamilies([limitsOf({ identity, use: serverUse(page.samples), config: undefined })]),
    };
    expect(lintBlock(block, gitalyMetrics)).toEqual([]);
    const text = `${samplesOfBlock(block).join('\n')}\n`;
    const golden = join(fixtures, `${name}.expected`);
    if (process.env['UPDATE_EXPECTED'] === '1' || !existsSync(golden)) writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, 'utf8'));
    expect(page.prefixes).not.toContain(praefectPrefix);
  });

  test.each(['13.5/01-healthy.praefect-1', '14.9/01-healthy.praefect-1', '19/after.praefect-1'])(
    '%s is recognized as a page of Praefect and has no limits',
    (name) => {
      const page = readText(pageBytes(name));
      expect(page.prefixes).toContain(praefectPrefix);
      expect(page.samples.map((sample) => sample.name)).toEqual(['gitlab_build_info']);
    },
  );
});

test('the families are in order of their first version, without duplicates', () => {
  const order = (version: string) =>
    version
      .split('.')
      .map((part) => part.padStart(3, '0'))
      .join('.');
  const first = nativeFamilies.map((each) => order(each.first));
  expect(first).toEqual([...first].sort());
  expect(new Set(nativeFamilies.map(({ family }) => family)).size).toBe(nativeFamilies.length);
  expect(wantedSamples).toContain('gitaly_concurrency_limiting_acquiring_seconds_bucket');
});

test('the metrics pass the lint', () => {
  expect(lintMetrics(gitalyMetrics)).toEqual([]);
});

const labels = (of: Record<string, string>) => new Map(Object.entries(of));

test.each([
  [
    { system: 'gitaly', grpc_service: 'gitaly.X', grpc_method: 'Y' },
    { service: 'gitaly.X', method: 'Y' },
  ],
  [
    { system: 'gitaly.X', grpc_service: 'Y', grpc_method: 'gitaly' },
    { service: 'gitaly.X', method: 'Y' },
  ],
  [
    { grpc_service: 'gitaly.X', grpc_method: 'Y' },
    { service: 'gitaly.X', method: 'Y' },
  ],
  [{ grpc_service: 'gitaly.X' }, undefined],
])('the RPC of %j is parsed', (of, rpc) => {
  expect(rpcOf(labels(of))).toEqual(rpc);
});

test.each([
  ['packObjects', { of: 'pack-objects', unauthenticated: false }],
  ['packObjects-unauthenticated', { of: 'pack-objects', unauthenticated: true }],
  ['perRPC/gitaly.X/Y', { of: { service: 'gitaly.X', method: 'Y' }, unauthenticated: false }],
  ['perRPC/gitaly.X/Y-unauthenticated', { of: { service: 'gitaly.X', method: 'Y' }, unauthenticated: true }],
  ['perRPC/gitaly.X', undefined],
  ['somethingNew', undefined],
  [undefined, undefined],
])('the limit %s is parsed', (name, limit) => {
  expect(adaptiveLimitName(name)).toEqual(limit);
});

test.each([
  ['max_size', 'queue_full'],
  ['max_time', 'queue_wait'],
  ['rate', 'rate'],
  ['other', 'other'],
  ['of_a_later_version', 'other'],
  [undefined, 'other'],
])('the reason %s becomes %s', (native, reason) => {
  expect(reasonOf(native)).toBe(reason);
});

test.each<[string | undefined, string[], boolean]>([
  ['14.7.9', [], false],
  ['14.8.0', [], true],
  ['v15.0.0', [], true],
  ['(devel)', ['gitaly_rate_limiting_queued'], false],
  ['(devel)', ['gitaly_rate_limiting_queued', 'gitaly_requests_dropped_total'], true],
  [undefined, ['gitaly_concurrency_limiting_queued', 'gitlab_build_info'], true],
  [undefined, ['gitlab_build_info'], false],
])('version %s with %j counts drops: %s', (version, names, counts) => {
  expect(countsDrops(version, new Set(names))).toBe(counts);
});

describe('an inconsistent page', () => {
  const use = (text: string) => serverUse(readText(Buffer.from(text)).samples);
  const wait = (rows: string) => use(rows).rpcs[0]?.wait;
  const name = 'gitaly_concurrency_limiting_acquiring_seconds';
  const rpc = 'grpc_service="gitaly.X",grpc_method="Y"';

  test('values that are negative or not finite are ignored', () => {
    expect(
      use(
        `gitaly_concurrency_limiting_queued{${rpc}} NaN\ngitaly_concurrency_limiting_queued{${rpc},x="y"} -5\ngitaly_concurrency_limiting_in_progress{${rpc}} 1\n`,
      ).rpcs,
    ).toMatchObject([{ inProgress: 1, queued: undefined }]);
  });

  test.each([
    [
      'complete',
      `_bucket{${rpc},le="1"} 1\n_bucket{${rpc},le="+Inf"} 2\n_sum{${rpc}} 3\n_count{${rpc}} 2\n`,
      2,
    ],
    [
      'in another order',
      `_count{${rpc}} 2\n_sum{${rpc}} 3\n_bucket{${rpc},le="+Inf"} 2\n_bucket{${rpc},le="1"} 1\n`,
      2,
    ],
    ['without +Inf', `_bucket{${rpc},le="1"} 1\n_sum{${rpc}} 3\n_count{${rpc}} 1\n`, undefined],
    ['without a count', `_bucket{${rpc},le="+Inf"} 2\n_sum{${rpc}} 3\n`, undefined],
    ['with a different count', `_bucket{${rpc},le="+Inf"} 2\n_sum{${rpc}} 3\n_count{${rpc}} 3\n`, undefined],
    [
      'with falling buckets',
      `_bucket{${rpc},le="1"} 3\n_bucket{${rpc},le="+Inf"} 2\n_sum{${rpc}} 3\n_count{${rpc}} 2\n`,
      undefined,
    ],
    [
      'with a bound that is not a number',
      `_bucket{${rpc},le="x"} 1\n_bucket{${rpc},le="+Inf"} 2\n_sum{${rpc}} 3\n_count{${rpc}} 2\n`,
      undefined,
    ],
  ])('a histogram %s', (_, rows, count) => {
    expect(wait(rows.replaceAll(/^_/gm, `${name}_`))?.count).toBe(count);
  });
});
