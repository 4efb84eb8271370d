/** Which of the pods that were found are Gitaly's, and which Praefect's. */
import type { Component } from '../../gitaly/metrics.ts';
import { parseSelector, selects } from '../objects/selector.ts';
import type { Container, Pod } from '../objects/types.ts';

/** Undefined: neither. */
export type ComponentOf = (pod: Pod) => Component | undefined;

/**
 * By the container's name, which the GitLab chart fixes (`gitaly`, `praefect`), else by the chart's label `app`.
 * Praefect runs Gitaly's image, so an image says nothing.
 */
export const chartComponentOf: ComponentOf = (pod) => {
  for (const component of ['praefect', 'gitaly'] as const)
    if (pod.containers.some(({ name }) => name === component)) return component;
  const app = pod.labels['app'];
  return app === 'gitaly' || app === 'praefect' ? app : undefined;
};

/** By kubernetes.gitaly-selector and kubernetes.praefect-selector; where both match or neither, as the chart has it. */
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

/** The container that is Gitaly or Praefect itself: by its name, else the only one. */
export function mainContainer(pod: Pod): Container | undefined {
  const named = pod.containers.find(({ name }) => name === 'gitaly' || name === 'praefect');
  return named ?? (pod.containers.length === 1 ? pod.containers[0] : undefined);
}
