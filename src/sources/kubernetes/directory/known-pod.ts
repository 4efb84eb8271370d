/** A pod and its node of the API as the cgroup room knows pods. */
import type { KnownContainer, KnownPod } from '../../cgroup/tree.ts';
import type { Container, Node, Pod } from '../objects/types.ts';
import { mainContainer } from './component.ts';

/** @param node of the pod, where it is known; without it the runtime's and the kernel's versions stay empty. */
export function knownPod(pod: Pod, node: Node | undefined): KnownPod {
  return Object.freeze({
    uid: pod.uid,
    namespace: pod.namespace,
    name: pod.name,
    node: pod.node,
    qosClass: pod.qosClass,
    priorityClass: pod.priorityClass,
    version: imageTag(mainContainer(pod)?.image ?? ''),
    runtimeVersion: node?.runtimeVersion ?? '',
    kernelVersion: node?.kernelVersion ?? '',
    // A sidecar is an init container by its place, and runs beside the others all the same.
    containers: [...pod.initContainers.filter(({ sidecar }) => sidecar), ...pod.containers].map(
      knownContainer,
    ),
  });
}

const knownContainer = ({ name, id }: Container): KnownContainer => ({
  name,
  id: id.replace(/^[^/]*:\/\//, ''),
});

/** `v18.10.0` of `host:5000/gitaly:v18.10.0@sha256:...`; empty for an image that only its digest names. */
export function imageTag(image: string): string {
  const [named = ''] = image.split('@');
  return /:([^/:]+)$/.exec(named)?.[1] ?? '';
}
