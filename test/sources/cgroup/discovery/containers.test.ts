import { expect, test } from '@jest/globals';
import { nameContainers } from '../../../../src/sources/cgroup/discovery/containers.ts';

test('containers that nobody named never share a name, however their ids begin', () => {
  const ids = ['0123456789abcdef', '0123456789ab0000', 'ffff456789abcdef'];
  const containers = ids.map((id) => ({ path: `pod/${id}`, id }));
  expect(nameContainers(containers, undefined, undefined).map(({ name }) => name)).toEqual([
    '0123456789ab0000',
    '0123456789abcdef',
    'ffff456789ab',
  ]);
});
