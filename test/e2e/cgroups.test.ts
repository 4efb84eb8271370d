/**
 * The program on a captured cgroup tree: OOM kills as the kernel reports them, a reload, and cgroups that are
 * removed and return.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ExporterProcess, startExporter } from './exporter-process.ts';
import {
  burstableSlice,
  type ChangingTree,
  changingTree,
  expectPromtoolToPass,
  gitOfGuaranteed,
  guaranteedSlice,
  isReady,
  podsFile,
  type Scrape,
  scrape,
  scrapeUntil,
  success,
} from './servers.ts';

const mebibyte = 2 ** 20;
const first = { namespace: 'gitlab', pod: 'gl-gitaly-default-0', node: 'lab-node-1' };
const second = { ...first, pod: 'gl-gitaly-default-1' };

let folder = '';
let tree: ChangingTree;
let exporter: ExporterProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cgroups-e2e-'));
  tree = changingTree();
  writeFileSync(join(folder, 'pods.json'), podsFile(first.node));
  exporter = await startExporter([
    '--cgroup.enabled',
    `--cgroup.root=${tree.root}`,
    `--cgroup.pods-file=${join(folder, 'pods.json')}`,
    '--web.enable-reload',
  ]);
  await isReady(exporter);
}, 60_000);

afterAll(async () => {
  const code = await exporter?.stop();
  tree?.remove();
  rmSync(folder, { recursive: true, force: true });
  expect(code).toBe(0);
});

const kills = (found: Scrape, level: string, of = first): number | undefined =>
  found.value('gitaly_server_oom_kills_total', { ...of, level });

const namesOf = (found: Scrape): readonly string[] =>
  [...found.names()].filter((name) => /^gitaly_server_(?!check)/.test(name));

const allKills = (found: Scrape): number =>
  [...found.series]
    .filter(([name]) => name.startsWith('gitaly_server_oom_kills_total '))
    .reduce((sum, [, value]) => sum + value, 0);

/** One log line per kill. */
const logged = (): readonly string[] =>
  exporter
    .output()
    .split('\n')
    .filter((line) => line.includes('msg="OOM kill"'));

/** The kills in the API. */
async function killEvents(): Promise<readonly string[]> {
  const { text } = await exporter.get('/api/v1/status');
  const { events } = JSON.parse(text) as { events: readonly { kind: string; message: string }[] };
  return events.filter(({ kind }) => kind === 'oom_kill').map(({ message }) => message);
}

