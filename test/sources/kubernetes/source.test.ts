/** The source with recorded incidents: its samples at rest, and their changes before, during and after. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { expositionText } from '../../../src/metrics/exposition.ts';
import type { Block } from '../../../src/metrics/samples.ts';
import { kubernetesProblems } from '../../../src/rules/problems/kubernetes.ts';
import { defaultThresholds } from '../../../src/rules/thresholds.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../src/scheduler/outcome.ts';
import type { Identity } from '../../../src/sources/identity.ts';
import { chartComponentOf } from '../../../src/sources/kubernetes/gitaly-objects.ts';
import { kubernetesMetrics, nodePressures, waitingReasons } from '../../../src/sources/kubernetes/metrics.ts';
import type { KubeEvent, Pod } from '../../../src/sources/kubernetes/objects/types.ts';
import { createKubernetesSource, kubernetesCollectorNames } from '../../../src/sources/kubernetes/source.ts';
import type { KubernetesView } from '../../../src/sources/kubernetes/view.ts';
import { archive } from '../../support/kubernetes-archive.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { lintMetrics } from '../../support/lint-metrics.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { createFakeStores, type FakeStores, isGitaly, listMoment, moment, stepsOf } from './support.ts';

const signal = new AbortController().signal;

function createSource(
  stores: FakeStores,
  startedAt: number,
  role: 'all' | 'cluster' | 'agent' = 'all',
  namespaces?: readonly string[],
) {
  const clock = createManualClock();
  clock.setWall(startedAt);
  const source = createKubernetesSource({
    ...{ stores, role, componentOf: chartComponentOf, clock, events: createEventLog(clock) },
    namespaces,
    reportsServerInfo: false,
  });
  const collect = async (): Promise<Outcome> => {
    const [collector] = source.collectors;
    if (collector === undefined) throw new Error('no collector');
    return collector.collect({ signal, cause: 'scrape' });
  };
  const block = async (): Promise<Block> => {
    const outcome = await collect();
    if (outcome.kind === 'empty' || outcome.block === undefined) throw new Error(JSON.stringify(outcome));
    expect(lintBlock(outcome.block, kubernetesMetrics)).toEqual([]);
    return outcome.block;
  };
  const problems = async (now: number) =>
    kubernetesProblems({
      view: source.view(),
      watchedOnNode: [],
      behindPraefect: source.view().pods.map(({ identity }) => identity),
      thresholds: defaultThresholds,
      now: now / 1000,
    });
  return { source, clock, collect, block, problems };
}

/** A golden text in golden/; `GOLDEN=write` rewrites it, for review before it is committed. */
function expectGolden(name: string, text: string): void {
  const file = join(import.meta.dirname, 'golden', `${name}.txt`);
  if (process.env['GOLDEN'] === 'write') writeFileSync(file, text);
  expect(existsSync(file)).toBe(true);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

/** Sample lines without those of histogram buckets. */
const linesOf = (block: Block): readonly string[] =>
  expositionText([block])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket{'));

/** The page's problems read the view, alerts the metrics: both must show the same state. */
function expectSameState(view: KubernetesView, lines: readonly string[]): void {
  const identityLabels = ({ namespace, pod, node }: Identity) =>
    `namespace="${namespace}",pod="${pod}",node="${node}"`;
  const count = (values: readonly string[], value: string) => values.filter((each) => each === value).length;
  for (const { identity, isReady, waitingReasons: reasons, lastTerminations } of view.pods) {
    expect(lines).toContain(`gitaly_server_pod_ready{${identityLabels(identity)}} ${isReady ? 1 : 0}`);
    for (const reason of waitingReasons)
      expect(lines).toContain(
        `gitaly_server_pod_waiting_containers{${identityLabels(identity)},reason="${reason}"} ${count(reasons, reason)}`,
      );
    for (const { container, reason, finishedAt } of lastTerminations)
      expect(lines).toContain(
        `gitaly_server_pod_last_restart_timestamp_seconds{${identityLabels(identity)},container="${container}",reason="${reason}"} ${finishedAt / 1000}`,
      );
  }
  for (const { name, isReady, pressures } of view.nodes) {
    expect(lines).toContain(`gitaly_server_node_ready{node="${name}"} ${isReady ? 1 : 0}`);
    const shown = nodePressures.filter((resource) =>
      lines.includes(`gitaly_server_node_pressure{node="${name}",resource="${resource}"} 1`),
    );
    expect(pressures).toEqual(shown);
  }
  for (const { namespace, name, disruptionsAllowed } of view.disruptionBudgets)
    expect(lines).toContain(
      `gitaly_server_disruptions_allowed{namespace="${namespace}",poddisruptionbudget="${name}"} ${disruptionsAllowed}`,
    );
  const number = (start: string) => lines.filter((line) => line.startsWith(start)).length;
  const missing = view.ongoing.filter((rotation) => rotation.missing).length;
  expect(number('gitaly_server_pod_ready{')).toBe(view.pods.length + missing);
  expect(number('gitaly_server_node_ready{')).toBe(view.nodes.length);
  expect(number('gitaly_server_disruptions_allowed{')).toBe(view.disruptionBudgets.length);
}

const atRest = ['posture-good', 'posture-chart-defaults'] as const;

test.each(atRest)('the samples of %s are as in the golden text', async (name) => {
  const stores = createFakeStores();
  const { block, problems } = createSource(stores, moment('00:40:00'));
  listMoment(stores, name, 'at-rest');
  expectGolden(name, expositionText([await block()]));
  expect(await problems(moment('00:40:00'))).toEqual([]);
});

const incidents = [
  ...['rotate-delete', 'rotate-chart-defaults', 'evict-blocked', 'drain', 'rollout', 'evicted'],
  ...['node-notready', 'oom-container', 'oom-crashloop', 'node-system-oom'],
];

test.each(incidents)('the samples of incident %s change as in the golden text', async (name) => {
  const { paths, text } = archive(name);
  const moments = [...new Set(paths.map((path) => path.split('/')[0] ?? ''))]
    .filter((folder) => /^\d+-/.test(folder))
    .sort()
    .map((folder) => ({ folder, at: Date.parse(text(`${folder}/taken-at`).trim()) }));
  const [first, ...later] = moments;
  if (first === undefined) throw new Error('no moments');
  const stores = createFakeStores();
  const { source, clock, block, problems } = createSource(stores, first.at);
  listMoment(stores, name, first.folder);
  let lines = linesOf(await block());
  const linesOfProblems = (current: Awaited<ReturnType<typeof problems>>): readonly string[] =>
    current.flatMap(({ severity, title, detail, fixes }) => [
      `! ${severity}: ${title}. ${detail}`,
      `!   ${fixes.map(({ text: fix }) => fix).join(' ')}`,
    ]);
  const all = [
    `# ${first.folder}: ${lines.length} series without buckets`,
    ...linesOfProblems(await problems(first.at)),
  ];

  const steps = [...stepsOf(name)];
  for (const { folder, at } of [...later, { folder: 'at the end of the recording', at: Number.MAX_VALUE }]) {
    while (steps[0] !== undefined && steps[0].at <= at) {
      clock.setWall(Math.max(clock.now(), steps[0].at));
      steps.shift()?.apply(stores);
    }
    const now = linesOf(await block());
    expectSameState(source.view(), now);
    const current = await problems(at === Number.MAX_VALUE ? moment('00:40:00') : at);
    all.push(
      `# ${folder}`,
      ...lines.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
      ...now.filter((line) => !lines.includes(line)).map((line) => `+ ${line}`),
      ...linesOfProblems(current),
    );
    lines = now;
  }
  expectGolden(name, `${all.join('\n')}\n`);
});

describe('while data is not current', () => {
  const loaded = () => {
    const stores = createFakeStores();
    const made = createSource(stores, moment('00:26:30'));
    listMoment(stores, 'rotate-delete', '0-before');
    return { stores, ...made };
  };
  const names = (outcome: Outcome): readonly string[] =>
    outcome.kind === 'empty' || outcome.block === undefined
      ? []
      : outcome.block.families.map(({ metric }) => metric.name);

  test('before the first list there are no samples, and the run has the reason', async () => {
    const { collect, source } = createSource(createFakeStores(), 0);
    expect(await collect()).toMatchObject({
      kind: 'failed',
      reason: 'timeout',
      message: expect.stringContaining('pods have not been listed from the Kubernetes API yet'),
      block: { families: [] },
    });
    expect(source.view()).toMatchObject({ lastRotations: [], ongoing: [] });
  });

  test('all series that depend on pods are absent, so that none reads as healthy', async () => {
    const { stores, collect, source } = loaded();
    for (const step of stepsOf('rotate-delete').slice(0, 8)) step.apply(stores);
    expect(source.view().ongoing).toHaveLength(1);
    stores.pods.setCurrent(false, { reason: 'refused', message: 'the API server is down' });
    const outcome = await collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'refused', message: 'the API server is down' });
    expect(names(outcome)).toEqual([]);
    expect(source.view()).toMatchObject({ lastRotations: [], ongoing: [] });
    stores.pods.setCurrent(true);
    expect(names(await collect())).toContain('gitaly_server_pod_ready');
  });

  test('because of a missing permission, only the series that depend on it are absent, and the permission is reported once', async () => {
    const { stores, collect } = loaded();
    const message = 'no right to list nodes: grant get, list and watch in a ClusterRole';
    stores.nodes.setCurrent(false, { reason: 'permission', message });
    const outcome = await collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'permission', message });
    const shown = names(outcome);
    expect(shown).toContain('gitaly_server_pod_ready');
    expect(shown).toContain('gitaly_server_disruptions_allowed');
    expect(shown.filter((name) => name.startsWith('gitaly_server_node_'))).toEqual([
      'gitaly_server_node_oom_events_total',
    ]);
  });

  test.each([
    ['statefulSets', 'gitaly_server_statefulset_replicas'],
    ['disruptionBudgets', 'gitaly_server_disruptions_allowed'],
    ['events', 'gitaly_server_node_oom_events_total'],
  ] as const)('%s are required for %s', async (store, metric) => {
    const { stores, collect } = loaded();
    expect(names(await collect())).toContain(metric);
    stores[store].setCurrent(false);
    const outcome = await collect();
    expect(outcome.kind).toBe('failed');
    expect(names(outcome)).not.toContain(metric);
  });
});

