/** The room over recorded incidents: what /metrics shows at rest, and what changes before, during and after. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { expositionText } from '../../../src/metrics/exposition.ts';
import { lintMetrics } from '../../../src/metrics/lint.ts';
import { lintBlock } from '../../../src/metrics/lint-block.ts';
import type { Block } from '../../../src/metrics/samples.ts';
import { kubernetesProblems } from '../../../src/rules/problems/kubernetes.ts';
import { readingOf } from '../../../src/rules/problems/reading.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../src/scheduler/outcome.ts';
import type { Identity } from '../../../src/sources/identity.ts';
import { kubernetesMetrics, nodePressures, waitingReasons } from '../../../src/sources/kubernetes/metrics.ts';
import { createKubernetesRoom, kubernetesCollectorNames } from '../../../src/sources/kubernetes/source.ts';
import type { KubernetesView } from '../../../src/sources/kubernetes/view.ts';
import { archive } from '../../support/kubernetes-archive.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { createFakeStores, type FakeStores, isGitaly, listMoment, moment, stepsOf } from './support.ts';

const signal = new AbortController().signal;

function roomOver(stores: FakeStores, startedAt: number, role: 'all' | 'cluster' | 'agent' = 'all') {
  const clock = createManualClock();
  clock.setWall(startedAt);
  const room = createKubernetesRoom({ stores, role, isGitaly, clock, events: createEventLog(clock) });
  const collect = async (): Promise<Outcome> => {
    const [collector] = room.collectors;
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
      reading: readingOf([await block()]),
      view: room.view(),
      maintenance: undefined,
      now: now / 1000,
    });
  return { room, collect, block, problems };
}

/** A golden text beside this file; `GOLDEN=write` writes it anew, to be read before it is committed. */
function expectGolden(name: string, text: string): void {
  const file = join(import.meta.dirname, 'golden', `${name}.txt`);
  if (process.env['GOLDEN'] === 'write') writeFileSync(file, text);
  expect(existsSync(file)).toBe(true);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

/** Sample lines without buckets, whose sum and count say enough for people. */
const linesOf = (block: Block): readonly string[] =>
  expositionText([block])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket{'));

/** Page problems read the view, alerts the metrics: both must show the same state. */
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

test.each(atRest)('%s, at rest', async (name) => {
  const stores = createFakeStores();
  const { block, problems } = roomOver(stores, moment('00:40:00'));
  listMoment(stores, name, 'at-rest');
  expectGolden(name, expositionText([await block()]));
  expect(await problems(moment('00:40:00'))).toEqual([]);
});

const incidents = [
  ...['rotate-delete', 'rotate-chart-defaults', 'evict-blocked', 'drain', 'rollout', 'evicted'],
  ...['node-notready', 'oom-container', 'oom-crashloop', 'node-system-oom'],
];

test.each(incidents)('%s: what changes from moment to moment', async (name) => {
  const { paths, text } = archive(name);
  const moments = [...new Set(paths.map((path) => path.split('/')[0] ?? ''))]
    .filter((folder) => /^\d+-/.test(folder))
    .sort()
    .map((folder) => ({ folder, at: Date.parse(text(`${folder}/taken-at`).trim()) }));
  const [first, ...later] = moments;
  if (first === undefined) throw new Error('no moments');
  const stores = createFakeStores();
  const { room, block, problems } = roomOver(stores, first.at);
  listMoment(stores, name, first.folder);
  let lines = linesOf(await block());
  const wordsOf = (wrong: Awaited<ReturnType<typeof problems>>): readonly string[] =>
    wrong.flatMap(({ severity, title, detail, action }) => [
      `! ${severity}: ${title}. ${detail}`,
      `!   ${action}`,
    ]);
  const all = [
    `# ${first.folder}: ${lines.length} series without buckets`,
    ...wordsOf(await problems(first.at)),
  ];

  const steps = [...stepsOf(name)];
  for (const { folder, at } of [...later, { folder: 'at the end of the recording', at: Number.MAX_VALUE }]) {
    while (steps[0] !== undefined && steps[0].at <= at) steps.shift()?.apply(stores);
    const now = linesOf(await block());
    expectSameState(room.view(), now);
    const wrong = await problems(at === Number.MAX_VALUE ? moment('00:40:00') : at);
    all.push(
      `# ${folder}`,
      ...lines.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
      ...now.filter((line) => !lines.includes(line)).map((line) => `+ ${line}`),
      ...wordsOf(wrong),
    );
    lines = now;
  }
  expectGolden(name, `${all.join('\n')}\n`);
});

describe('what is not current', () => {
  const loaded = () => {
    const stores = createFakeStores();
    const made = roomOver(stores, moment('00:26:30'));
    listMoment(stores, 'rotate-delete', '0-before');
    return { stores, ...made };
  };
  const names = (outcome: Outcome): readonly string[] =>
    outcome.kind === 'empty' || outcome.block === undefined
      ? []
      : outcome.block.families.map(({ metric }) => metric.name);

  test('before the first list there is nothing, and the run says why', async () => {
    const { collect, room } = roomOver(createFakeStores(), 0);
    expect(await collect()).toMatchObject({
      kind: 'failed',
      reason: 'timeout',
      message: expect.stringContaining('the pods of Kubernetes were not listed yet'),
      block: { families: [] },
    });
    expect(room.view()).toMatchObject({ unready: [], ongoing: [] });
  });

  test('pods that are stale take with them all that rests on them: nothing reads healthy', async () => {
    const { stores, collect, room } = loaded();
    for (const step of stepsOf('rotate-delete').slice(0, 8)) step.apply(stores);
    expect(room.view().ongoing).toHaveLength(1);
    stores.pods.setCurrent(false, { reason: 'refused', message: 'the API server is gone' });
    const outcome = await collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'refused', message: 'the API server is gone' });
    expect(names(outcome)).toEqual([]);
    expect(room.view()).toMatchObject({ unready: [], ongoing: [] });
    stores.pods.setCurrent(true);
    expect(names(await collect())).toContain('gitaly_server_pod_ready');
  });

  test('a missing right costs what rests on it and nothing else, and is named once', async () => {
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
  ] as const)('%s: without them no %s', async (store, metric) => {
    const { stores, collect } = loaded();
    expect(names(await collect())).toContain(metric);
    stores[store].setCurrent(false);
    const outcome = await collect();
    expect(outcome.kind).toBe('failed');
    expect(names(outcome)).not.toContain(metric);
  });
});

