import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KubeApi } from '../../../../src/sources/kubernetes/api/api.ts';
import { claimsIn, createVolumeStats } from '../../../../src/sources/kubernetes/directory/volume-stats.ts';
import { parseJsonText } from '../../../../src/sources/kubernetes/watch/json.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { named, recordedPods } from './support.ts';

/**
 * A response of /stats/summary, hand-written in the format of k8s.io/kubelet/pkg/apis/stats/v1alpha1
 * (types.go), as the tests run without a kubelet.
 */
const statsSummary = {
  node: {
    nodeName: 'lab-node-4',
    startTime: '2026-11-23T00:25:00Z',
    memory: { time: '2026-11-23T00:40:00Z', availableBytes: 8_000_000_000, usageBytes: 4_000_000_000 },
    fs: {
      capacityBytes: 100_000_000_000,
      availableBytes: 60_000_000_000,
      inodes: 6_553_600,
      inodesFree: 6_000_000,
    },
    runtime: { imageFs: { capacityBytes: 100_000_000_000, availableBytes: 60_000_000_000 } },
  },
  pods: [
    {
      podRef: { name: 'gl-gitaly-default-0', namespace: 'gitlab', uid: 'aaaa' },
      startTime: '2026-11-23T00:35:07Z',
      containers: [{ name: 'gitaly', memory: { workingSetBytes: 500_000_000 }, rootfs: { usedBytes: 4096 } }],
      volume: [
        {
          time: '2026-11-23T00:40:00Z',
          name: 'gitaly-secrets',
          availableBytes: 100_000,
          capacityBytes: 100_000,
          usedBytes: 0,
          inodes: 1000,
          inodesFree: 990,
          inodesUsed: 10,
        },
        {
          time: '2026-11-23T00:40:00Z',
          name: 'repo-data',
          pvcRef: { name: 'repo-data-gl-gitaly-default-0', namespace: 'gitlab' },
          availableBytes: 32_212_254_720,
          capacityBytes: 53_687_091_200,
          usedBytes: 21_474_836_480,
          inodes: 3_276_800,
          inodesFree: 3_000_000,
          inodesUsed: 276_800,
          volumeHealthStats: { abnormal: false },
        },
      ],
      'ephemeral-storage': { usedBytes: 4096 },
    },
    {
      podRef: { name: 'gl-praefect-0', namespace: 'gitlab', uid: 'bbbb' },
      containers: [],
    },
    {
      podRef: { name: 'other', namespace: 'elsewhere', uid: 'cccc' },
      volume: [
        {
          name: 'data',
          pvcRef: { name: 'repo-data-gl-gitaly-default-0', namespace: 'elsewhere' },
          availableBytes: 1,
          capacityBytes: 2,
          inodes: 0,
          inodesFree: 0,
        },
      ],
    },
  ],
};

const pods = recordedPods('posture-good', 'at-rest');
const pod = named(pods, 'gl-gitaly-default-0');
const { signal } = new AbortController();
const body = JSON.stringify(statsSummary);

function opened(response: { status: number; body: string } | 'refused') {
  const requests: string[] = [];
  const api: KubeApi = {
    server: 'https://api',
    async get(path) {
      requests.push(path);
      return response === 'refused'
        ? { ok: false, failure: { reason: 'refused', message: 'the API server cannot be reached' } }
        : { ok: true, response: { ...response, retryAfterSeconds: undefined } };
    },
    stream: () => Promise.reject(new Error('not used')),
    clockSkewMs: () => undefined,
    withoutSecrets: (bytes: Buffer) => bytes,
    close: () => undefined,
  };
  const clock = createManualClock();
  return { requests, clock, stats: createVolumeStats(api, clock) };
}

test('a summary has its claims with their namespaces; other volumes are skipped', () => {
  expect(claimsIn(parseJsonText(body))).toEqual([
    {
      namespace: 'gitlab',
      claim: 'repo-data-gl-gitaly-default-0',
      ageMs: 0,
      capacityBytes: 53_687_091_200,
      availableBytes: 32_212_254_720,
      inodes: { value: { total: 3_276_800, free: 3_000_000 } },
    },
    {
      namespace: 'elsewhere',
      claim: 'repo-data-gl-gitaly-default-0',
      ageMs: undefined,
      capacityBytes: 2,
      availableBytes: 1,
      inodes: { unknown: expect.stringContaining('allocates inodes on demand'), notApplicable: true },
    },
  ]);
});

