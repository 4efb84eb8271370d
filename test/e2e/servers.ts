/**
 * Shared by the tests of Gitaly servers: a captured cgroup tree in which OOM kills occur, and a cluster with
 * its pods.
 */
import { closeSync, cpSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { expect } from '@jest/globals';
import { type ParsedSample, parseExposition } from '../metrics/parse-exposition.ts';
import { promtoolCheckMetrics } from '../metrics/promtool.ts';
import { burstableUid, type CapturedTree, capturedTree, guaranteedUid } from '../support/cgroup-fixtures.ts';
import { type RawObject, startKubeApi, type TestKubeApi } from '../support/kube-api.ts';
import { archive } from '../support/kubernetes-archive.ts';
import { hasTool } from '../support/tools.ts';
import { type ExporterProcess, until } from './exporter-process.ts';

/** The captured pods: their slices, and below them the parent of all Git processes. */
export const guaranteedSlice = `kubepods.slice/kubepods-pod${guaranteedUid.replaceAll('-', '_')}.slice`;
export const burstableSlice = `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${burstableUid.replaceAll('-', '_')}.slice`;
export const gitOfGuaranteed = `${guaranteedSlice}/gitaly/gitaly-1`;

const gitalyContainerIds = {
  [guaranteedUid]: '5c1e0f6ab3d84792e6f1a0c2b4d6e8f0a1c3e5f7092b4d6f8a0c2e4f6b8d0a1c',
  [burstableUid]: '0a1b2c3d4e5f60718293a4b5c6d7e8f90817263544536271f0e1d2c3b4a59687',
} as const;

export interface ChangingTree extends CapturedTree {
  /**
   * Counts an OOM kill as the captured kernels did (test/fixtures/cgroup/README.md): `oom` at the cgroup that
   * reached its limit, then `oom_kill` at the cgroup of the victim, each there in memory.events.local, and in
   * memory.events up to the root.
   */
  kill(of: { readonly limit: string; readonly victim: string }): void;
  /** Removes the tree, as an unmount does. */
  vanish(): void;
  /** Restores the tree as it was captured, with counters at 0. */
  restore(): void;
}

export function changingTree(): ChangingTree {
  const tree = capturedTree('6.12', 'before');
  const spare = capturedTree('6.12', 'before');
  const { root } = tree;

  /** In place, in one write: like the kernel's files, a reader finds the old text or the new one. */
  function raise(path: string, file: string, key: 'oom' | 'oom_kill'): void {
    const place = join(root, path, file);
    const text = readFileSync(place, 'utf8');
    const line = new RegExp(`^${key} (\\d+)$`, 'm');
    expect(text).toMatch(line);
    const descriptor = openSync(place, 'r+');
    writeSync(
      descriptor,
      text.replace(line, (_, value) => `${key} ${Number(value) + 1}`),
      0,
    );
    closeSync(descriptor);
  }
  function count(path: string, key: 'oom' | 'oom_kill'): void {
    raise(path, 'memory.events.local', key);
    for (let at = path; at !== '.'; at = dirname(at)) raise(at, 'memory.events', key);
  }

  return {
    root,
    kill({ limit, victim }) {
      count(limit, 'oom');
      count(victim, 'oom_kill');
    },
    // In one step, as an unmount: no kernel removes a file before its directory.
    vanish() {
      renameSync(root, `${root}.gone`);
      rmSync(`${root}.gone`, { recursive: true });
    },
    restore() {
      cpSync(spare.root, `${root}.new`, { recursive: true });
      renameSync(`${root}.new`, root);
    },
    remove() {
      tree.remove();
      spare.remove();
    },
  };
}

/** The two captured pods in the output of `kubectl get pods -o json`, on the node. */
export const podsFile = (node: string): string =>
  JSON.stringify({ kind: 'List', items: capturedPods(node, undefined) });

/** Two Gitaly pods of a recorded cluster, with the identity of those whose cgroups were captured. */
function capturedPods(node: string, metricsPort: number | undefined): readonly RawObject[] {
  const recorded = archive('posture-good').items('at-rest/pods.json') as readonly RawPod[];
  const uids = [guaranteedUid, burstableUid] as const;
  return uids.map((uid, index) => {
    const pod = recorded.find(({ metadata }) => metadata.name === `gl-gitaly-default-${index}`);
    if (pod === undefined) throw new Error('the recorded cluster has other pods by now');
    const { metadata, spec, status } = structuredClone(pod);
    const [container] = spec.containers;
    const [containerStatus] = status.containerStatuses;
    if (container === undefined || containerStatus === undefined) throw new Error('without containers');
    containerStatus.containerID = `containerd://${gitalyContainerIds[uid]}`;
    for (const port of container.ports)
      if (port.name === 'http-metrics' && metricsPort !== undefined) port.containerPort = metricsPort;
    return {
      kind: 'Pod',
      metadata: { ...metadata, uid },
      spec: { ...spec, nodeName: node },
      status: {
        ...status,
        podIP: '127.0.0.1',
        podIPs: [{ ip: '127.0.0.1' }],
        qosClass: index === 0 ? 'Guaranteed' : 'Burstable',
      },
    } as RawObject;
  });
}

interface RawPod extends RawObject {
  readonly spec: {
    readonly containers: readonly { readonly ports: readonly { name: string; containerPort: number }[] }[];
  };
  readonly status: { readonly containerStatuses: readonly { containerID: string }[] };
}

export interface Cluster {
  readonly api: TestKubeApi;
  /** The node of both captured pods. */
  readonly node: string;
  /** A kubeconfig with a token. */
  readonly kubeconfig: string;
  close(): Promise<void>;
}

export const apiToken = 'sentinel-of-a-token';

/** A recorded cluster that follows all recommendations; its Gitaly pods also serve metrics. */
export async function startCluster(): Promise<Cluster> {
  const gitaly = await startGitalyMetrics();
  const api = await startKubeApi({ endsWatches: true });
  api.load('posture-good', 'at-rest');
  const node = 'lab-node-1';
  const others = (archive('posture-good').items('at-rest/pods.json') as readonly RawObject[]).filter(
    ({ metadata }) => metadata.labels?.['app'] !== 'gitaly',
  );
  // The addresses of Praefect's pods are not on this machine.
  const praefects = others.map((pod) => ({ ...pod, status: {} }) as RawObject);
  api.put('pods', [...capturedPods(node, (gitaly.address() as AddressInfo).port), ...praefects]);
  api.requireToken(apiToken);
  return {
    api,
    node,
    kubeconfig: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: api.url.origin } }],
      users: [{ name: 'u', user: { token: apiToken } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
    async close() {
      gitaly.closeAllConnections();
      gitaly.close();
      await api.close();
    },
  };
}

