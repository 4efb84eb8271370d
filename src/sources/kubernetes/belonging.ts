/** Which StatefulSets, budgets and nodes are of Gitaly: by its pods, so that names and labels may be what they like. */
import { selects } from './objects/selector.ts';
import type { Pod, PodDisruptionBudget, StatefulSet } from './objects/types.ts';

/** Those that own a Gitaly pod, or would own one: sets scaled to nothing are known by the chart's label. */
export function gitalySets(sets: readonly StatefulSet[], pods: readonly Pod[]): readonly StatefulSet[] {
  const owners = new Set(pods.map(({ owner }) => owner?.uid));
  return sets.filter(
    (set) => owners.has(set.uid) || set.selector['app'] === 'gitaly' || set.labels['app'] === 'gitaly',
  );
}

/** Those that cover a Gitaly pod, or a pod that a set of Gitaly would make. */
export function gitalyBudgets(
  budgets: readonly PodDisruptionBudget[],
  pods: readonly Pod[],
  sets: readonly StatefulSet[],
): readonly PodDisruptionBudget[] {
  const labelled = [
    ...pods.map(({ namespace, labels }) => ({ namespace, labels })),
    ...sets.map(({ namespace, selector }) => ({ namespace, labels: selector })),
  ];
  return budgets.filter(({ namespace, labelSelector }) =>
    labelled.some(
      (each) =>
        each.namespace === namespace && labelSelector !== undefined && selects(labelSelector, each.labels),
    ),
  );
}

export const nodesOf = (pods: readonly Pod[]): readonly string[] => [
  ...new Set(pods.map(({ node }) => node).filter((node) => node !== '')),
];

/** One for each name: the younger one where the one before it has not been heard to be gone. */
export function oneForEachName(pods: readonly Pod[]): readonly Pod[] {
  const newest = new Map<string, Pod>();
  for (const pod of pods) {
    const key = `${pod.namespace}/${pod.name}`;
    const known = newest.get(key);
    if (known === undefined || known.createdAt <= pod.createdAt) newest.set(key, pod);
  }
  return [...newest.values()];
}
