import { expect, test } from '@jest/globals';
import { createExpectedPods } from '../../../src/sources/kubernetes/expected-pods.ts';
import type { Pod } from '../../../src/sources/kubernetes/objects/types.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { createFakeStores, listMoment } from './support.ts';

test('an event that only changes a pod is not compared with all pods, and one that deletes it dates its absence', async () => {
  const stores = createFakeStores();
  const clock = createManualClock();
  let compared = 0;
  const isIncluded = () => {
    compared += 1;
    return true;
  };
  const { missing } = createExpectedPods({ stores, isIncluded, clock });
  listMoment(stores, 'rotate-delete', '0-before');
  const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-1') as Pod;
  expect(missing()).toEqual([]);

  compared = 0;
  stores.pods.put({ ...pod, conditions: {} }, clock.now());
  expect(compared).toBe(0);

  stores.pods.remove(pod, clock.now());
  const deletedAt = clock.now();
  await clock.advance(60_000);
  expect(missing()).toMatchObject([{ pod: 'gl-gitaly-default-1', since: deletedAt }]);
});