test('a pod on a node that is gone reads a node that is not Ready', async () => {
  const stores = createFakeStores();
  const { block } = roomOver(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  stores.nodes.list(stores.nodes.all().filter(({ name }) => name !== 'lab-node-2'));
  expect(linesOf(await block())).toContain('gitaly_server_node_ready{node="lab-node-2"} 0');
});

test('a pod whose predecessor has not been heard to be gone is told once', async () => {
  const stores = createFakeStores();
  const { block } = roomOver(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  const [old] = stores.pods.all().filter(({ name }) => name === 'gl-gitaly-default-1');
  if (old === undefined) throw new Error('the recording has changed');
  stores.pods.put({ ...old, uid: 'new', createdAt: old.createdAt + 60_000 }, moment('00:26:50'));
  stores.pods.remove(old, moment('00:26:51'));
  const lines = linesOf(await block());
  expect(lines.filter((line) => line.startsWith('gitaly_server_pod_ready{'))).toHaveLength(3);
  expect(lines.filter((line) => /rotations_total.*default-1.* 1$/.test(line))).toHaveLength(1);
});

test('counters of a pod stay under the node where they were made, until the node or the name is gone', async () => {
  const stores = createFakeStores();
  const { block } = roomOver(stores, moment('00:26:30'));
  listMoment(stores, 'drain', '0-before');
  for (const step of stepsOf('drain')) step.apply(stores);
  const rotations = async () =>
    linesOf(await block()).filter((line) => /rotations_total.*default-2.*node_drained/.test(line));
  const at = (node: string, value: number) =>
    `gitaly_server_pod_rotations_total{namespace="gitlab",pod="gl-gitaly-default-2",node="${node}",cause="node_drained"} ${value}`;
  expect(await rotations()).toEqual([at('lab-node-1', 0), at('lab-node-3', 1)]);
  stores.nodes.list(stores.nodes.all().filter(({ name }) => name !== 'lab-node-3'));
  expect(await rotations()).toEqual([at('lab-node-1', 0)]);
});

test('an agent tells nothing of pods: the exporter of the cluster does', () => {
  expect(roomOver(createFakeStores(), 0, 'agent').room.collectors).toEqual([]);
  expect(roomOver(createFakeStores(), 0, 'cluster').room.collectors).toHaveLength(1);
});

test('its metrics are well-formed, and its collector is the one that it names', () => {
  expect(lintMetrics(kubernetesMetrics)).toEqual([]);
  const { collectors } = roomOver(createFakeStores(), 0).room;
  expect(collectors.map(({ name }) => name)).toEqual(kubernetesCollectorNames);
});

test('the seconds of the last replacement are known to the checks, those of a restart are not one', () => {
  const stores = createFakeStores();
  const { room } = roomOver(stores, moment('00:26:30'));
  listMoment(stores, 'rotate-delete', '0-before');
  for (const step of stepsOf('rotate-delete')) step.apply(stores);
  const identity = (pod: string) => ({ namespace: 'gitlab', pod, node: 'whatever' });
  expect(room.rotationSeconds(identity('gl-gitaly-default-1'))).toBeCloseTo(10.498, 2);
  expect(room.rotationSeconds(identity('gl-gitaly-default-0'))).toBeUndefined();
});
