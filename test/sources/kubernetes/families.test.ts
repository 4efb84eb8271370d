import { describe, expect, test } from '@jest/globals';
import { requestsOf } from '../../../src/sources/kubernetes/families.ts';
import { podOf } from '../../../src/sources/kubernetes/objects/pod.ts';
import { parsedObject } from './support.ts';

const container = (name: string, memory?: string, cpu?: string) => ({
  name,
  resources: { requests: { ...(memory && { memory }), ...(cpu && { cpu }) } },
});
const sidecar = (name: string, memory: string) => ({ ...container(name, memory), restartPolicy: 'Always' });
const requests = (spec: object) =>
  requestsOf(
    parsedObject(
      podOf({
        metadata: { name: 'p', namespace: 'n', uid: 'u', creationTimestamp: '2026-11-23T00:00:00Z' },
        spec,
      }),
    ),
  );
const Mi = 1024 ** 2;

describe('the request of a pod', () => {
  test.each([
    [
      'the sum of its containers',
      { containers: [container('a', '100Mi', '100m'), container('b', '50Mi', '1')] },
      150,
      1.1,
    ],
    ['0 without a request', { containers: [container('a')] }, 0, 0],
    [
      'that of the largest init container if that is larger',
      {
        containers: [container('a', '100Mi', '1')],
        initContainers: [container('i', '300Mi', '500m'), container('j', '200Mi')],
      },
      ...[300, 1],
    ],
    [
      'the sum of containers and sidecars',
      { containers: [container('a', '100Mi')], initContainers: [sidecar('s', '50Mi')] },
      ...[150, 0],
    ],
    [
      'that of an init container with the sidecars before it',
      {
        containers: [container('a', '100Mi')],
        initContainers: [sidecar('s', '50Mi'), container('i', '200Mi'), sidecar('t', '60Mi')],
      },
      ...[250, 0],
    ],
    [
      "the pod's own instead of its containers', for each resource",
      {
        containers: [container('a', '100Mi', '1')],
        resources: { requests: { memory: '400Mi' } },
      },
      ...[400, 1],
    ],
    [
      'increased by the overhead of its RuntimeClass',
      { containers: [container('a', '100Mi', '1')], overhead: { memory: '20Mi', cpu: '250m' } },
      ...[120, 1.25],
    ],
  ] as const)('is %s', (_, spec, mebibytes, cores) => {
    expect(requests(spec)).toEqual({ memory: mebibytes * Mi, cores });
  });
});
