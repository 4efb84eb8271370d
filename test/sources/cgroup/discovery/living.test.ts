import { describe, expect, test } from '@jest/globals';
import type { GitalyFolder } from '../../../../src/sources/cgroup/discovery/gitaly-folders.ts';
import { type Choice, chooseLiving } from '../../../../src/sources/cgroup/discovery/living.ts';

const folder = (pid: string, ino: number, bornMs = 0): GitalyFolder => ({
  path: `gitaly/gitaly-${pid}`,
  pid,
  buckets: [0],
  ino,
  bornMs,
});

/** Each look: the folders, those with processes, and which one lives. */
type Look = readonly [folders: readonly GitalyFolder[], busy: readonly string[], lives: string | undefined];

const older = folder('900', 10);
const newer = folder('30', 20);

describe('which of several lives', () => {
  test.each<[string, readonly Look[]]>([
    ['none of none', [[[], [], undefined]]],
    [
      'the only one, idle or not',
      [
        [[older], [], '900'],
        [[older], ['900'], '900'],
      ],
    ],
    [
      'the newest of idle ones, by number and not by name',
      [
        [[older, newer], [], '30'],
        [[newer, older], [], '30'],
      ],
    ],
    [
      'the newest by time, where the file system tells it',
      [[[folder('1', 5, 2000), folder('2', 9, 1000)], [], '1']],
    ],
    ['the one with processes', [[[older, newer], ['900'], '900']]],
    ['the newest of those with processes', [[[older, newer], ['900', '30'], '30']]],
    [
      'an upgrade in place: the old one until the new one has run Git, and never the old one again',
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
      'a start that failed: the old one lives on',
      [
        [[older], [], '900'],
        [[older, newer], [], '900'],
        [[older, newer], ['900'], '900'],
      ],
    ],
    [
      'a guess gives way to processes, until it had some itself',
      [
        [[older, newer], [], '30'],
        [[older, newer], ['900'], '900'],
        [[older, newer], ['30'], '30'],
        [[older, newer], ['900'], '30'],
      ],
    ],
    [
      'when the chosen one is gone, the newest of the rest',
      [
        [[older, newer], ['30'], '30'],
        [[older, folder('7', 15)], [], '7'],
      ],
    ],
    [
      'one made again under the same name is another',
      [
        [[newer, folder('7', 15)], ['7'], '7'],
        [[newer, folder('7', 16)], [], '30'],
      ],
    ],
  ])('%s', (_, looks) => {
    let choice: Choice | undefined;
    for (const [folders, busy, lives] of looks) {
      const found = chooseLiving(folders, choice, ({ pid }) => busy.includes(pid));
      expect(found.git?.pid).toBe(lives);
      expect(found.dead).toHaveLength(Math.max(0, folders.length - 1));
      expect(found.dead).not.toContain(found.git);
      choice = found.choice;
    }
  });
});