describe('a captured tree with a pods file', () => {
  test('has the values of its files on /metrics, which passes promtool', async () => {
    const found = await scrape(exporter);
    expect(success(found, 'cgroup')).toBe(1);
    expect(success(found, 'cgroup_buckets')).toBe(1);
    expect(found.value('gitaly_exporter_cgroup_gitalys')).toBe(2);
    const infoOf = (pod: typeof first, cgroup_layout: string) =>
      found.value('gitaly_server_info', {
        ...pod,
        cgroup_layout,
        version: 'v18.10.0',
        cgroup_driver: 'systemd',
      });
    expect([infoOf(first, 'sibling'), infoOf(second, 'nested')]).toEqual([1, 1]);
    expect(found.value('gitaly_server_pod_memory_limit_bytes', first)).toBe(300 * mebibyte);
    expect(found.value('gitaly_server_git_memory_limit_bytes', first)).toBe(250 * mebibyte);
    expect(found.value('gitaly_server_git_cpu_limit_cores', first)).toBe(1.5);
    expect(
      found.value('gitaly_server_container_memory_usage_bytes', { ...second, container: 'gitaly' }),
    ).toBe(557056);
    expect(found.value('gitaly_server_buckets', first)).toBe(10);
    expect(found.value('gitaly_server_bucket_memory_limit_bytes', { ...first, bucket: '3' })).toBe(
      100 * mebibyte,
    );
    for (const level of ['bucket', 'git', 'container', 'pod', 'node'])
      expect([kills(found, level), kills(found, level, second)]).toEqual([0, 0]);
    expectPromtoolToPass(found);
  });

  test('has a kill once on /metrics, in the events and in the log, with its level and place', async () => {
    const bucket3 = `${gitOfGuaranteed}/repos-3`;
    tree.kill({ limit: bucket3, victim: bucket3 });
    const own = await scrapeUntil(exporter, 'the kill', (found) => kills(found, 'bucket') === 1);
    expect(own.value('gitaly_server_oom_events_total', { ...first, level: 'bucket' })).toBe(1);
    expect(own.value('gitaly_server_bucket_oom_kills_total', { ...first, bucket: '3' })).toBe(1);

    tree.kill({ limit: guaranteedSlice, victim: `${gitOfGuaranteed}/repos-8` });
    const both = await scrapeUntil(exporter, 'the kill of the pod', (found) => kills(found, 'pod') === 1);
    expect(kills(both, 'bucket')).toBe(1);

    tree.kill({ limit: 'kubepods.slice', victim: `${gitOfGuaranteed}/repos-1` });
    const all = await scrapeUntil(exporter, "the node's kill", (found) => kills(found, 'node') === 1);
    expect(allKills(all)).toBe(3);
    expect(
      all.value('gitaly_server_last_oom_timestamp_seconds', { ...first, level: 'node' }),
    ).toBeGreaterThan(0);

    const lines = [
      /pod=gl-gitaly-default-0 .*oom_level=bucket bucket=3 processes=1 memory.limit=104857600\b/,
      /pod=gl-gitaly-default-0 .*oom_level=pod bucket=8 processes=1 memory.limit=314572800\b/,
      /pod=gl-gitaly-default-0 .*oom_level=node bucket=1 processes=1\b/,
    ];
    expect(logged()).toHaveLength(3);
    for (const [index, line] of lines.entries()) expect(logged()[index]).toMatch(line);
    const texts = [
      /^1 process OOM-killed in .*gl-gitaly-default-0, bucket 3: the bucket's memory limit of 100 MiB /,
      /^1 process OOM-killed in .*gl-gitaly-default-0, bucket 8: the pod's memory limit of 300 MiB /,
      /^1 process OOM-killed in .*gl-gitaly-default-0, bucket 1: the node ran out of memory/,
    ];
    const events = await killEvents();
    expect(events).toHaveLength(3);
    for (const text of texts) expect(events.filter((event) => text.test(event))).toHaveLength(1);
    expectPromtoolToPass(all);
  });

  test('loses no kill and counts none twice at a reload', async () => {
    const before = allKills(await scrape(exporter));
    const reloading = fetch(`${exporter.url}/-/reload`, { method: 'POST' });
    const bucket = `${burstableSlice}/${'cri-containerd-0a1b2c3d4e5f60718293a4b5c6d7e8f90817263544536271f0e1d2c3b4a59687.scope'}/gitaly/gitaly-1/repos-2`;
    tree.kill({ limit: bucket, victim: bucket });
    expect((await reloading).status).toBe(200);
    const after = await scrapeUntil(
      exporter,
      'the kill during the reload',
      (found) => kills(found, 'bucket', second) === 1,
    );
    expect(allKills(after)).toBe(before + 1);
    expect(success(after, 'cgroup')).toBe(1);
    expect(logged()).toHaveLength(4);
  });
});

describe('cgroups that are removed while they are read', () => {
  test('lose their series, and return with the earlier kills; the next kill is counted', async () => {
    tree.vanish();
    const removed = await scrapeUntil(exporter, 'the failure', (found) => success(found, 'cgroup') === 0);
    expect(namesOf(removed).filter((name) => !/_bucket|_git_processes/.test(name))).toEqual([]);
    // Buckets are read every 15 s.
    const allRemoved = await scrapeUntil(
      exporter,
      'the failure of buckets',
      (found) => success(found, 'cgroup_buckets') === 0,
    );
    expect(namesOf(allRemoved)).toEqual([]);
    expect(allRemoved.value('gitaly_exporter_cgroup_gitalys')).toBeUndefined();
    const { text } = await exporter.get('/api/v1/status');
    expect(text).toContain(`cgroup.root ${tree.root} does not exist`);

    tree.restore();
    const back = await scrapeUntil(exporter, 'the tree', (found) => success(found, 'cgroup') === 1);
    expect(back.value('gitaly_server_pod_memory_limit_bytes', first)).toBe(300 * mebibyte);
    expect(allKills(back)).toBe(4);
    const bucket = `${gitOfGuaranteed}/repos-3`;
    tree.kill({ limit: bucket, victim: bucket });
    const again = await scrapeUntil(exporter, 'one more kill', (found) => kills(found, 'bucket') === 2);
    expect(allKills(again)).toBe(5);
    expect(logged()).toHaveLength(5);
    expectPromtoolToPass(allRemoved, again);
  }, 60_000);
});
