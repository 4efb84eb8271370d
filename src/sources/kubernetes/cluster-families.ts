/** Samples of budgets, StatefulSets, nodes and watches: pure. */
import { type Family, samplesOf } from '../../metrics/samples.ts';
import { nodeIdentity, nodeOomReasons, type PodCounters } from './counters.ts';
import { isRollingOut } from './gitaly-objects.ts';
import * as metrics from './metrics.ts';
import type { Condition, Node, PodDisruptionBudget, StatefulSet } from './objects/types.ts';
import { incompleteness, type WatchedResource, type WatchState, watchEndReasons } from './store.ts';
import { apiClockSkew, watchCurrent, watchLastEvent, watchObjects, watchRestarts } from './watch-metrics.ts';

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

export function statefulSetFamilies(sets: readonly StatefulSet[]): readonly Family[] {
  const replicas = samplesOf(metrics.statefulSetReplicas);
  const ready = samplesOf(metrics.statefulSetReadyReplicas);
  const updated = samplesOf(metrics.statefulSetUpdatedReplicas);
  const rollingOut = samplesOf(metrics.statefulSetRollingOut);
  for (const set of sets) {
    const labels = { namespace: set.namespace, statefulset: set.name };
    replicas.set(labels, set.replicas);
    ready.set(labels, set.readyReplicas);
    updated.set(labels, set.updatedReplicas);
    rollingOut.set(labels, Number(isRollingOut(set)));
  }
  return [replicas.family(), ready.family(), updated.family(), rollingOut.family()];
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
  const ready = samplesOf(metrics.nodeReady);
  const pressure = samplesOf(metrics.nodePressure);
  const unschedulable = samplesOf(metrics.nodeUnschedulable);
  const byName = new Map(nodes.map((node) => [node.name, node]));
  for (const node of names) {
    if (!byName.has(node) && isUnread(node)) continue;
    const { conditions, unschedulable: isCordoned } = byName.get(node) ?? removedNode;
    ready.set({ node }, conditions['Ready']?.status === 'True' ? 1 : 0);
    for (const resource of metrics.nodePressures) {
      const value = conditionValue(conditions[pressureConditions[resource]]);
      if (value !== undefined) pressure.set({ node, resource }, value);
    }
    unschedulable.set({ node }, isCordoned ? 1 : 0);
  }
  return [ready.family(), pressure.family(), unschedulable.family()];
}

const removedNode: Pick<Node, 'conditions' | 'unschedulable'> = { conditions: {}, unschedulable: false };

export const pressureConditions = {
  memory: 'MemoryPressure',
  disk: 'DiskPressure',
  pid: 'PIDPressure',
} as const;

/** Undefined while Unknown. */
const conditionValue = (condition: Condition | undefined): number | undefined =>
  condition?.status === 'True' ? 1 : condition?.status === 'False' ? 0 : undefined;

export function oomFamilies(nodeNames: readonly string[], ooms: PodCounters): readonly Family[] {
  const events = samplesOf(metrics.nodeOomEvents);
  for (const node of new Set([...nodeNames, ...ooms.entries().map(({ identity }) => identity.node)]))
    for (const reason of nodeOomReasons) events.set({ node, reason }, ooms.get(nodeIdentity(node), reason));
  return [events.family()];
}

export function watchFamilies(
  watches: readonly { readonly resource: WatchedResource; readonly state: WatchState }[],
  clockSkewMs?: number,
): readonly Family[] {
  const skew = samplesOf(apiClockSkew);
  if (clockSkewMs !== undefined) skew.set({}, clockSkewMs / 1000);
  const current = samplesOf(watchCurrent);
  const lastEvent = samplesOf(watchLastEvent);
  const objects = samplesOf(watchObjects);
  const restarts = samplesOf(watchRestarts);
  for (const { resource, state } of watches) {
    for (const reason of watchEndReasons) restarts.set({ resource, reason }, state.restarts[reason]);
    // The API server does not have it: nothing fails.
    if (state.unavailable !== undefined) continue;
    current.set({ resource }, state.current && incompleteness(state) === undefined ? 1 : 0);
    if (state.lastEventAt !== undefined) lastEvent.set({ resource }, state.lastEventAt / 1000);
    objects.set({ resource }, state.objects);
  }
  return [current.family(), lastEvent.family(), objects.family(), restarts.family(), skew.family()];
}
