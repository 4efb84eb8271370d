import { expect, test } from '@jest/globals';
import { createConfiguredBuckets } from '../../src/buckets/sizes.ts';
import type { ConfigSource } from '../../src/sources/gitaly/target.ts';
import { createManualClock, settle } from '../support/manual-clock.ts';

const identity = (pod: string) => ({ namespace: 'gitlab', pod, node: 'node-1' });
const withCount = (count: number): string => `[cgroups]\n[cgroups.repositories]\ncount = ${count}\n`;

test('configured counts are read every minute in the background; an unknown count or 0 is undefined', async () => {
  const clock = createManualClock();
  let texts = [
    { name: 'a', text: withCount(100), identities: [identity('a')] },
    { name: 'off', text: withCount(0), identities: [identity('off')] },
    { name: 'broken', text: 'not TOML [', identities: [identity('broken')] },
  ];
  let reads = 0;
  const source: ConfigSource = {
    async read() {
      reads += 1;
      return { texts, failures: [] };
    },
  };
  const buckets = createConfiguredBuckets([source], clock);
  expect([buckets.of(identity('a')), reads]).toEqual([undefined, 1]);
  await settle();
  expect(['a', 'off', 'broken', 'unknown'].map((pod) => buckets.of(identity(pod)))).toEqual([
    100,
    undefined,
    undefined,
    undefined,
  ]);
  expect(reads).toBe(1);
  texts = [{ name: 'a', text: withCount(200), identities: [identity('a')] }];
  await clock.advance(60_000);
  expect(buckets.of(identity('a'))).toBe(100);
  await settle();
  expect([buckets.of(identity('a')), reads]).toEqual([200, 2]);
});
