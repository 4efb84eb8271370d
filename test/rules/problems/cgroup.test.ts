import { describe, expect, test } from '@jest/globals';
import { cgroupProblems } from '../../../src/rules/problems/cgroup.ts';
import type { OomKill, OomLevel } from '../../../src/sources/cgroup/oom/record.ts';
import type { CgroupGitalyView, CgroupView, LevelView } from '../../../src/sources/cgroup/view.ts';
import { problemSituation } from '../../support/problem-situation.ts';

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
  cgroupProblems(
    problemSituation(
      {
        failure: undefined,
        failures: [],
        isUnknown: false,
        missing: [],
        notes: [],
        gitalys: [],
        disappeared: [],
        kills: [],
        ...own,
      },
      at / 1000,
    ),
  );

test('a healthy host has no problems', () => {
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
  test('of Git are one problem per Gitaly and level, since the oldest in the window', () => {
    const [first, ...more] = problems({
      gitalys: [gitaly({})],
      kills: [
        kill('bucket', { bucket: 7, processes: 3 }),
        kill('bucket', { at: at - 60_000 }),
        kill('bucket', { at: at - 900_000, processes: 9 }),
      ],
    });
    expect(more).toEqual([]);
    expect(first).toMatchObject({
      severity: 'warning',
      alert: 'GitalyGitOOMKilled',
      title: "gitlab/gl-gitaly-0: 4 processes OOM-killed in 15 min, a bucket's memory limit was exceeded",
      detail:
        'In buckets 7, 3. Newest at 2026-01-01 03:00:00 UTC, with a limit of 100 MiB; 1 MiB of anonymous memory after the kill.',
      since: (at - 60_000) / 1000,
    });
  });

  test('of Git are no problem below the threshold of the alert', () => {
    expect(problems({ kills: [kill('git', { processes: 3 })] })).toEqual([]);
  });

  test.each([
    ['bucket', 'GitalyGitOOMKilled'],
    ['git', 'GitalyGitOOMKilled'],
    ['container', 'GitalyOOMKilled'],
    ['pod', 'GitalyOOMKilled'],
    ['node', 'GitalyOOMKilled'],
  ] as const)('at the level %s are a warning with the alert %s and a fix', (of, alert) => {
    const [problem, ...more] = problems({ kills: [kill(of, { processes: 4 })] });
    expect(more).toEqual([]);
    expect(problem).toMatchObject({ severity: 'warning', alert, labels: { level: of } });
    expect(problem?.fixes[0]?.text).toMatch(/\.$/);
  });

  test('of Gitaly are critical from the third incident in the window, at any level', () => {
    const two = [kill('container'), kill('pod', { at: at - 60_000 })];
    expect(problems({ kills: two }).map(({ severity }) => severity)).toEqual(['warning', 'warning']);
    const old = kill('pod', { at: at - 1_800_000 });
    expect(problems({ kills: [...two, old] })).toHaveLength(2);
    expect(problems({ kills: [...two, kill('pod', { at: at - 1_799_000 })] })).toMatchObject([
      {
        id: 'gitaly_oom_killed_repeatedly',
        severity: 'critical',
        title: 'gitlab/gl-gitaly-0: OOM-killed 3 times in 30 min',
      },
    ]);
  });

  test('of a Gitaly whose cgroups were removed are still a problem', () => {
    expect(problems({ kills: [kill('pod')] })[0]?.detail).toContain('no longer exist');
  });
});

describe('memory near the limit', () => {
  test('is judged by anonymous memory, never by page cache', () => {
    const near = gitaly({
      levels: [
        level('pod', { usage: 300 * mebibyte, anon: 275 * mebibyte, limit: limit(300) }),
        level('container', { anon: 90 * mebibyte, limit: limit(100) }),
        level('git', { usage: 250 * mebibyte, anon: 10 * mebibyte, limit: limit(250) }),
      ],
    });
    expect(problems({ gitalys: [near] }).map(({ title }) => title)).toEqual([
      'gitlab/gl-gitaly-0: memory of the pod at 91.7% of its limit',
    ]);
  });

  test('of buckets is one problem, with the number of buckets that could not be read', () => {
    const near = [
      { bucket: 4, anon: 95 * mebibyte, limit: 100 * mebibyte },
      { bucket: 9, anon: 81 * mebibyte, limit: 100 * mebibyte },
    ];
    const [problem] = problems({
      gitalys: [gitaly({ buckets: { found: 10, active: undefined, readErrors: 1, nearLimit: near } })],
    });
    expect(problem).toMatchObject({
      title: 'gitlab/gl-gitaly-0: 2 buckets near the memory limit',
      detail:
        'Bucket 4, 9; the fullest has 95 MiB of anonymous memory, limit 100 MiB. 1 more could not be read.',
    });
  });
});

