/** Repositories with fewer healthy replicas than default_replication_factor. */
import { expect, test } from '@jest/globals';
import { expositionText } from '../../../../src/metrics/exposition.ts';
import { replicaFamilies } from '../../../../src/sources/praefect/mirror/metrics.ts';

const counts = (byHealthyReplicas: readonly number[] | undefined) => ({
  ...{ virtualStorage: 'default', storages: [], repositories: 10, lost: 0, withoutPrimary: 0 },
  ...{ unavailable: undefined, readOnly: undefined, singleCopy: undefined, byHealthyReplicas },
});

const belowFactor = (byHealthyReplicas: readonly number[] | undefined, factor: number | undefined) => {
  const factors = new Map(factor === undefined ? [] : [['default', factor]]);
  return expositionText([{ families: replicaFamilies([counts(byHealthyReplicas)], factors) }])
    .split('\n')
    .filter((line) => line.startsWith('praefect_db_repositories_below_replication_factor{'))
    .map((line) => Number(line.split(' ')[1]));
};

test.each([
  ['none of 3 replicas is missing', [0, 0, 0, 10], 3, [0]],
  ['one replica, and two', [1, 2, 3, 4], 3, [6]],
  ['a factor of 1 is missed by repositories without a healthy replica', [1, 2, 3, 4], 1, [1]],
  ['more than the number of storages', [1, 2, 3, 4], 5, [10]],
  ['unknown health: absent, not 0', undefined, 3, []],
  ['no factor: absent', [1, 2, 3, 4], undefined, []],
])('%s', (_, byHealthyReplicas, factor, expected) => {
  expect(belowFactor(byHealthyReplicas, factor)).toEqual(expected);
});