test('a removed node with a pod is reported as not Ready', async () => {
  const stores = createFakeStores();
  const { block } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  stores.nodes.list(stores.nodes.all().filter(({ name }) => name !== 'lab-node-2'));
  expect(linesOf(await block())).toContain('gitaly_server_node_ready{node="lab-node-2"} 0');
});

test.each([
  ['has no name', ''],
  ['has the name of the node', 'lab-node-2'],
])('a node that is not listed while a malformed node %s does not count as removed', async (_, name) => {
  const stores = createFakeStores();
  const { block, source } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  stores.nodes.setMalformed(name);
  stores.nodes.list(stores.nodes.all().filter(({ name: listed }) => listed !== 'lab-node-2'));
  expect(linesOf(await block()).filter((line) => /node_ready.*lab-node-2/.test(line))).toEqual([]);
  expect(source.view().nodes.map((node) => node.name)).not.toContain('lab-node-2');
  // A pod that is deleted in between was not drained.
  const [old] = stores.pods.all().filter(({ node }) => node === 'lab-node-2');
  if (old === undefined) throw new Error('the recording has changed');
  stores.pods.put({ ...old, uid: 'new', createdAt: old.createdAt + 60_000 }, moment('00:26:50'));
  stores.pods.remove(old, moment('00:26:51'));
  expect(linesOf(await block()).filter((line) => /cause="node_(drained|lost)".* 1$/.test(line))).toEqual([]);
});

