import { describe, expect, test } from '@jest/globals';
import type { GitFolder } from '../../../../src/sources/cgroup/discovery/scan-pod.ts';
import {
  type CurrentGit,
  chooseCurrentGit,
  nameContainers,
} from '../../../../src/sources/cgroup/discovery/trees.ts';

const folder = (pid: string, ino: number, createdMs = 0): GitFolder => ({
  path: `gitaly/gitaly-${pid}`,
  pid,
  buckets: [0],
  ino,
  createdMs,
});

/** One scan per entry: the folders, those with processes, and the current one. */
type Step = readonly [folders: readonly GitFolder[], busy: readonly string[], current: string | undefined];

const older = folder('900', 10);
const newer = folder('30', 20);

describe('the current gitaly-<pid>', () => {
  test.each<[string, readonly Step[]]>([
    ['is undefined without folders', [[[], [], undefined]]],
    [
      'is the only one, idle or not',
      [
        [[older], [], '900'],
        [[older], ['900'], '900'],
      ],
    ],
    [
      'is the newest of idle ones, by inode and not by name',
      [
        [[older, newer], [], '30'],
        [[newer, older], [], '30'],
      ],
    ],
    [
      'is the newest by time, where the file system has it',
      [[[folder('1', 5, 2000), folder('2', 9, 1000)], [], '1']],
    ],
    ['is the one with processes', [[[older, newer], ['900'], '900']]],
    ['is the newest of those with processes', [[[older, newer], ['900', '30'], '30']]],
    [
      'is the old one during an upgrade in place until the new one has run Git, then never again',
      [
        [[older], ['900'], '900'],
        [[older, newer], ['900'], '900'],
        [[older, newer], [], '900'],
        [[older, newer], ['900', '30'], '30'],
        [[older, newer], ['900'], '30'],
        [[newer], [], '30'],
      ],
    ],
    [
      'stays the old one after a start that failed',
      [
        [[older], ['900'], '900'],
        [[older, newer], [], '900'],
        [[older, newer], ['900'], '900'],
      ],
    ],
    [
      'is a guess until another one has processes, unless it had some itself',
      [
        [[older, newer], [], '30'],
        [[older, newer], ['900'], '900'],
        [[older, newer], ['30'], '30'],
        [[older, newer], ['900'], '30'],
      ],
    ],
    [
      'is the newest of the rest when the chosen one was removed',
      [
        [[older, newer], ['30'], '30'],
        [[older, folder('7', 15)], [], '7'],
      ],
    ],
    [
      'is not a re-created one of the same name',
      [
        [[newer, folder('7', 15)], ['7'], '7'],
        [[newer, folder('7', 16)], [], '30'],
      ],
    ],
  ])('%s', (_, steps) => {
    let before: CurrentGit | undefined;
    for (const [folders, busy, expected] of steps) {
      const { chosen, current, dead } = chooseCurrentGit(folders, before, ({ pid }) => busy.includes(pid));
      expect(current?.pid).toBe(expected);
      expect(dead).toHaveLength(Math.max(0, folders.length - 1));
      expect(dead).not.toContain(current);
      before = chosen;
    }
  });
});

test('containers without a known name never share one, even if their IDs have a common prefix', () => {
  const ids = ['0123456789abcdef', '0123456789ab0000', 'ffff456789abcdef'];
  const containers = ids.map((id) => ({ path: `pod/${id}`, id }));
  expect(nameContainers(containers, undefined, undefined).map(({ name }) => name)).toEqual([
    '0123456789ab0000',
    '0123456789abcdef',
    'ffff456789ab',
  ]);
});
