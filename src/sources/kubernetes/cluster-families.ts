/** Samples of budgets, StatefulSets, nodes and watches: pure. */
import { createSamples, type Family } from '../../metrics/samples.ts';
import { nodeIdentity, nodeOomReasons, type PodCounters } from './counters.ts';
import { isRollingOut } from './gitaly-objects.ts';
import * as metrics from './metrics.ts';
import type { Node, PodDisruptionBudget, StatefulSet } from './objects/types.ts';
import { incompleteness, type WatchedResource, type WatchState, watchEndReasons } from './store.ts';

export function budgetFamilies(budgets: readonly PodDisruptionBudget[]): readonly Family[] {
  const samples = createSamples();
  for (const budget of budgets) {
    const labels = { namespace: budget.namespace, poddisruptionbudget: budget.name };
    samples.set(metrics.disruptionsAllowed, labels, budget.disruptionsAllowed);
    samples.set(metrics.disruptionHealthy, labels, budget.currentHealthy);
    samples.set(metrics.disruptionDesired, labels, budget.desiredHealthy);
    samples.set(metrics.disruptionExpected, labels, budget.expectedPods);
  }
  return samples.families();
}

export function statefulSetFamilies(sets: readonly StatefulSet[]): readonly Family[] {
  const samples = createSamples();
  for (const set of sets) {
    const labels = { namespace: set.namespace, statefulset: set.name };
    samples.set(metrics.statefulSetReplicas, labels, set.replicas);
    samples.set(metrics.statefulSetReadyReplicas, labels, set.readyReplicas);
    samples.set(metrics.statefulSetUpdatedReplicas, labels, set.updatedReplicas);
    samples.set(metrics.statefulSetRollingOut, labels, isRollingOut(set));
  }
  return samples.families();
}

/**
 * @param names of nodes that pods are scheduled on; a node that was removed is not Ready
 * @param isUnread whether a node that is not in `nodes` may exist all the same: it has no samples
 */
export function nodeFamilies(
  names: readonly string[],
  nodes: readonly Node[],
  isUnread: (name: string) => boolean,
): readonly Family[] {
  const samples = createSamples();
  const byName = new Map(nodes.map((node) => [node.name, node]));
  for (const node of names) {
    if (!byName.has(node) && isUnread(node)) continue;
    const { conditions, unschedulable } = byName.get(node) ?? removedNode;
    samples.set(metrics.nodeReady, { node }, conditions['Ready']?.status === 'True');
    for (const resource of metrics.nodePressures) {
      const status = conditions[pressureConditions[resource]]?.status;
      const isKnown = status === 'True' || status === 'False';
      samples.set(metrics.nodePressure, { node, resource }, isKnown ? status === 'True' : undefined);
    }
    samples.set(metrics.nodeUnschedulable, { node }, unschedulable);
  }
  return samples.families();
}

const removedNode: Pick<Node, 'conditions' | 'unschedulable'> = { conditions: {}, unschedulable: false };

export const pressureConditions = {
  memory: 'MemoryPressure',
  disk: 'DiskPressure',
  pid: 'PIDPressure',
} as const;

export function oomFamilies(nodeNames: readonly string[], ooms: PodCounters): readonly Family[] {
  const samples = createSamples();
  for (const node of new Set([...nodeNames, ...ooms.entries().map(({ identity }) => identity.node)])) {
    const countOf = ooms.of(nodeIdentity(node));
    for (const reason of nodeOomReasons)
      samples.set(metrics.nodeOomEvents, { node, reason }, countOf(reason));
  }
  return samples.families();
}

export function watchFamilies(
  watches: readonly { readonly resource: WatchedResource; readonly state: WatchState }[],
  clockSkewMs?: number,
): readonly Family[] {
  const samples = createSamples(metrics.watchMetrics);
  for (const { resource, state } of watches) {
    const { lastEventAt } = state;
    for (const reason of watchEndReasons)
      samples.set(metrics.watchRestarts, { resource, reason }, state.restarts[reason]);
    // The API server does not have it: nothing fails.
    if (state.unavailable !== undefined) continue;
    samples.set(metrics.watchCurrent, { resource }, state.current && incompleteness(state) === undefined);
    samples.set(metrics.watchLastEvent, { resource }, lastEventAt && lastEventAt / 1000);
    samples.set(metrics.watchObjects, { resource }, state.objects);
  }
  samples.set(metrics.apiClockSkew, {}, clockSkewMs === undefined ? undefined : clockSkewMs / 1000);
  return samples.families();
}
