import { describe, expect, test } from '@jest/globals';
import { classify, type MovedCgroup } from '../../../src/cgroup/oom/classify.ts';

type Moved = MovedCgroup<string>;

const cgroup = (
  place: string,
  level: Moved['level'],
  counts: Partial<Pick<Moved, 'kills' | 'ooms' | 'groupKills' | 'owed'>> = {},
  children: readonly Moved[] = [],
): Moved => ({ place, level, kills: 0, ooms: 0, groupKills: 0, owed: 0, ...counts, children });

/** `victim: processes by level / events`. */
const lines = (top: Moved): readonly string[] =>
  classify(top)
    .kills.map(
      ({ events, level, processes, victim }) => `${victim.place}: ${processes} by ${level} / ${events}`,
    )
    .sort();

describe('whose limit ran out', () => {
  test('the innermost whose oom moved, for no more kills than it moved', () => {
    const bucket = cgroup('repos-3', 'bucket', { kills: 5, ooms: 2 });
    const git = cgroup('gitaly-1', 'git', { ooms: 1 }, [bucket]);
    expect(lines(cgroup('pod', 'pod', { ooms: 1 }, [git]))).toEqual([
      'repos-3: 1 by git / 1',
      'repos-3: 1 by node / 1',
      'repos-3: 1 by pod / 1',
      'repos-3: 2 by bucket / 2',
    ]);
  });

  test('thousands of oom for one kill are one kill', () => {
    expect(lines(cgroup('repos-0', 'bucket', { kills: 1, ooms: 8491 }))).toEqual([
      'repos-0: 1 by bucket / 1',
    ]);
  });

  test('what a kill explains is told, so that it explains no other', () => {
    const bucket = cgroup('repos-0', 'bucket', { kills: 1, ooms: 3 });
    expect(classify(bucket).spent.get(bucket)).toBe(1);
  });
});

describe('a group', () => {
  test('is one incident, its first victim counted once, wherever its processes were', () => {
    const buckets = [2, 3].map((each) => cgroup(`repos-${each}`, 'bucket', { kills: each - 1 }));
    const git = cgroup('gitaly-1', 'git', {}, buckets);
    const scope = cgroup('scope', 'container', { kills: 4, ooms: 1, groupKills: 1 }, [git]);
    expect(lines(cgroup('pod', 'pod', {}, [scope]))).toEqual([
      'repos-2: 1 by container / 0',
      'repos-3: 2 by container / 0',
      'scope: 3 by container / 1',
    ]);
  });

  test('that dies for a limit around it has that level', () => {
    const scope = cgroup('scope', 'container', { kills: 4, groupKills: 1 });
    expect(lines(cgroup('pod', 'pod', { ooms: 1 }, [scope]))).toEqual(['scope: 3 by pod / 1']);
    expect(lines(cgroup('pod', 'pod', {}, [scope]))).toEqual(['scope: 3 by node / 1']);
  });

  test('leaves alone what died in it for a bucket of its own', () => {
    const bucket = cgroup('repos-3', 'bucket', { kills: 2, ooms: 1 });
    const scope = cgroup('scope', 'container', { kills: 3, ooms: 1, groupKills: 1 }, [bucket]);
    expect(lines(scope)).toEqual([
      'repos-3: 1 by bucket / 1',
      'repos-3: 1 by container / 0',
      'scope: 2 by container / 1',
    ]);
  });

  test('two groups, each with its own limit', () => {
    const scope = cgroup('scope', 'container', { kills: 7, ooms: 1, groupKills: 2 });
    expect(lines(cgroup('pod', 'pod', { ooms: 2 }, [scope]))).toEqual([
      'scope: 2 by pod / 1',
      'scope: 3 by container / 1',
    ]);
  });

  test('of which one process is seen yet owes its double count, and pays with the next', () => {
    const half = cgroup('scope', 'container', { kills: 1, ooms: 1, groupKills: 1 });
    expect(lines(half)).toEqual(['scope: 1 by container / 1']);
    expect(classify(half).owed.get(half)).toBe(1);
    expect(lines(cgroup('scope', 'container', { kills: 1, owed: 1 }))).toEqual([]);
  });

  test('on a kernel that counts no groups is all that died in one reading', () => {
    const scope = cgroup('scope', 'container', { kills: 4, ooms: 2, groupKills: 'unknown' });
    expect(lines(scope)).toEqual(['scope: 3 by container / 1']);
    expect(lines(cgroup('scope', 'container', { groupKills: 'unknown' }))).toEqual([]);
  });
});
