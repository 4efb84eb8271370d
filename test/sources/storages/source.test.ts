/** gitaly_storage_info from addresses, targets and the setting. */
import { expect, test } from '@jest/globals';
import { expositionText } from '../../../src/metrics/exposition.ts';
import { createStorageCollector } from '../../../src/sources/storages/source.ts';

const run = { signal: AbortSignal.timeout(60_000), cause: 'due' } as const;

async function lines(collector: ReturnType<typeof createStorageCollector>): Promise<readonly string[]> {
  const outcome = await collector.collect(run);
  if (outcome.kind !== 'data') throw new Error(outcome.kind);
  return expositionText([outcome.block])
    .split('\n')
    .filter((line) => line.startsWith('gitaly_storage_info{'));
}

const node = (storage: string, address: string) => ({ virtualStorage: 'default', storage, address });

test('each storage has its Gitaly; a removed pod keeps its storage, and an unknown address is exposed', async () => {
  let servers = [
    { identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'worker-1' }, host: '10.1.0.5' },
  ];
  const collector = createStorageCollector({
    nodes: [
      node('gitaly-1', 'tcp://10.1.0.5:8075'),
      node('gitaly-2', 'tls://vm.example.com:9999'),
      node('gitaly-3', ''),
    ],
    configured: new Map([['gitaly-3', 'storage-host']]),
    servers: async () => servers,
    resolve: async () => {
      throw new Error('ENOTFOUND');
    },
  });
  const expected = [
    'gitaly_storage_info{virtual_storage="default",storage="gitaly-1",namespace="gitlab",pod="gl-gitaly-0",node="",server="gitlab/gl-gitaly-0"} 1',
    'gitaly_storage_info{virtual_storage="default",storage="gitaly-2",namespace="",pod="",node="vm.example.com",server="vm.example.com"} 1',
    'gitaly_storage_info{virtual_storage="default",storage="gitaly-3",namespace="",pod="",node="storage-host",server="storage-host"} 1',
  ];
  expect(await lines(collector)).toEqual(expected);
  servers = [];
  expect(await lines(collector)).toEqual(expected);
});

test('a name that DNS never resolves ends with the run', async () => {
  const collector = createStorageCollector({
    nodes: [node('gitaly-1', 'tcp://vm.example.com:8075')],
    configured: new Map(),
    servers: async () => [],
    resolve: () => new Promise(() => undefined),
  });
  const outcome = await collector.collect({ ...run, signal: AbortSignal.abort() });
  expect(outcome.kind).toBe('data');
});