test('a pod that both selectors match, and whose containers do not decide, fails the collector', async () => {
  const stores = createFakeStores();
  const { collect } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const [pod] = stores.pods.all();
  if (pod === undefined) throw new Error('the recording has changed');
  stores.pods.put(
    { ...pod, uid: 'other', name: 'storage-0', labels: {}, containers: [] },
    moment('00:26:40'),
  );
  expect(await collect()).toMatchObject({
    ...{ kind: 'failed', reason: 'parse' },
    message: expect.stringContaining('gitlab/storage-0'),
  });
});

test.each(['Failed', 'Succeeded'])(
  'a pod whose containers have all ended (%s) is not Ready',
  async (phase) => {
    const stores = createFakeStores();
    const { block, source } = createSource(stores, moment('00:26:30'));
    listMoment(stores, 'rotate-delete', '0-before');
    const [pod] = stores.pods.all().filter(({ name }) => name === 'gl-gitaly-default-1');
    if (pod === undefined) throw new Error('the recording has changed');
    stores.pods.put({ ...pod, phase }, moment('00:26:40'));
    expect(linesOf(await block()).filter((line) => /pod_ready\{.*default-1.* 1$/.test(line))).toEqual([]);
    expect(source.view().pods.filter(({ isReady }) => !isReady)).toHaveLength(1);
  },
);

test('a pod is reported once while the deletion of its predecessor has not arrived', async () => {
  const stores = createFakeStores();
  const { block } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const [old] = stores.pods.all().filter(({ name }) => name === 'gl-gitaly-default-1');
  if (old === undefined) throw new Error('the recording has changed');
  stores.pods.put({ ...old, uid: 'new', createdAt: old.createdAt + 60_000 }, moment('00:26:50'));
  stores.pods.remove(old, moment('00:26:51'));
  const lines = linesOf(await block());
  expect(lines.filter((line) => line.startsWith('gitaly_server_pod_ready{'))).toHaveLength(3);
  expect(lines.filter((line) => /rotations_total.*default-1.* 1$/.test(line))).toHaveLength(1);
});

test('counters of a pod stay under the node where they were counted, also after an autoscaler removed the node', async () => {
  const stores = createFakeStores();
  const { block, clock } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'drain', '0-before');
  for (const step of stepsOf('drain')) step.apply(stores);
  const rotations = async () =>
    linesOf(await block()).filter((line) => /rotations_total.*default-2.*node_drained/.test(line));
  const at = (node: string, value: number) =>
    `gitaly_server_pod_rotations_total{namespace="gitlab",pod="gl-gitaly-default-2",node="${node}",cause="node_drained"} ${value}`;
  expect(await rotations()).toEqual([at('lab-node-1', 0), at('lab-node-3', 1)]);
  stores.nodes.list(stores.nodes.all().filter(({ name }) => name !== 'lab-node-3'));
  // No scrape occurred between the rotation and the removal.
  expect(await rotations()).toEqual([at('lab-node-1', 0), at('lab-node-3', 1)]);
  await clock.advance(86_400_001);
  expect(await rotations()).toEqual([at('lab-node-1', 0)]);
});

