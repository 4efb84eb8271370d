import { describe, expect, test } from '@jest/globals';
import { cgroupProblems } from '../../../src/rules/problems/cgroup.ts';
import type { OomKill, OomLevel } from '../../../src/sources/cgroup/oom/record.ts';
import type { CgroupGitalyView, CgroupView, LevelView } from '../../../src/sources/cgroup/view.ts';

const identity = { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'node-1' };
const mebibyte = 2 ** 20;
const at = Date.UTC(2026, 0, 1, 3);

const level = (name: LevelView['level'], own: Partial<LevelView> = {}): LevelView => ({
  level: name,
  container: name === 'container' ? 'gitaly' : undefined,
  usage: undefined,
  anon: undefined,
  limit: undefined,
  cpuLimit: undefined,
  throttling: undefined,
  readErrors: [],
  ...own,
});

const limit = (mebibytes: number) => ({ kind: 'limit', value: mebibytes * mebibyte }) as const;

const gitaly = (own: Partial<CgroupGitalyView>): CgroupGitalyView => ({
  identity,
  uid: 'u',
  layout: 'sibling',
  levels: [],
  buckets: undefined,
  oom: undefined,
  ...own,
});

const kill = (of: OomLevel, own: Partial<OomKill> = {}): OomKill => ({
  at,
  tree: 'u',
  identity,
  level: of,
  processes: 1,
  events: 1,
  bucket: 3,
  container: undefined,
  memory: { limit: 100 * mebibyte, usage: 2 * mebibyte, anon: mebibyte },
  fromAncestor: false,
  ...own,
});

const problems = (own: Partial<CgroupView>) =>
  cgroupProblems({
    view: {
      failure: undefined,
      failures: [],
      missing: [],
      notes: [],
      gitalys: [],
      disappeared: [],
      kills: [],
      ...own,
    },
  });

test('a quiet host has none', () => {
  const quiet = gitaly({
    levels: [
      level('pod', { anon: 100 * mebibyte, limit: limit(300), throttling: { ratio: 0.01, periods: 3000 } }),
      level('git', { anon: 200 * mebibyte, limit: limit(250) }),
    ],
    buckets: { found: 10, active: 2, readErrors: 0, nearLimit: [] },
  });
  expect(problems({ gitalys: [quiet] })).toEqual([]);
});

describe('OOM kills', () => {
  test('one problem for each Gitaly and level, since the oldest of the hour', () => {
    const [first, ...more] = problems({
      gitalys: [gitaly({})],
      kills: [kill('bucket', { bucket: 7, processes: 2 }), kill('bucket', { at: at - 60_000 })],
    });
    expect(more).toEqual([]);
    expect(first).toMatchObject({
      severity: 'warning',
      title: "3 processes of gitlab/gl-gitaly-0 killed within the last hour: a bucket's memory limit ran out",
      detail:
        'In buckets 7, 3. The newest at 2026-01-01T03:00:00Z, with a limit of 100 MiB and 1 MiB of anonymous memory left after it.',
      since: (at - 60_000) / 1000,
    });
  });

  test.each([
    ['bucket', 'warning'],
    ['git', 'warning'],
    ['container', 'critical'],
    ['pod', 'critical'],
    ['node', 'critical'],
  ] as const)('at the level %s are %s, and say what to do', (of, severity) => {
    const [problem] = problems({ kills: [kill(of)] });
    expect(problem?.severity).toBe(severity);
    expect(problem?.action).toMatch(/\.$/);
  });

  test('of a Gitaly that is gone are still said', () => {
    expect(problems({ kills: [kill('pod')] })[0]?.detail).toContain('gone meanwhile');
  });
});

describe('near the limit', () => {
  test('by anonymous memory over four fifths, never by page cache', () => {
    const near = gitaly({
      levels: [
        level('pod', { usage: 300 * mebibyte, anon: 250 * mebibyte, limit: limit(300) }),
        level('git', { usage: 250 * mebibyte, anon: 10 * mebibyte, limit: limit(250) }),
      ],
    });
    expect(problems({ gitalys: [near] }).map(({ title }) => title)).toEqual([
      'The pod of gitlab/gl-gitaly-0 holds 83 % of the memory that it may use',
    ]);
  });

  test('buckets, with what could not be read', () => {
    const near = [
      { bucket: 4, anon: 95 * mebibyte, limit: 100 * mebibyte },
      { bucket: 9, anon: 81 * mebibyte, limit: 100 * mebibyte },
    ];
    const [problem] = problems({
      gitalys: [gitaly({ buckets: { found: 10, active: undefined, readErrors: 1, nearLimit: near } })],
    });
    expect(problem).toMatchObject({
      title: '2 buckets of gitlab/gl-gitaly-0 near their memory limit',
      detail:
        'Bucket 4, 9; the fullest holds 95 MiB of 100 MiB as anonymous memory. 1 more could not be read.',
    });
  });
});

test('a CPU limit that holds back in over a quarter of the periods', () => {
  const slow = gitaly({
    levels: [
      level('git', { throttling: { ratio: 0.4, periods: 3000 }, cpuLimit: { kind: 'limit', value: 1.5 } }),
      level('pod', { throttling: { ratio: 0.25, periods: 3000 } }),
    ],
  });
  expect(problems({ gitalys: [slow] })).toMatchObject([
    {
      title: 'Git, all processes together, of gitlab/gl-gitaly-0 is held back by its CPU limit',
      detail:
        'In 40 % of the periods of the last 5 minutes, at 1.5 cores. Everything that it serves waits meanwhile.',
    },
  ]);
});

describe('a pod without a limit', () => {
  const unlimited = { kind: 'unlimited' } as const;
  const of = (layout: CgroupGitalyView['layout'], git: LevelView['limit']) =>
    problems({
      gitalys: [
        gitaly({ layout, levels: [level('pod', { limit: unlimited }), level('git', { limit: git })] }),
      ],
    });

  test('is said where Git runs beside the container', () => {
    expect(of('sibling', limit(250))[0]?.detail).toContain('Git alone may take 250 MiB');
    expect(of('sibling', unlimited)[0]?.detail).toContain('only the node bounds it');
  });

  test("is nobody's problem where Git is inside it, and where it is not known", () => {
    expect(of('nested', limit(250))).toEqual([]);
    expect(of('sibling', undefined)).toEqual([]);
  });
});

test('what cannot be read is said: all of it, or a part', () => {
  const failure = { reason: 'parse', message: 'cgroup.root /x is cgroup v1' } as const;
  expect(problems({ failure })).toMatchObject([
    { title: "This host's cgroups cannot be read", detail: expect.stringContaining('is cgroup v1') },
  ]);
  expect(problems({ failures: [failure] })).toMatchObject([
    { title: "Not all of this host's cgroups can be read" },
  ]);
  const half = gitaly({ levels: [level('git', { readErrors: ['memory.stat (permission)'] })] });
  expect(problems({ gitalys: [half] })).toMatchObject([
    {
      title: 'Not all of gitlab/gl-gitaly-0 can be read',
      detail: expect.stringContaining('memory.stat (permission)'),
    },
  ]);
});