test.each([
  ['not JSON', '<html>', undefined],
  ['not a summary', '{}', undefined],
  ['pods without volumes', '{"pods":[{},null,3,{"volume":7}]}', []],
  ['a volume that is being mounted', '{"pods":[{"volume":[{"pvcRef":{"name":"a","namespace":"b"}}]}]}', []],
  [
    'invalid numbers',
    '{"pods":[{"volume":[{"pvcRef":{"name":"a","namespace":"b"},"capacityBytes":-1,"availableBytes":"7"}]}]}',
    [],
  ],
])('%s is read as far as possible', (_what, text, claims) => {
  expect(claimsIn(parseJsonText(text))).toEqual(claims);
});

test('parsing never throws', () => {
  fc.assert(
    fc.property(fc.json(), fc.anything(), (text, value) => {
      claimsIn(parseJsonText(text));
      claimsIn({ pods: [{ volume: [value] }] });
    }),
  );
});

test("the values are those of the pod's own claim, and its node is requested once in five minutes", async () => {
  const { stats, requests, clock } = opened({ status: 200, body });
  const twice = await Promise.all([stats.of(pod, signal), stats.of(pod, signal)]);
  expect(twice.map((each) => 'value' in each && each.value.capacityBytes)).toEqual([
    53_687_091_200, 53_687_091_200,
  ]);
  expect(requests).toEqual([`/api/v1/nodes/${pod.node}/proxy/stats/summary`]);
  await clock.advance(299_999);
  await stats.of(pod, signal);
  expect(requests).toHaveLength(1);
  await clock.advance(1);
  await stats.of(pod, signal);
  expect(requests).toHaveLength(2);
});

test('a claim of the same name in another namespace is not used', async () => {
  const reversed = JSON.stringify({ ...statsSummary, pods: statsSummary.pods.toReversed() });
  const found = await opened({ status: 200, body: reversed }).stats.of(pod, signal);
  expect('value' in found && found.value.capacityBytes).toBe(53_687_091_200);
});

test('of several claims the fullest counts, and one that is not reported makes them unknown', async () => {
  const volume = (name: string, availableBytes: number, inodesFree: number) => ({
    ...{ name, capacityBytes: 100, availableBytes, inodes: 100, inodesFree },
    pvcRef: { name, namespace: pod.namespace },
  });
  const summary = { pods: [{ volume: [volume('logs', 90, 4), volume('repositories', 3, 80)] }] };
  const { stats } = opened({ status: 200, body: JSON.stringify(summary) });
  for (const claims of [
    ['logs', 'repositories'],
    ['repositories', 'logs'],
  ])
    expect(await stats.of({ ...pod, claims }, signal)).toEqual({
      value: { capacityBytes: 100, availableBytes: 3, inodes: { value: { total: 100, free: 4 } } },
    });
  expect(await stats.of({ ...pod, claims: ['logs', 'other'] }, signal)).toEqual({
    unknown: expect.stringContaining('does not report claim other'),
  });
});

test('figures that the kubelet has not renewed are unknown, whatever its clock', async () => {
  const later = (minutes: number) => {
    const time = new Date(Date.parse('2026-11-23T00:40:00Z') + minutes * 60_000).toISOString();
    return JSON.stringify({ ...statsSummary, node: { ...statsSummary.node, cpu: { time } } });
  };
  expect(await opened({ status: 200, body: later(10) }).stats.of(pod, signal)).toHaveProperty('value');
  expect(await opened({ status: 200, body: later(11) }).stats.of(pod, signal)).toEqual({
    unknown: expect.stringContaining('last read claim repo-data-gl-gitaly-default-0 11 min ago'),
  });
});

describe('the values are unknown, with the reason, for', () => {
  test.each<[{ status: number; body: string } | 'refused', string]>([
    [{ status: 403, body: '' }, 'no right to get nodes/proxy'],
    [{ status: 503, body: '' }, 'HTTP 503'],
    [{ status: 200, body: '<html>' }, 'something else than stats/summary'],
    ['refused', 'cannot be reached'],
    [{ status: 200, body: '{"pods":[]}' }, 'does not report claim repo-data-gl-gitaly-default-0'],
  ])('the response %j', async (response, why) => {
    expect(await opened(response).stats.of(pod, signal)).toEqual({ unknown: expect.stringContaining(why) });
  });

  test('a failed request, which the next call repeats', async () => {
    const { stats, requests } = opened('refused');
    await stats.of(pod, signal);
    await stats.of(pod, signal);
    expect(requests).toHaveLength(2);
  });

  test('a pod without a node or a claim', async () => {
    const { stats, requests } = opened({ status: 200, body });
    expect(await stats.of({ ...pod, node: '' }, signal)).toEqual({
      unknown: expect.stringContaining('not scheduled'),
    });
    // Repositories may be on a hostPath, whose file system may be full.
    expect(await stats.of({ ...pod, claims: [] }, signal)).toEqual({
      unknown: expect.stringContaining('no persistent volume claim'),
    });
    expect(requests).toEqual([]);
  });
});