test('Praefect has its own series for ready, restarts and rotations, which no alert on Gitaly reads', async () => {
  const stores = createFakeStores();
  const { block } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const praefect = stores.pods.all().find(({ labels }) => labels['app'] === 'praefect');
  if (praefect === undefined) throw new Error('the recording has changed');
  const labels = `namespace="gitlab",pod="${praefect.name}"`;
  const lines = linesOf(await block());
  expect(lines).toContain(`praefect_server_pod_ready{${labels},node="${praefect.node}"} 1`);
  expect(lines.filter((line) => line.includes('gitaly_server_pod') && line.includes('praefect'))).toEqual([]);
  stores.pods.remove(praefect, moment('00:26:40'));
  const after = linesOf(await block());
  expect(after).toContain(`praefect_server_pod_ready{${labels},node=""} 0`);
  const next = { ...praefect, uid: 'next', createdAt: praefect.createdAt + 1000 };
  stores.pods.put(next, moment('00:26:50'));
  expect(linesOf(await block())).toContain(
    `praefect_server_pod_rotations_total{${labels},node="${praefect.node}",cause="deleted"} 1`,
  );
});

test('an agent has no collector, because the exporter of the cluster reports the pods', () => {
  expect(createSource(createFakeStores(), 0, 'agent').source.collectors).toEqual([]);
  expect(createSource(createFakeStores(), 0, 'cluster').source.collectors).toHaveLength(1);
});

test('the metrics are well-formed, and the collector has the listed name', () => {
  expect(lintMetrics(kubernetesMetrics)).toEqual([]);
  const { collectors } = createSource(createFakeStores(), 0).source;
  expect(collectors.map(({ name }) => name)).toEqual(kubernetesCollectorNames);
});

test('the duration of the slowest recent replacement is available to the checks; a restart does not count', () => {
  const stores = createFakeStores();
  const { source } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  for (const step of stepsOf('rotate-delete')) step.apply(stores);
  const identity = (pod: string) => ({ namespace: 'gitlab', pod, node: 'any' });
  expect(source.rotationSeconds(identity('gl-gitaly-default-1'))).toBeCloseTo(10.498, 2);
  expect(source.rotationSeconds(identity('gl-gitaly-default-0'))).toBeUndefined();
});