test('CPU throttling is a problem over the thresholds of the alert, unless Gitaly is idle', () => {
  const slow = gitaly({
    levels: [
      level('git', { throttling: { ratio: 0.6, periods: 3000 }, cpuLimit: { kind: 'limit', value: 1.5 } }),
      level('container', { throttling: { ratio: 0.9, periods: 300 } }),
      level('pod', { throttling: { ratio: 0.25, periods: 3000 } }),
    ],
  });
  expect(problems({ gitalys: [slow] })).toMatchObject([
    {
      title: 'gitlab/gl-gitaly-0: all Git processes CPU-throttled in 60% of periods',
      detail: 'In the last 5 min, with a limit of 1.5 cores. All requests that it serves are slow.',
    },
  ]);
  const below = gitaly({ levels: [level('git', { throttling: { ratio: 0.4, periods: 3000 } })] });
  expect(problems({ gitalys: [below] })).toEqual([]);
});

describe('a pod without a limit', () => {
  const unlimited = { kind: 'unlimited' } as const;
  const of = (layout: CgroupGitalyView['layout'], git: LevelView['limit']) =>
    problems({
      gitalys: [
        gitaly({ layout, levels: [level('pod', { limit: unlimited }), level('git', { limit: git })] }),
      ],
    });

  test('is a problem where Git runs next to the container', () => {
    expect(of('sibling', limit(250))[0]?.detail).toContain('Git alone may use 250 MiB');
    expect(of('sibling', unlimited)[0]?.detail).toContain("only the node's memory limits it");
  });

  test('is no problem where Git runs inside the container, and while it is unknown', () => {
    expect(of('nested', limit(250))).toEqual([]);
    expect(of('sibling', undefined)).toEqual([]);
  });
});

test('unreadable cgroups are a problem, all of them or some', () => {
  const failure = { reason: 'parse', message: 'cgroup.root /x is cgroup v1' } as const;
  expect(problems({ failure })).toMatchObject([
    { title: 'All cgroups of this host cannot be read', detail: expect.stringContaining('is cgroup v1') },
  ]);
  expect(problems({ failures: [failure] })).toMatchObject([
    { title: 'Some cgroups of this host cannot be read' },
  ]);
  const other = { reason: 'permission', message: '/x/a may not be entered' } as const;
  expect(problems({ failures: [failure, other, failure] })).toMatchObject([
    { detail: 'cgroup.root /x is cgroup v1; /x/a may not be entered. OOM kills in them may be missed.' },
  ]);
  const half = gitaly({ levels: [level('git', { readErrors: ['memory.stat (permission)'] })] });
  expect(problems({ gitalys: [half] })).toMatchObject([
    {
      title: 'Some cgroup files of gitlab/gl-gitaly-0 cannot be read',
      detail: expect.stringContaining('memory.stat (permission)'),
    },
  ]);
});

test('a Gitaly on a virtual machine whose cgroups were removed is down; a pod is not', () => {
  const machine = { namespace: '', pod: '', node: 'vm-1' };
  const empty: CgroupView = {
    ...{ failure: undefined, failures: [], isUnknown: false, missing: [], notes: [] },
    ...{ gitalys: [], disappeared: [], kills: [] },
  };
  const before = { ...empty, gitalys: [gitaly({ identity: machine }), gitaly({})] };
  const later = (seconds: number, view: CgroupView) =>
    cgroupProblems(
      problemSituation(view, 1000 + seconds, [
        { cgroup: before, at: 1000 },
        { cgroup: view, at: 1000 + seconds },
      ]),
    );
  expect(later(10, empty)).toMatchObject([
    { id: 'gitaly_disappeared', title: 'Gitaly vm-1 is down', alert: 'GitalyDown', heldSince: 1000 },
  ]);
  expect(later(10, before)).toEqual([]);
  // Unknown, not down, while nothing can be read.
  expect(
    later(10, { ...empty, isUnknown: true, failure: { reason: 'permission', message: 'x' } }),
  ).toMatchObject([{ id: 'cgroups_unreadable' }]);
  // Or while the folder with its cgroups cannot be read.
  const unreadable = { reason: 'permission', message: 'x' } as const;
  expect(later(10, { ...empty, failures: [unreadable], isUnknown: true })).toMatchObject([
    { id: 'cgroups_unreadable' },
  ]);
  expect(later(86_401, empty)).toEqual([]);
});
