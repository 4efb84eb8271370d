/** How full volumes are, from what a kubelet answers; and what it costs to ask. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KubeApi } from '../../../../src/sources/kubernetes/api/api.ts';
import { claimsIn, createVolumeStats } from '../../../../src/sources/kubernetes/directory/volume-stats.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { statsSummary } from './stats-summary.ts';
import { named, recordedPods } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const pod = named(pods, 'gl-gitaly-default-0');
const { signal } = new AbortController();
const body = JSON.stringify(statsSummary);

function opened(answer: { status: number; body: string } | 'refused') {
  const asked: string[] = [];
  const api: KubeApi = {
    server: 'https://api',
    async get(path) {
      asked.push(path);
      return answer === 'refused'
        ? { ok: false, failure: { reason: 'refused', message: 'the API server cannot be reached' } }
        : { ok: true, answer: { ...answer, retryAfterSeconds: undefined } };
    },
    stream: () => Promise.reject(new Error('not asked for')),
    close: () => undefined,
  };
  const clock = createManualClock();
  return { asked, clock, stats: createVolumeStats(api, clock) };
}

test('claims alone, each in its namespace; volumes without one are passed over', () => {
  expect(claimsIn(body)).toEqual([
    {
      namespace: 'gitlab',
      claim: 'repo-data-gl-gitaly-default-0',
      capacityBytes: 53_687_091_200,
      availableBytes: 32_212_254_720,
      inodes: { value: { total: 3_276_800, free: 3_000_000 } },
    },
    {
      namespace: 'elsewhere',
      claim: 'repo-data-gl-gitaly-default-0',
      capacityBytes: 2,
      availableBytes: 1,
      inodes: { unknown: expect.stringContaining('makes inodes as it needs them'), notApplicable: true },
    },
  ]);
});

test.each([
  ['not JSON', '<html>', undefined],
  ['no pods', '{}', undefined],
  ['pods without volumes', '{"pods":[{},null,3,{"volume":7}]}', []],
  ['a volume that is being mounted', '{"pods":[{"volume":[{"pvcRef":{"name":"a","namespace":"b"}}]}]}', []],
  [
    'numbers that are none',
    '{"pods":[{"volume":[{"pvcRef":{"name":"a","namespace":"b"},"capacityBytes":-1,"availableBytes":"7"}]}]}',
    [],
  ],
])('%s', (_what, text, claims) => {
  expect(claimsIn(text)).toEqual(claims);
});

test('whatever is answered, it never throws', () => {
  fc.assert(
    fc.property(fc.json(), fc.anything(), (text, value) => {
      claimsIn(text);
      claimsIn(JSON.stringify({ pods: [{ volume: [value] }] }) ?? '');
    }),
  );
});

test("a pod's own claim, in its own namespace; its node is asked once in five minutes", async () => {
  const { stats, asked, clock } = opened({ status: 200, body });
  const twice = await Promise.all([stats.of(pod, signal), stats.of(pod, signal)]);
  expect(twice.map((each) => 'value' in each && each.value.capacityBytes)).toEqual([
    53_687_091_200, 53_687_091_200,
  ]);
  expect(asked).toEqual([`/api/v1/nodes/${pod.node}/proxy/stats/summary`]);
  await clock.advance(299_999);
  await stats.of(pod, signal);
  expect(asked).toHaveLength(1);
  await clock.advance(1);
  await stats.of(pod, signal);
  expect(asked).toHaveLength(2);
});

test('a claim of the same name in another namespace is another claim', async () => {
  const reversed = JSON.stringify({ ...statsSummary, pods: statsSummary.pods.toReversed() });
  const found = await opened({ status: 200, body: reversed }).stats.of(pod, signal);
  expect('value' in found && found.value.capacityBytes).toBe(53_687_091_200);
});

describe('what is not told is not known, and says why', () => {
  test.each<[{ status: number; body: string } | 'refused', string]>([
    [{ status: 403, body: '' }, 'may not get nodes/proxy'],
    [{ status: 503, body: '' }, 'HTTP 503'],
    [{ status: 200, body: '<html>' }, 'something else than stats/summary'],
    ['refused', 'cannot be reached'],
    [{ status: 200, body: '{"pods":[]}' }, 'tells nothing of claim repo-data-gl-gitaly-default-0'],
  ])('%j', async (answer, why) => {
    expect(await opened(answer).stats.of(pod, signal)).toEqual({ unknown: expect.stringContaining(why) });
  });

  test('a failure is not kept: the next look asks again', async () => {
    const { stats, asked } = opened('refused');
    await stats.of(pod, signal);
    await stats.of(pod, signal);
    expect(asked).toHaveLength(2);
  });

  test('a pod without a node, and one without a claim', async () => {
    const { stats, asked } = opened({ status: 200, body });
    expect(await stats.of({ ...pod, node: '' }, signal)).toEqual({
      unknown: expect.stringContaining('no node'),
    });
    expect(await stats.of({ ...pod, claims: [] }, signal)).toMatchObject({ notApplicable: true });
    expect(asked).toEqual([]);
  });
});