describe('a missing Gitaly', () => {
  const ready = (lines: readonly string[], pod: string): readonly string[] =>
    lines.filter((line) => line.startsWith(`gitaly_server_pod_ready{namespace="gitlab",pod="${pod}"`));
  const missing = (pod: string) => [`gitaly_server_pod_ready{namespace="gitlab",pod="${pod}",node=""} 0`];
  /** FailedCreate as the StatefulSet controller writes it. */
  const failedCreate = (stores: FakeStores, pod: string, at: number): KubeEvent => {
    const [event] = stores.events.all();
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default');
    if (event === undefined || set === undefined) throw new Error('the recording has changed');
    return {
      ...event,
      ...{ uid: `failed-${pod}`, type: 'Warning', reason: 'FailedCreate', count: 12 },
      message: `create Pod ${pod} in StatefulSet gl-gitaly-default failed error: pods "${pod}" is forbidden: no PriorityClass with name gitaly was found`,
      about: { kind: 'StatefulSet', namespace: set.namespace, name: set.name, uid: set.uid },
      ...{ createdAt: at, firstAt: at, lastAt: at + 1000 },
    };
  };
  const started = moment('00:26:30');
  const withoutPods = (role: 'all' | 'cluster' = 'all', namespaces?: readonly string[]) => {
    const stores = createFakeStores();
    listMoment(stores, 'rotate-delete', '0-before');
    stores.pods.list(stores.pods.all().filter(({ labels }) => labels['app'] !== 'gitaly'));
    return { stores, ...createSource(stores, started, role, namespaces) };
  };

  test('whose pods cannot be created has a series for each ordinal, and the reason in the view', async () => {
    const { stores, block, source, problems } = withoutPods();
    const events = [0, 1, 2].map((n) => failedCreate(stores, `gl-gitaly-default-${n}`, started - 600_000));
    stores.events.list(events);
    const lines = linesOf(await block());
    for (const n of [0, 1, 2]) {
      expect(ready(lines, `gl-gitaly-default-${n}`)).toEqual(missing(`gl-gitaly-default-${n}`));
      expect(source.view().missing[n]).toMatchObject({
        pod: `gl-gitaly-default-${n}`,
        since: started - 600_000,
        reason: expect.stringMatching(`^FailedCreate: create Pod gl-gitaly-default-${n} .*PriorityClass`),
      });
    }
    expect(await problems(started)).toHaveLength(3);
    expect(lines.filter((line) => line.includes('pod_rotation_start_timestamp_seconds'))).toHaveLength(3);
  });

  test('is found by its StatefulSet when the exporter starts', async () => {
    const stores = createFakeStores();
    const { block, source, problems } = createSource(stores, started);
    listMoment(stores, 'rotate-delete', '0-before');
    stores.pods.list(
      stores.pods.all().filter(({ name }) => name !== 'gl-gitaly-default-1'),
      started,
    );
    expect(ready(linesOf(await block()), 'gl-gitaly-default-1')).toEqual(missing('gl-gitaly-default-1'));
    expect(source.view().missing).toEqual([
      {
        ...{ namespace: 'gitlab', pod: 'gl-gitaly-default-1', statefulSet: 'gl-gitaly-default' },
        ...{ since: started, reason: undefined },
      },
    ]);
    expect(await problems(started)).toMatchObject([{ title: expect.stringContaining('does not exist') }]);
  });

  test('has only the reason of its current absence', () => {
    const stores = createFakeStores();
    const { source } = createSource(stores, started);
    listMoment(stores, 'rotate-delete', '0-before');
    stores.events.list([failedCreate(stores, 'gl-gitaly-default-1', started - 3_000_000)]);
    const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
    if (pod === undefined) throw new Error('the recording has changed');
    stores.pods.remove(pod, started);
    expect(source.view().missing).toMatchObject([{ pod: pod.name, reason: undefined }]);
    stores.events.put(failedCreate(stores, 'gl-gitaly-default-10', started + 1000), started + 1000);
    stores.events.put(
      { ...failedCreate(stores, 'gl-gitaly-default-1', started), uid: 'new' },
      started + 2000,
    );
    expect(source.view().missing).toMatchObject([
      { reason: expect.stringContaining('create Pod gl-gitaly-default-1 in') },
    ]);
  });

  test('is not an ordinal that its StatefulSet does not have: with another start ordinal, or scaled to 0', async () => {
    const { stores, block, source } = withoutPods();
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default');
    if (set === undefined) throw new Error('the recording has changed');
    stores.statefulSets.put({ ...set, replicas: 1, ordinalsStart: 5 }, started);
    expect(source.view().missing.map(({ pod }) => pod)).toEqual(['gl-gitaly-default-5']);
    stores.statefulSets.put({ ...set, replicas: 0 }, started);
    expect([source.view().missing, source.view().emptyNamespaces]).toEqual([[], ['']]);
    expect(ready(linesOf(await block()), 'gl-gitaly-default-0')).toEqual([]);
  });

  test('in a namespace that cannot be read is unknown, and the pods of others are not', async () => {
    const stores = createFakeStores();
    const { block, collect, source, clock } = createSource(stores, started, 'all', ['gitlab', 'other']);
    listMoment(stores, 'rotate-delete', '0-before');
    const inOther = <T extends { readonly uid: string }>(object: T): T => ({
      ...object,
      ...{ namespace: 'other', uid: `other ${object.uid}` },
    });
    for (const pod of stores.pods.all()) stores.pods.put(inOther(pod), clock.now());
    for (const set of stores.statefulSets.all()) stores.statefulSets.put(inOther(set), clock.now());
    const other = stores.pods.all().filter(({ namespace }) => namespace === 'other');
    const deletion = { requestedAt: clock.now(), graceSeconds: 30 };
    for (const pod of other) stores.pods.put({ ...pod, deletion }, clock.now());
    for (const pod of other) stores.pods.remove(pod, clock.now());
    expect(linesOf(await block()).filter((line) => line.includes('other'))).not.toEqual([]);
    for (const store of [stores.pods, stores.statefulSets]) store.setUnread('other');
    expect(source.view()).toMatchObject({ missing: [], deletedSets: [], ongoing: [], emptyNamespaces: [] });
    const lines = linesOf(await block());
    expect(lines.filter((line) => /_(ready|replicas)\{namespace="other"/.test(line))).toEqual([]);
    expect(lines.filter((line) => line.startsWith('gitaly_server_pod_ready{'))).toHaveLength(3);
    expect(await collect()).toMatchObject({ kind: 'failed' });
    // After the right is granted, what was missing is so again.
    for (const store of [stores.pods, stores.statefulSets]) store.setUnread();
    expect(source.view()).toMatchObject({ missing: [{}, {}, {}], deletedSets: [] });
  });

  test('whose StatefulSet is scaled to 0 makes its namespace one without Gitaly', async () => {
    const stores = createFakeStores();
    const { collect, source } = createSource(stores, started, 'all', ['gitlab']);
    listMoment(stores, 'rotate-delete', '0-before');
    expect(source.view().emptyNamespaces).toEqual([]);
    stores.statefulSets.list(
      stores.statefulSets.all().map((set) => ({ ...set, replicas: 0 })),
      started,
    );
    stores.pods.list([], started);
    expect(source.view()).toMatchObject({ emptyNamespaces: ['gitlab'], missing: [] });
    expect(await collect()).toMatchObject({ kind: 'failed', reason: 'missing' });
  });

  test('whose StatefulSet was deleted is reported as missing for six hours', async () => {
    const stores = createFakeStores();
    const { block, collect, source, clock } = createSource(stores, started);
    listMoment(stores, 'rotate-delete', '0-before');
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default');
    if (set === undefined) throw new Error('the recording has changed');
    stores.statefulSets.remove(set, started);
    // As after kubectl delete --cascade=orphan: the pods are not missing.
    expect(source.view()).toMatchObject({ missing: [], deletedSets: [{ name: set.name, replicas: 3 }] });
    for (const pod of stores.pods.all().filter(isGitaly)) stores.pods.remove(pod, started);
    expect(ready(linesOf(await block()), 'gl-gitaly-default-2')).toEqual(missing('gl-gitaly-default-2'));
    expect(source.view().missing[0]?.reason).toBe('its StatefulSet gl-gitaly-default was deleted');
    // The namespace has no other object of Gitaly.
    expect(await collect()).toMatchObject({ kind: 'failed', reason: 'missing' });
    await clock.advance(6 * 3_600_000 + 1);
    expect(source.view()).toMatchObject({ missing: [], deletedSets: [] });
    stores.statefulSets.put(set, clock.now());
    stores.statefulSets.remove(set, clock.now());
    stores.statefulSets.put({ ...set, uid: 'again' }, clock.now());
    expect(source.view().deletedSets).toEqual([]);
  });

  test('is not a pod that exists as a malformed object', () => {
    const { stores, source } = withoutPods();
    stores.pods.setMalformed('gitlab/gl-gitaly-default-1');
    expect(source.view().missing.map(({ pod }) => pod)).toEqual([
      'gl-gitaly-default-0',
      'gl-gitaly-default-2',
    ]);
    stores.pods.setMalformed('');
    expect(source.view().missing).toEqual([]);
    stores.statefulSets.setMalformed('gitlab/gl-gitaly-default');
    stores.statefulSets.list([]);
    expect(source.view()).toMatchObject({ deletedSets: [], emptyNamespaces: [] });
  });

  test('in one or all watched namespaces fails the collector, which reports the rest', async () => {
    const all = withoutPods();
    for (const set of all.stores.statefulSets.all()) all.stores.statefulSets.remove(set, started);
    expect(await all.collect()).toMatchObject({
      ...{ kind: 'failed', reason: 'missing' },
      message: expect.stringContaining(
        'no pod of Gitaly, and no StatefulSet that wants one, in any namespace',
      ),
    });
    const stores = createFakeStores();
    const two = createSource(stores, started, 'all', ['gitlab', 'gitlab-dr']);
    listMoment(stores, 'rotate-delete', '0-before');
    expect(two.source.view().emptyNamespaces).toEqual(['gitlab-dr']);
    const outcome = await two.collect();
    expect(outcome).toMatchObject({ message: expect.stringContaining('in namespace gitlab-dr') });
    expect(linesOf(await two.block()).length).toBeGreaterThan(100);
    // Unknown is not empty.
    stores.statefulSets.setCurrent(false);
    expect(two.source.view().emptyNamespaces).toEqual([]);
  });
});

describe.each([-5, 5])('with a clock of the API server that is %i h off', (hours) => {
  const skewMs = hours * 3_600_000;
  const started = moment('00:26:30');
  /** The recording as this API server would write it; the clocks of nodes are right. */
  function skewed(isMeasured = true) {
    const stores = createFakeStores();
    if (isMeasured) Object.assign(stores, { clockSkewMs: () => skewMs + 300 });
    const made = createSource(stores, started);
    listMoment(stores, 'rotate-delete', '0-before');
    const shifted = (pod: Pod): Pod => ({ ...pod, createdAt: pod.createdAt + skewMs });
    stores.pods.list(stores.pods.all().map(shifted), started);
    const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
    if (pod === undefined) throw new Error('the recording has changed');
    return { stores, pod, shifted, ...made };
  }
  const restarted = (pod: Pod, restartCount: number): Pod => ({
    ...pod,
    containers: pod.containers.map((each) => ({ ...each, restartCount })),
  });
  const restarts = (lines: readonly string[]) =>
    lines.filter((line) => /^gitaly_server_pod_restarts_total.*default-1.* [1-9]/.test(line));

  test('restarts before the exporter started are not counted, and those of a newer pod are', async () => {
    const { stores, pod, block, clock } = skewed();
    // First seen after a gap.
    stores.pods.list([], started);
    stores.pods.list([restarted(pod, 7)], started);
    expect(restarts(linesOf(await block()))).toEqual([]);
    await clock.advance(60_000);
    const created = started + 30_000 + skewMs;
    stores.pods.list([restarted({ ...pod, uid: 'new', createdAt: created }, 2)], clock.now());
    expect(restarts(linesOf(await block()))).toHaveLength(1);
  });

  test.each([true, false])(
    'the age of a rotation is right when the clock difference is measured: %s',
    async (isMeasured) => {
      const { stores, pod, source, clock, block } = skewed(isMeasured);
      await clock.advance(10_000);
      const deletedAt = clock.now();
      stores.pods.put(
        { ...pod, deletion: { requestedAt: deletedAt - 500 + skewMs, graceSeconds: 30 } },
        deletedAt,
      );
      await clock.advance(20_000);
      const [ongoing] = source.view().ongoing;
      expect(Math.abs((ongoing?.startedAt ?? 0) - deletedAt)).toBeLessThan(2000);
      const [line = ''] = linesOf(await block()).filter((each) => each.includes('rotation_start'));
      expect(Math.abs(Number(line.split(' ').at(-1)) - deletedAt / 1000)).toBeLessThan(2);
      expect(source.view().clockSkewSeconds).toBeCloseTo(isMeasured ? skewMs / 1000 + 0.3 : 0);
    },
  );
});

describe.each([2, -2])('with a clock of a node that is %i h off', (hours) => {
  function restarting() {
    const started = moment('00:26:30');
    const stores = createFakeStores();
    const found = createSource(stores, started);
    listMoment(stores, 'rotate-delete', '0-before');
    const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
    if (pod === undefined) throw new Error('the recording has changed');
    /** As the kubelet of this node reports a kill now. */
    const killed = (): Pod => {
      const at = found.clock.now() + hours * 3_600_000;
      const unready = { status: 'False', reason: 'ContainersNotReady', since: at } as const;
      const lastTermination = { reason: 'OOMKilled', exitCode: 137, startedAt: at - 9000, finishedAt: at };
      return {
        ...pod,
        conditions: { ...pod.conditions, Ready: unready, ContainersReady: unready },
        containers: pod.containers.map((each) => ({ ...each, restartCount: 1, lastTermination })),
      };
    };
    const shown = () => found.source.view().pods.find(({ identity }) => identity.pod === pod.name);
    const lastRestarts = async () =>
      linesOf(await found.block()).filter((line) => line.includes('last_restart'));
    return { ...found, stores, killed, shown, lastRestarts };
  }

  test('an OOM kill and the condition Ready have the time at which the exporter saw them', async () => {
    const { clock, stores, killed, shown, lastRestarts } = restarting();
    await clock.advance(10_000);
    const seenAt = clock.now();
    stores.pods.put(killed(), seenAt);
    await clock.advance(30_000);
    const lastTerminations = [{ container: 'gitaly', reason: 'OOMKilled', finishedAt: seenAt }];
    expect(shown()).toMatchObject({ isReady: false, since: seenAt, lastTerminations });
    const lines = await lastRestarts();
    expect(lines.map((line) => line.split(' ').at(-1))).toEqual([String(seenAt / 1000)]);
  });

  test('one from before the exporter saw the pod is never in the future', async () => {
    const { clock, stores, killed, shown, lastRestarts } = restarting();
    stores.pods.list([killed()], clock.now());
    await clock.advance(30_000);
    for (const { finishedAt } of shown()?.lastTerminations ?? [])
      expect(finishedAt).toBeLessThanOrEqual(clock.now());
    expect(await lastRestarts()).toHaveLength(1);
  });
});

test('a pod that gets the labels of Gitaly has the times that its kubelet reports, however old', async () => {
  const stores = createFakeStores();
  const { source, clock } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
  if (pod === undefined) throw new Error('the recording has changed');
  const finishedAt = clock.now() - 3 * 3_600_000;
  const lastTermination = { reason: 'OOMKilled', exitCode: 137, startedAt: undefined, finishedAt };
  stores.pods.list([], clock.now());
  stores.pods.put(
    {
      ...pod,
      conditions: { ...pod.conditions, Ready: { status: 'True', reason: '', since: finishedAt } },
      containers: pod.containers.map((each) => ({ ...each, restartCount: 1, lastTermination })),
    },
    clock.now(),
  );
  expect(source.view().pods).toMatchObject([{ since: finishedAt, lastTerminations: [{ finishedAt }] }]);
});

test('the OOM kills of a loop are kept, and those of a sidecar are not', async () => {
  const stores = createFakeStores();
  const { source, clock } = createSource(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
  if (pod === undefined) throw new Error('the recording has changed');
  const kills: number[] = [];
  for (const restartCount of [1, 2, 3]) {
    await clock.advance(60_000);
    kills.unshift(clock.now());
    const lastTermination = { reason: 'OOMKilled', exitCode: 137, startedAt: 1, finishedAt: clock.now() };
    const killed = pod.containers.map((each) => ({ ...each, restartCount, lastTermination }));
    const containers = [...killed, ...killed.map((each) => ({ ...each, name: 'sidecar' }))];
    stores.pods.put({ ...pod, containers }, clock.now());
  }
  const shown = source.view().pods.find(({ identity }) => identity.pod === pod.name);
  expect(shown?.earlierOomKills).toEqual(kills.slice(1));
});

test('a termination whose time the API does not have is that of its restart, unless it is from before', async () => {
  const started = moment('00:26:30');
  const stores = createFakeStores();
  const { source, clock } = createSource(stores, started);
  listMoment(stores, 'rotate-delete', '0-before');
  const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
  if (pod === undefined) throw new Error('the recording has changed');
  const lastTermination = { reason: 'OOMKilled', exitCode: 137, startedAt: undefined, finishedAt: undefined };
  const killed = (restartCount: number): Pod => ({
    ...pod,
    containers: pod.containers.map((each) => ({ ...each, restartCount, lastTermination })),
  });
  const ends = () =>
    source.view().pods.flatMap((each) => each.lastTerminations.map((last) => last.finishedAt));
  stores.pods.list([killed(1)], clock.now());
  expect(ends()).toEqual([]);
  await clock.advance(10_000);
  stores.pods.put(killed(2), clock.now());
  expect(ends()).toEqual([clock.now()]);
});

describe('a Gitaly whose container has another name', () => {
  function renamed(image: string) {
    const stores = createFakeStores();
    const created = createSource(stores, moment('00:26:30'));
    listMoment(stores, 'rotate-delete', '0-before');
    const pods = stores.pods.all().filter(({ labels }) => labels['app'] === 'gitaly');
    const at = created.clock.now();
    const lastTermination = { reason: 'OOMKilled', exitCode: 137, startedAt: at - 9000, finishedAt: at };
    for (const pod of pods)
      stores.pods.put(
        {
          ...pod,
          containers: pod.containers.flatMap((each) => [
            { ...each, name: 'server', image, restartCount: 1, lastTermination },
            { ...each, name: 'istio-proxy', image: 'docker.io/istio/proxyv2:1.27.0', restartCount: 1 },
          ]),
        },
        at,
      );
    return { ...created, pods };
  }

  test('has its OOM kills under the name by which alerts select them, and those of its sidecar not', async () => {
    const { block, pods, problems, clock } = renamed('registry.example.com/build/gitaly-fips:v18.4.0');
    const lines = linesOf(await block());
    const killed = (container: string) =>
      lines.filter((line) => line.endsWith(`container="${container}",reason="OOMKilled"} 1`));
    expect([killed('gitaly').length, killed('server').length]).toEqual([pods.length, 0]);
    expect(lines.some((line) => line.includes('container="istio-proxy"'))).toBe(true);
    const found = await problems(clock.now() + 10_000);
    expect(found.filter(({ id }) => id === 'gitaly_oom_killed')).toHaveLength(pods.length);
  });

  test('makes the collector fail where nothing shows which of its containers it is', async () => {
    const { collect } = renamed('registry.example.com/app:1');
    const outcome = await collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'parse' });
    expect(JSON.stringify(outcome)).toContain('which container runs Gitaly is unknown');
  });
});

