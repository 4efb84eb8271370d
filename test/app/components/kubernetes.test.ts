import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { type KubernetesPart, kubernetesPart } from '../../../src/app/components/kubernetes.ts';
import type { PartOptions } from '../../../src/app/components/part.ts';
import type { Settings } from '../../../src/config/sections/index.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { startKubeApi, type TestKubeApi } from '../../support/kube-api.ts';

// Loading it takes a second or several, and is not what is tested here.
beforeAll(async () => void (await import('@kubernetes/client-node')), 60_000);

let folder: string;
let api: TestKubeApi;
let part: KubernetesPart;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kubernetes-part-'));
  api = await startKubeApi();
});
afterEach(async () => {
  await part.stop();
  await api.close();
  rmSync(folder, { recursive: true });
});

function start(): KubernetesPart {
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: api.url.origin } }],
      users: [{ name: 'u', user: { token: 't' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return kubernetesPart({
    settings: {
      kubernetes: {
        ...{
          enabled: true,
          role: 'all',
          kubeconfig,
          gitalySelector: 'app=gitaly',
          praefectSelector: 'app=praefect',
        },
        ...{ scrape: false, volumeStats: false, staleAfter: 300_000 },
      },
      cgroup: { enabled: false },
      gitaly: { scrape: { tls: {} } },
    } as Settings,
    ...{ clock: systemClock, log: silentLog, events: createEventLog(systemClock) },
  } as unknown as PartOptions);
}

test('the first look waits for the first list, and is given the time to', async () => {
  api.load('posture-good', 'at-rest');
  part = start();
  const [collector] = part.collectors;
  // Three seconds are what it may wait.
  expect(collector?.schedule.timeoutMs).toBeGreaterThan(3000);
  const first = await collector?.collect({ signal: new AbortController().signal, cause: 'due' });
  expect(first?.kind).toBe('data');
});