async function startGitalyMetrics(): Promise<Server> {
  const text = readFileSync(join(import.meta.dirname, '../fixtures/gitaly/written/18.10.prom'));
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/plain; version=0.0.4');
    response.end(text);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}

/** One scrape, checked for its format: no duplicate series, no problem found by promtool. */
export interface Scrape {
  readonly text: string;
  /** Name and all labels of each series, `le` included. */
  readonly series: ReadonlyMap<string, number>;
  /** The value of the only series with this name and (at least) these labels; undefined when there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  names(): ReadonlySet<string>;
}

export async function scrape(exporter: ExporterProcess): Promise<Scrape> {
  const { status, text } = await exporter.get('/metrics');
  expect(status).toBe(200);
  const samples = parseExposition(text, 'text').flatMap((family) => family.samples);
  const matches = (sample: ParsedSample, name: string, labels: Readonly<Record<string, string>>): boolean =>
    sample.name === name &&
    Object.entries(labels).every(([label, value]) => sample.labels.get(label) === value);
  return {
    text,
    series: new Map(samples.map((sample) => [seriesOf(sample), sample.value])),
    value(name, labels = {}) {
      const found = samples.filter((sample) => matches(sample, name, labels));
      if (found.length > 1)
        throw new Error(`${found.length} series of ${name} with ${JSON.stringify(labels)}`);
      return found[0]?.value;
    },
    names: () => new Set(samples.map(({ name }) => name)),
  };
}

const seriesOf = ({ labels, name }: ParsedSample): string => `${name} ${JSON.stringify([...labels].sort())}`;

/** Scrapes until the condition holds; at the limit the error names the condition. */
export const scrapeUntil = (
  exporter: ExporterProcess,
  what: string,
  holds: (scrape: Scrape) => boolean,
): Promise<Scrape> =>
  until(async () => {
    const found = await scrape(exporter);
    return holds(found) ? found : undefined;
  }, what);

export const success = ({ value }: Scrape, collector: string): number | undefined =>
  value('gitaly_exporter_collector_success', { collector });

/** Does nothing where promtool is not installed: the tests that need promtool report that themselves. */
export function expectPromtoolToPass(...scrapes: readonly Scrape[]): void {
  for (const { text } of scrapes)
    if (hasTool('promtool')) expect(promtoolCheckMetrics(text)).toEqual({ status: 0, problems: '' });
}

export const isReady = async (exporter: ExporterProcess): Promise<true> =>
  until(async () => ((await exporter.get('/-/ready')).status === 200 ? true : undefined), 'every first run');

/** Metrics of the exporter itself, which each instance has. */
export const isOwn = (name: string): boolean => /^(gitaly_exporter_|process_|nodejs_)/.test(name);