describe('the warning event that is quoted as the reason', () => {
  const at = moment('00:27:00');
  function starting() {
    const stores = createFakeStores();
    const { source, clock } = createSource(stores, at);
    clock.setWall(at + 60_000);
    listMoment(stores, 'rotate-delete', '0-before');
    const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1');
    const [event] = stores.events.all();
    if (pod === undefined || event === undefined) throw new Error('the recording has changed');
    const yes = (since: number) => ({ status: 'True', reason: '', since }) as const;
    const scheduled: Pod = {
      ...pod,
      createdAt: at,
      conditions: {
        PodScheduled: yes(at + 10_000),
        Ready: { status: 'False', reason: 'ContainersNotReady', since: at + 11_000 },
      },
    };
    const warn = (reason: string, when: number): void =>
      stores.events.put(
        {
          ...event,
          ...{ uid: `${reason}${when}`, type: 'Warning', reason, message: 'why', createdAt: when },
          ...{ firstAt: when, lastAt: when },
          about: { kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
        },
        when,
      );
    const warning = (): string | undefined =>
      source.view().pods.find(({ identity }) => identity.pod === pod.name)?.warning;
    return { stores, scheduled, warn, warning, source };
  }

  test("is one of the pod's current phase, not of the last hour", () => {
    const { stores, scheduled, warn, warning } = starting();
    stores.pods.put({ ...scheduled, node: '', conditions: {} }, at);
    warn('BackOff', at - 1_800_000);
    expect(warning()).toBeUndefined();
    warn('FailedScheduling', at + 9000);
    expect(warning()).toBe('FailedScheduling: why');
    stores.pods.put(scheduled, at + 11_000);
    expect(warning()).toBeUndefined();
    warn('FailedMount', at + 20_000);
    expect(warning()).toBe('FailedMount: why');
  });

  test('is followed by the finalizers that keep a deleted pod', () => {
    const { stores, scheduled, source } = starting();
    const deletion = { requestedAt: at + 20_000, graceSeconds: 30 };
    const finalizers = ['example.com/protect'];
    stores.pods.put({ ...scheduled, deletion, finalizers }, at + 20_000);
    expect(source.view().pods.find(({ finalizers: found }) => found !== undefined)).toMatchObject({
      finalizers,
    });
  });
});
