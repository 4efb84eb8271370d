/** From what surrounds Gitaly's pods (budgets, StatefulSets, nodes) to samples: pure. */
import { type Family, samplesOf } from '../../metrics/samples.ts';
import * as metrics from './metrics.ts';
import { type NodeOoms, nodeOomReasons } from './node-oom.ts';
import type { Condition, Node, PodDisruptionBudget, StatefulSet } from './objects/types.ts';

export function budgetFamilies(budgets: readonly PodDisruptionBudget[]): readonly Family[] {
  const allowed = samplesOf(metrics.disruptionsAllowed);
  const healthy = samplesOf(metrics.disruptionHealthy);
  const desired = samplesOf(metrics.disruptionDesired);
  const expected = samplesOf(metrics.disruptionExpected);
  for (const budget of budgets) {
    const labels = { namespace: budget.namespace, poddisruptionbudget: budget.name };
    allowed.set(labels, budget.disruptionsAllowed);
    healthy.set(labels, budget.currentHealthy);
    desired.set(labels, budget.desiredHealthy);
    expected.set(labels, budget.expectedPods);
  }
  return [allowed.family(), healthy.family(), desired.family(), expected.family()];
}

export function setFamilies(sets: readonly StatefulSet[]): readonly Family[] {
  const replicas = samplesOf(metrics.setReplicas);
  const ready = samplesOf(metrics.setReadyReplicas);
  const updated = samplesOf(metrics.setUpdatedReplicas);
  for (const set of sets) {
    const labels = { namespace: set.namespace, statefulset: set.name };
    replicas.set(labels, set.replicas);
    ready.set(labels, set.readyReplicas);
    updated.set(labels, set.updatedReplicas);
  }
  return [replicas.family(), ready.family(), updated.family()];
}

/** @param names of the nodes that pods are on: one of them that is not there any more is not Ready. */
export function nodeFamilies(names: readonly string[], nodes: readonly Node[]): readonly Family[] {
  const ready = samplesOf(metrics.nodeReady);
  const pressure = samplesOf(metrics.nodePressure);
  const unschedulable = samplesOf(metrics.nodeUnschedulable);
  const byName = new Map(nodes.map((node) => [node.name, node]));
  for (const node of names) {
    const { conditions, unschedulable: cordoned } = byName.get(node) ?? gone;
    ready.set({ node }, conditions['Ready']?.status === 'True' ? 1 : 0);
    for (const resource of metrics.nodePressures) {
      const value = truth(conditions[pressureConditions[resource]]);
      if (value !== undefined) pressure.set({ node, resource }, value);
    }
    unschedulable.set({ node }, cordoned ? 1 : 0);
  }
  return [ready.family(), pressure.family(), unschedulable.family()];
}

const gone: Pick<Node, 'conditions' | 'unschedulable'> = { conditions: {}, unschedulable: false };

export const pressureConditions = {
  memory: 'MemoryPressure',
  disk: 'DiskPressure',
  pid: 'PIDPressure',
} as const;

/** Unknown is neither. */
const truth = (condition: Condition | undefined): number | undefined =>
  condition?.status === 'True' ? 1 : condition?.status === 'False' ? 0 : undefined;

export function oomFamilies(nodeNames: readonly string[], ooms: NodeOoms): readonly Family[] {
  const events = samplesOf(metrics.nodeOomEvents);
  for (const node of nodeNames)
    for (const reason of nodeOomReasons) events.set({ node, reason }, ooms.count(node, reason));
  return [events.family()];
}
