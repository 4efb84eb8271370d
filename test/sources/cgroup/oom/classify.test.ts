import { describe, expect, test } from '@jest/globals';
import { classify, type MovedCgroup, noGroup } from '../../../../src/sources/cgroup/oom/classify.ts';

type Moved = MovedCgroup<string>;

const cgroup = (
  place: string,
  level: Moved['level'],
  counts: Partial<Pick<Moved, 'kills' | 'ooms' | 'groupKills' | 'isGroup' | 'group'>> = {},
  children: readonly Moved[] = [],
): Moved => ({
  place,
  level,
  kills: 0,
  ooms: 0,
  groupKills: 0,
  isGroup: false,
  group: noGroup,
  ...counts,
  children,
});

/** `victim: processes by level / events`. */
const lines = (top: Moved): readonly string[] =>
  classify(top)
    .kills.map(({ events, level, processes, victim }) => `${victim}: ${processes} by ${level} / ${events}`)
    .sort();

describe('the limit that was reached', () => {
  test('is the innermost one whose oom increased, for at most as many kills as that increase', () => {
    const bucket = cgroup('repos-3', 'bucket', { kills: 5, ooms: 2 });
    const git = cgroup('gitaly-1', 'git', { ooms: 1 }, [bucket]);
    expect(lines(cgroup('pod', 'pod', { ooms: 1 }, [git]))).toEqual([
      'repos-3: 1 by git / 1',
      'repos-3: 1 by node / 1',
      'repos-3: 1 by pod / 1',
      'repos-3: 2 by bucket / 2',
    ]);
  });

  test('has one kill for thousands of oom events if one process was killed', () => {
    expect(lines(cgroup('repos-0', 'bucket', { kills: 1, ooms: 8491 }))).toEqual([
      'repos-0: 1 by bucket / 1',
    ]);
  });

  test('loses an oom that explains a kill, so that it explains no other kill', () => {
    const bucket = cgroup('repos-0', 'bucket', { kills: 1, ooms: 3 });
    expect(classify(bucket).spent.get('repos-0')).toBe(1);
  });
});

describe('a group kill', () => {
  test('is one incident, with its first victim counted once, wherever its processes were', () => {
    const buckets = [2, 3].map((each) => cgroup(`repos-${each}`, 'bucket', { kills: each - 1 }));
    const git = cgroup('gitaly-1', 'git', {}, buckets);
    const scope = cgroup('scope', 'container', { kills: 4, ooms: 1, groupKills: 1 }, [git]);
    expect(lines(cgroup('pod', 'pod', {}, [scope]))).toEqual([
      'repos-2: 1 by container / 0',
      'repos-3: 2 by container / 0',
      'scope: 3 by container / 1',
    ]);
  });

  test('by a limit around the group has the level of that limit', () => {
    const scope = cgroup('scope', 'container', { kills: 4, groupKills: 1 });
    expect(lines(cgroup('pod', 'pod', { ooms: 1 }, [scope]))).toEqual(['scope: 3 by pod / 1']);
    expect(lines(cgroup('pod', 'pod', {}, [scope]))).toEqual(['scope: 3 by node / 1']);
  });

  test('excludes kills at the limit of a bucket in the group', () => {
    const bucket = cgroup('repos-3', 'bucket', { kills: 2, ooms: 1 });
    const scope = cgroup('scope', 'container', { kills: 3, ooms: 1, groupKills: 1 }, [bucket]);
    expect(lines(scope)).toEqual([
      'repos-3: 1 by bucket / 1',
      'repos-3: 1 by container / 0',
      'scope: 2 by container / 1',
    ]);
  });

  test('and another kill, each at its own limit, are two incidents', () => {
    const scope = cgroup('scope', 'container', { kills: 7, ooms: 1, groupKills: 2 });
    expect(lines(cgroup('pod', 'pod', { ooms: 2 }, [scope]))).toEqual([
      'scope: 2 by pod / 1',
      'scope: 3 by container / 1',
    ]);
  });

  test('that is read step by step is one incident of one level', () => {
    const kernel = { isGroup: true, ooms: 0, groupKills: 0 };
    const readings = [
      { ...kernel, ooms: 1, kills: 1 },
      { ...kernel, kills: 1, groupKills: 1 },
      { ...kernel, kills: 2 },
      { ...kernel, kills: 1 },
    ];
    let group: Moved['group'] = noGroup;
    const seen = readings.map((counts) => {
      const scope = cgroup('scope', 'container', { ...counts, group });
      group = classify(scope).groups.get('scope') ?? group;
      return lines(scope);
    });
    // Five kills of four processes: the first victim was killed twice.
    expect(seen).toEqual([
      ['scope: 1 by container / 1'],
      [],
      ['scope: 2 by container / 0'],
      ['scope: 1 by container / 0'],
    ]);
  });

  test('whose oom_group_kill is read before any of its victims is one incident', () => {
    const first = cgroup('scope', 'container', { isGroup: true, ooms: 1, groupKills: 1 });
    expect(lines(first)).toEqual([]);
    const group = classify(first).groups.get('scope') ?? noGroup;
    const later = cgroup('scope', 'container', { isGroup: true, ooms: 1, kills: 3, group });
    expect(lines(later)).toEqual(['scope: 2 by container / 1']);
  });

  test('without oom_group_kill consists of the kills between two readings', () => {
    const scope = cgroup('scope', 'container', { kills: 4, ooms: 2, isGroup: true });
    expect(lines(scope)).toEqual(['scope: 3 by container / 1']);
    expect(lines(cgroup('scope', 'container', { isGroup: true }))).toEqual([]);
  });
});
