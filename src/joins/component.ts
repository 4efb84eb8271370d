/** Which of the pods that were found are Gitaly's, and which Praefect's. */
import type { Component } from '../gitaly/metrics.ts';
import type { Container, Pod } from '../kubernetes/objects/types.ts';

/**
 * By the container's name, which the GitLab chart fixes (`gitaly`, `praefect`), whatever the labels by which the pod
 * was found; else by the chart's label `app`. Praefect runs Gitaly's image, so an image says nothing.
 */
export function componentOf(pod: Pod): Component | undefined {
  for (const component of ['praefect', 'gitaly'] as const)
    if (pod.containers.some(({ name }) => name === component)) return component;
  const app = pod.labels['app'];
  return app === 'gitaly' || app === 'praefect' ? app : undefined;
}

/** The container that is Gitaly or Praefect itself: by its name, else the only one. */
export function mainContainer(pod: Pod): Container | undefined {
  const component = componentOf(pod);
  const named = pod.containers.find(({ name }) => name === component);
  return named ?? (pod.containers.length === 1 ? pod.containers[0] : undefined);
}
