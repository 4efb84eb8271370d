/** The Gitaly that an address in Praefect's configuration refers to. */
import { describe, expect, test } from '@jest/globals';
import type { Identity } from '../../../src/sources/identity.ts';
import {
  type KnownServer,
  serverAt,
  serverNamed,
  storageHostOf,
} from '../../../src/sources/storages/match.ts';

test.each([
  ['tcp://gitaly-0.gitaly.gitlab.svc:8075', 'gitaly-0.gitaly.gitlab.svc'],
  ['tls://10.0.0.7:9999', '10.0.0.7'],
  ['tcp://[2001:DB8::7]:8075', '2001:db8::7'],
  ['dns:///Gitaly-1.example.com:8075', 'gitaly-1.example.com'],
  ['dns://10.0.0.53/gitaly-1.example.com:8075', 'gitaly-1.example.com'],
  ['tcp://gitaly-1:8075/', 'gitaly-1'],
  ['unix:/var/opt/gitlab/gitaly/gitaly.socket', undefined],
  ['', undefined],
  ['gitaly-1', undefined],
])('the host of %p is %p', (address, host) => {
  expect(storageHostOf(address)).toBe(host);
});

const pod = (namespace: string, name: string): Identity => ({ namespace, pod: name, node: '' });
const vm = (node: string): Identity => ({ namespace: '', pod: '', node });
const server = (identity: Identity, host: string, ...addresses: readonly string[]): KnownServer => ({
  identity,
  host,
  addresses,
});

const servers = [
  server({ ...pod('gitlab', 'gl-gitaly-0'), node: 'worker-1' }, '10.1.0.5', '10.1.0.5'),
  server({ ...pod('gitlab', 'gl-gitaly-1'), node: 'worker-2' }, '10.1.0.6', '10.1.0.6'),
  server({ ...pod('other', 'gl-gitaly-0'), node: 'worker-3' }, '10.1.0.7', '10.1.0.7'),
  server(vm('storage-a'), 'gitaly-a.example.com', '192.0.2.1'),
  server(vm('gitaly-b'), '192.0.2.2', '192.0.2.2'),
];

describe('the Gitaly at an address', () => {
  test.each<[string, readonly string[], Identity | undefined]>([
    ['10.1.0.5', [], pod('gitlab', 'gl-gitaly-0')],
    ['gl-gitaly-1.gl-gitaly.gitlab.svc.cluster.local', [], pod('gitlab', 'gl-gitaly-1')],
    ['gl-gitaly-0.gl-gitaly.other.svc', [], pod('other', 'gl-gitaly-0')],
    ['gl-gitaly-1.gl-gitaly', [], pod('gitlab', 'gl-gitaly-1')],
    // Only DNS could decide which of the two pods of this name it refers to.
    ['gl-gitaly-0.gl-gitaly', ['10.1.0.7'], undefined],
    ['gitaly-a.example.com', [], vm('storage-a')],
    ['gitaly-b.example.com', [], vm('gitaly-b')],
    ['gitaly-a', [], vm('storage-a')],
    ['storage.internal', ['192.0.2.2'], vm('gitaly-b')],
    ['storage.internal', ['192.0.2.9'], undefined],
    // A load balancer.
    ['all.internal', ['192.0.2.1', '192.0.2.2'], undefined],
  ])('%s (%p) is %p', (host, addresses, expected) => {
    expect(serverAt(host, addresses, servers)).toEqual(expected);
  });

  test('is found by the name of a pod in its headless service while the pod does not exist', () => {
    expect(serverAt('gl-gitaly-2.gl-gitaly.gitlab.svc', [], [])).toEqual(pod('gitlab', 'gl-gitaly-2'));
    expect(serverAt('db.gitlab.example.com', [], [])).toBeUndefined();
  });
});

test.each([
  ['gitlab/gl-gitaly-9', pod('gitlab', 'gl-gitaly-9')],
  ['gl-gitaly-1', pod('gitlab', 'gl-gitaly-1')],
  ['gitaly-b', vm('gitaly-b')],
])('praefect.storage-server %s is %p', (name, expected) => {
  expect(serverNamed(name, servers)).toEqual(expected);
});
