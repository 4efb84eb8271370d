/**
 * The real process with a recorded Kubernetes API and a captured cgroup tree: an exporter of role cluster next to
 * an agent, one of role all, and an API server that stops.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ExporterProcess, startExporter } from './exporter-process.ts';
import {
  apiToken,
  type ChangingTree,
  type Cluster,
  changingTree,
  expectPromtoolToPass,
  gitOfGuaranteed,
  isOwn,
  isReady,
  type Scrape,
  scrape,
  scrapeUntil,
  startCluster,
  success,
} from './servers.ts';

let folder = '';
let tree: ChangingTree;
let cluster: Cluster;
let inCluster: ExporterProcess;
let agent: ExporterProcess;
let all: ExporterProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kubernetes-e2e-'));
  tree = changingTree();
  cluster = await startCluster();
  writeFileSync(join(folder, 'kubeconfig'), cluster.kubeconfig);
  [inCluster, agent, all] = await Promise.all([
    start('--kubernetes.role=cluster'),
    start('--kubernetes.role=agent', ...cgroups()),
    start('--kubernetes.role=all', ...cgroups()),
  ]);
}, 90_000);

afterAll(async () => {
  const codes = await Promise.all([inCluster, agent, all].map((exporter) => exporter?.stop()));
  await cluster?.close();
  tree?.remove();
  rmSync(folder, { recursive: true, force: true });
  expect(codes).toEqual([0, 0, 0]);
});

async function start(...args: readonly string[]): Promise<ExporterProcess> {
  const exporter = await startExporter([
    '--kubernetes.enabled',
    `--kubernetes.kubeconfig=${join(folder, 'kubeconfig')}`,
    `--kubernetes.node=${cluster.node}`,
    '--kubernetes.stale-after=10s',
    '--maintenance.window=weekly=0 2 * * 6 for 4h in Europe/Berlin',
    '--web.enable-reload',
    ...args,
  ]);
  await isReady(exporter);
  return exporter;
}

const cgroups = (): readonly string[] => ['--cgroup.enabled', `--cgroup.root=${tree.root}`];

const ofServers = ({ series }: Scrape): ReadonlySet<string> =>
  new Set(
    [...series.keys()].filter((name) => !isOwn(name) || name.startsWith('gitaly_exporter_maintenance')),
  );

/** The first scrape in which every enabled collector has succeeded. */
const completeScrape = (exporter: ExporterProcess): Promise<Scrape> =>
  scrapeUntil(exporter, 'every collector to succeed', (found) =>
    [...found.series]
      .filter(([name]) => name.startsWith('gitaly_exporter_collector_success '))
      .every(([, value]) => value === 1),
  );

describe('roles', () => {
  test('cluster and agent have no series in common, and together the same series as role all', async () => {
    const ofCluster = await completeScrape(inCluster);
    const ofAgent = await completeScrape(agent);
    const ofAll = await completeScrape(all);
    const [byCluster, byAgent, byAll] = [ofServers(ofCluster), ofServers(ofAgent), ofServers(ofAll)];
    expect([...byCluster].filter((series) => byAgent.has(series))).toEqual([]);

    const byEither = new Set([...byCluster, ...byAgent]);
    expect([...byEither].filter((series) => !byAll.has(series))).toEqual([]);
    // This check compares a file of the node with a ConfigMap, which an agent may not read: unknown there.
    const needsBoth = /^gitaly_server_check_passed \[\["check","git_limit_as_configured"\]/;
    expect([...byAll].filter((series) => !byEither.has(series) && !needsBoth.test(series))).toEqual([]);
    expect(ofAgent.value('gitaly_server_checks_unknown', { check: 'git_limit_as_configured' })).toBe(2);
    expect(byAgent.size).toBeGreaterThan(300);
    expect(byCluster.size).toBeGreaterThan(100);
    expectPromtoolToPass(ofCluster, ofAgent, ofAll);
  }, 60_000);

  test('an agent identifies pods as role cluster does, also in OOM kills', async () => {
    const pod = { namespace: 'gitlab', pod: 'gl-gitaly-default-0', node: cluster.node };
    expect((await completeScrape(inCluster)).value('gitaly_server_pod_ready', pod)).toBe(1);
    tree.kill({ limit: gitOfGuaranteed, victim: `${gitOfGuaranteed}/repos-2` });
    const found = await scrapeUntil(
      agent,
      'the kill',
      ({ value }) => value('gitaly_server_oom_kills_total', { ...pod, level: 'git' }) === 1,
    );
    expect(found.value('gitaly_server_bucket_oom_kills_total', { ...pod, bucket: '2' })).toBe(1);
    expect((await scrape(inCluster)).value('gitaly_server_oom_kills_total', { ...pod, level: 'git' })).toBe(
      undefined,
    );
  });
});

describe('an API server that stops', () => {
  const dependsOnApi = [
    'gitaly_server_pod_ready',
    'gitaly_server_pod_phase',
    'gitaly_server_statefulset_replicas',
    'gitaly_server_disruptions_allowed',
    'gitaly_server_node_ready',
  ];

  test('makes the series that depend on it absent after kubernetes.stale-after, until it is started again, also after a reload', async () => {
    const before = await completeScrape(inCluster);
    for (const name of dependsOnApi) expect(before.names()).toContain(name);

    await cluster.api.stop();
    // Each resource becomes stale separately.
    const [staleCluster, staleAll] = await Promise.all(
      [inCluster, all].map((exporter) =>
        scrapeUntil(exporter, 'the metrics of the API to be absent', ({ names }) =>
          dependsOnApi.every((name) => !names().has(name)),
        ),
      ),
    );
    if (staleCluster === undefined || staleAll === undefined) throw new Error('none');
    for (const found of [staleCluster, staleAll]) {
      const names = found.names();
      expect(success(found, 'kubernetes')).toBe(0);
      expect([...names].filter((name) => name.startsWith('gitaly_server_pod_rotation'))).toEqual([]);
      expect(found.value('gitaly_exporter_kubernetes_watch_current', { resource: 'pods' })).toBe(0);
      expectPromtoolToPass(found);
    }
    // The agent still reports the files of the node, with the known names of pods and a hint that these may be
    // outdated.
    const ofAgent = await scrapeUntil(
      agent,
      'the agent to report it',
      (found) => success(found, 'cgroup') === 0,
    );
    const pod = { namespace: 'gitlab', pod: 'gl-gitaly-default-0', node: cluster.node };
    expect(ofAgent.value('gitaly_server_pod_memory_usage_bytes', pod)).toBeGreaterThan(0);
    expect(ofAgent.value('gitaly_server_oom_kills_total', { ...pod, level: 'git' })).toBe(1);

    const reloaded = await fetch(`${inCluster.url}/-/reload`, { method: 'POST' });
    expect(reloaded.status).toBe(200);
    const afterReload = await scrape(inCluster);
    expect(dependsOnApi.filter((name) => afterReload.names().has(name))).toEqual([]);
    expect(success(afterReload, 'kubernetes')).toBe(0);

    await cluster.api.start();
    for (const exporter of [inCluster, agent, all]) {
      const recovered = await completeScrape(exporter);
      if (exporter !== agent) for (const name of dependsOnApi) expect(recovered.names()).toContain(name);
      const outputs = [
        exporter.output(),
        recovered.text,
        (await exporter.get('/')).text,
        (await exporter.get('/api/v1/status')).text,
      ];
      expect(outputs.join('\n')).not.toContain(apiToken);
    }
  }, 90_000);
});
