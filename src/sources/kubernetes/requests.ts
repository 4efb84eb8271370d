/** What a pod asks of its node: the number by which it is scheduled, its QoS class decided, its eviction ranked. */
import type { Pod, Resources } from './objects/types.ts';

export interface Requests {
  /** Bytes; 0 when nothing is asked for. */
  readonly memory: number;
  readonly cores: number;
}

/**
 * As the scheduler counts (k8s.io/component-helpers resource.PodRequests): all containers and sidecars together, or
 * any init container with the sidecars that start before it, whichever is more; the pod's own resources in place of
 * that where they are given; and the overhead of its RuntimeClass.
 */
export const requestsOf = (pod: Pod): Requests => ({
  memory: effective(pod, 'memoryRequest', pod.overhead?.memory),
  cores: effective(pod, 'cpuRequest', pod.overhead?.cpu),
});

function effective(pod: Pod, resource: keyof Resources, overhead = 0): number {
  let sidecars = 0;
  let largestInit = 0;
  for (const { sidecar, resources } of pod.initContainers) {
    const own = resources[resource] ?? 0;
    if (sidecar) sidecars += own;
    largestInit = Math.max(largestInit, sidecar ? sidecars : sidecars + own);
  }
  const containers = pod.containers.reduce((sum, { resources }) => sum + (resources[resource] ?? 0), 0);
  return (pod.resources[resource] ?? Math.max(containers + sidecars, largestInit)) + overhead;
}
