/**
 * The real program on a recorded Kubernetes API and a captured cgroup tree: a cluster's exporter and an agent side by
 * side, one exporter for both, and an API server that dies.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ExporterProcess, startExporter } from './exporter-process.ts';
import {
  apiToken,
  type Cluster,
  expectPromtoolToPass,
  gitOfGuaranteed,
  isOwn,
  isReady,
  type LivingTree,
  livingTree,
  type Scrape,
  scrape,
  scrapeUntil,
  startCluster,
  success,
} from './servers.ts';

let folder = '';
let tree: LivingTree;
let cluster: Cluster;
let inCluster: ExporterProcess;
let agent: ExporterProcess;
let all: ExporterProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kubernetes-e2e-'));
  tree = livingTree();
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

/** The first scrape in which every enabled collector succeeded: each read all it can. */
const whole = (exporter: ExporterProcess): Promise<Scrape> =>
  scrapeUntil(exporter, 'every collector to succeed', (found) =>
    [...found.series]
      .filter(([name]) => name.startsWith('gitaly_exporter_collector_success '))
      .every(([, value]) => value === 1),
  );

describe('roles', () => {
  test('cluster and agent tell no series both, and together no less than one that does everything', async () => {
    const ofCluster = await whole(inCluster);
    const ofAgent = await whole(agent);
    const ofAll = await whole(all);
    const [byCluster, byAgent, byAll] = [ofServers(ofCluster), ofServers(ofAgent), ofServers(ofAll)];
    expect([...byCluster].filter((series) => byAgent.has(series))).toEqual([]);

    const told = new Set([...byCluster, ...byAgent]);
    expect([...told].filter((series) => !byAll.has(series))).toEqual([]);
    // It holds a file of the node against a ConfigMap, and an agent has no right to read those: unknown there.
    const byBothTogether = /^gitaly_server_check_passed \[\["check","git_limit_as_configured"\]/;
    expect([...byAll].filter((series) => !told.has(series) && !byBothTogether.test(series))).toEqual([]);
    expect(ofAgent.value('gitaly_server_checks_unknown', { check: 'git_limit_as_configured' })).toBe(2);
    expect(byAgent.size).toBeGreaterThan(300);
    expect(byCluster.size).toBeGreaterThan(100);
    expectPromtoolToPass(ofCluster, ofAgent, ofAll);
  }, 60_000);

  test('an agent names its pods as the cluster does, and kills among them', async () => {
    const pod = { namespace: 'gitlab', pod: 'gl-gitaly-default-0', node: cluster.node };
    expect((await whole(inCluster)).value('gitaly_server_pod_ready', pod)).toBe(1);
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

describe('an API server that dies', () => {
  const restsOnPods = [
    'gitaly_server_pod_ready',
    'gitaly_server_pod_phase',
    'gitaly_server_statefulset_replicas',
    'gitaly_server_disruptions_allowed',
    'gitaly_server_node_ready',
  ];

  test('takes with it what rests on it, after kubernetes.stale-after; a reload does not bring it back, the server does', async () => {
    const before = await whole(inCluster);
    for (const name of restsOnPods) expect(before.names()).toContain(name);

    await cluster.api.stop();
    // Each resource goes when it was not heard for that long itself.
    const [gone, goneToo] = await Promise.all(
      [inCluster, all].map((exporter) =>
        scrapeUntil(exporter, 'what rests on the API to go', ({ names }) =>
          restsOnPods.every((name) => !names().has(name)),
        ),
      ),
    );
    if (gone === undefined || goneToo === undefined) throw new Error('none');
    for (const found of [gone, goneToo]) {
      const names = found.names();
      expect(success(found, 'kubernetes')).toBe(0);
      expect([...names].filter((name) => name.startsWith('gitaly_server_pod_rotation'))).toEqual([]);
      expect(found.value('gitaly_exporter_kubernetes_watch_current', { resource: 'pods' })).toBe(0);
      expectPromtoolToPass(found);
    }
    // What stands in files of the node is told on, under the names that were known, and that they may be old is said.
    const here = await scrapeUntil(agent, 'the agent to say so', (found) => success(found, 'cgroup') === 0);
    const pod = { namespace: 'gitlab', pod: 'gl-gitaly-default-0', node: cluster.node };
    expect(here.value('gitaly_server_pod_memory_usage_bytes', pod)).toBeGreaterThan(0);
    expect(here.value('gitaly_server_oom_kills_total', { ...pod, level: 'git' })).toBe(1);

    const reloaded = await fetch(`${inCluster.url}/-/reload`, { method: 'POST' });
    expect(reloaded.status).toBe(200);
    const still = await scrape(inCluster);
    expect(restsOnPods.filter((name) => still.names().has(name))).toEqual([]);
    expect(success(still, 'kubernetes')).toBe(0);

    await cluster.api.start();
    for (const exporter of [inCluster, agent, all]) {
      const back = await whole(exporter);
      if (exporter !== agent) for (const name of restsOnPods) expect(back.names()).toContain(name);
      const said = [
        exporter.output(),
        back.text,
        (await exporter.get('/')).text,
        (await exporter.get('/api/v1/status')).text,
      ];
      expect(said.join('\n')).not.toContain(apiToken);
    }
  }, 90_000);
});
