import { describe, expect, test } from '@jest/globals';
import { podOf } from '../../../src/sources/kubernetes/objects/pod.ts';
import { requestsOf } from '../../../src/sources/kubernetes/requests.ts';
import { read } from './support.ts';

const container = (name: string, memory?: string, cpu?: string) => ({
  name,
  resources: { requests: { ...(memory && { memory }), ...(cpu && { cpu }) } },
});
const sidecar = (name: string, memory: string) => ({ ...container(name, memory), restartPolicy: 'Always' });
const requests = (spec: object) =>
  requestsOf(
    read(
      podOf({
        metadata: { name: 'p', namespace: 'n', uid: 'u', creationTimestamp: '2026-11-23T00:00:00Z' },
        spec,
      }),
    ),
  );
const Mi = 1024 ** 2;

describe('what a pod asks of its node', () => {
  test.each([
    [
      'all containers together',
      { containers: [container('a', '100Mi', '100m'), container('b', '50Mi', '1')] },
      150,
      1.1,
    ],
    ['nothing at all', { containers: [container('a')] }, 0, 0],
    [
      'the largest init container, where that is more',
      {
        containers: [container('a', '100Mi', '1')],
        initContainers: [container('i', '300Mi', '500m'), container('j', '200Mi')],
      },
      ...[300, 1],
    ],
    [
      'containers and sidecars',
      { containers: [container('a', '100Mi')], initContainers: [sidecar('s', '50Mi')] },
      ...[150, 0],
    ],
    [
      'an init container beside the sidecars that were started before it, not those after it',
      {
        containers: [container('a', '100Mi')],
        initContainers: [sidecar('s', '50Mi'), container('i', '200Mi'), sidecar('t', '60Mi')],
      },
      ...[250, 0],
    ],
    [
      "the pod's own in place of its containers', each resource on its own",
      {
        containers: [container('a', '100Mi', '1')],
        resources: { requests: { memory: '400Mi' } },
      },
      ...[400, 1],
    ],
    [
      'the overhead of its RuntimeClass on top',
      { containers: [container('a', '100Mi', '1')], overhead: { memory: '20Mi', cpu: '250m' } },
      ...[120, 1.25],
    ],
  ] as const)('is %s', (_, spec, mebibytes, cores) => {
    expect(requests(spec)).toEqual({ memory: mebibytes * Mi, cores });
  });
});
