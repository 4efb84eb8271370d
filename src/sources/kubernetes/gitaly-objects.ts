/**
 * Which pods are Gitaly's and Praefect's, and which StatefulSets, budgets and nodes belong to Gitaly's pods. The
 * latter are found by the pods, so that their own names and labels may be anything.
 */
import type { Component, Identity } from '../identity.ts';
import { parseSelector, selects } from './objects/selector.ts';
import type { Container, Pod, PodDisruptionBudget, StatefulSet, Workload } from './objects/types.ts';

/** Of a pod, or of a StatefulSet's template. Undefined: neither Gitaly nor Praefect. */
export type ComponentOf = (workload: Workload) => Component | undefined;

/**
 * By the container's name, which the GitLab chart sets (`gitaly`, `praefect`), else by the chart's label `app`.
 * The image does not distinguish them: Praefect runs Gitaly's image.
 */
export const chartComponentOf: ComponentOf = (pod) => {
  for (const component of ['praefect', 'gitaly'] as const)
    if (pod.containers.some(({ name }) => name === component)) return component;
  const app = pod.labels['app'];
  return app === 'gitaly' || app === 'praefect' ? app : undefined;
};

/** By kubernetes.gitaly-selector and kubernetes.praefect-selector; where both or neither match, as in the chart. */
export function componentBySelectors(selectors: {
  readonly gitalySelector: string;
  readonly praefectSelector: string;
}): ComponentOf {
  const gitaly = parseSelector(selectors.gitalySelector);
  const praefect = parseSelector(selectors.praefectSelector);
  return (pod) => {
    const isGitaly = gitaly !== undefined && selects(gitaly, pod.labels);
    const isPraefect = praefect !== undefined && selects(praefect, pod.labels);
    if (isGitaly === isPraefect) return chartComponentOf(pod);
    return isGitaly ? 'gitaly' : 'praefect';
  };
}

/** The container that runs Gitaly or Praefect: by its name, else the only one, else the only one with Gitaly's image. */
export function mainContainer(pod: Pod): Container | undefined {
  const { containers } = pod;
  const named = containers.find(({ name }) => name === 'gitaly' || name === 'praefect');
  if (named !== undefined || containers.length === 1) return named ?? containers[0];
  const [first, second] = containers.filter(({ image }) => gitalyImage.test(image));
  return second === undefined ? first : undefined;
}

/** Praefect runs it, too. The registry and the folders of an image may have any name. */
const gitalyImage = /(?:^|\/)[^/]*(?:gitaly|praefect)[^/]*$/;

/** As metrics name a container: that of Gitaly or Praefect by its component, whatever its own name, as alerts select it. */
export const containerLabel = (pod: Pod, { name }: Container, component: Component): string =>
  name === mainContainer(pod)?.name ? component : name;

export const podIdentity = ({ namespace, name, node }: Pod): Identity =>
  Object.freeze({ namespace, pod: name, node });

/** Sets that own one of the pods, or whose template is of the same component: a set may have no pods at all. */
export function statefulSetsOf(
  sets: readonly StatefulSet[],
  pods: readonly Pod[],
  isIncluded: (workload: Workload) => boolean,
): readonly StatefulSet[] {
  const owners = new Set(pods.map(({ owner }) => owner?.uid));
  return sets.filter((set) => owners.has(set.uid) || isIncluded(set.template));
}

/** Budgets that cover a Gitaly pod, or a pod that one of `sets` would create. */
export function gitalyBudgets(
  budgets: readonly PodDisruptionBudget[],
  pods: readonly Pod[],
  sets: readonly StatefulSet[],
): readonly PodDisruptionBudget[] {
  const labeled = [
    ...pods.map(({ namespace, labels }) => ({ namespace, labels })),
    ...sets.map(({ namespace, selector }) => ({ namespace, labels: selector })),
  ];
  return budgets.filter(({ namespace, labelSelector }) =>
    labeled.some(
      (each) =>
        each.namespace === namespace && labelSelector !== undefined && selects(labelSelector, each.labels),
    ),
  );
}

/** Names of the nodes that the pods are scheduled on. */
export const nodeNamesOf = (pods: readonly Pod[]): readonly string[] => [
  ...new Set(pods.map(({ node }) => node).filter((node) => node !== '')),
];

/** One pod per name: the newer one while the deletion of its predecessor has not arrived. */
export function newestOfEachName(pods: readonly Pod[]): readonly Pod[] {
  const newest = new Map<string, Pod>();
  for (const pod of pods) {
    const key = `${pod.namespace}/${pod.name}`;
    const known = newest.get(key);
    if (known === undefined || known.createdAt <= pod.createdAt) newest.set(key, pod);
  }
  return [...newest.values()];
}

/**
 * Whether the set's template is not yet on all pods that it applies to, or its controller has not seen a change.
 * Fewer updated replicas alone are no sign: a pod that is deleted, evicted or lost does not count as updated
 * either. With OnDelete, pods are replaced only when they are deleted, which may be never.
 */
export function isRollingOut(set: StatefulSet): boolean {
  if (set.updateStrategy === 'OnDelete' || set.replicas === 0) return false;
  if (set.observedGeneration < set.generation) return true;
  if (set.currentRevision === set.updateRevision) return false;
  const toUpdate = Math.max(0, set.replicas - set.partition);
  return (
    toUpdate > 0 &&
    (set.updatedReplicas < toUpdate || (set.partition === 0 && set.readyReplicas < set.replicas))
  );
}
