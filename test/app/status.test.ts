/** The status of the page and the API: memory by level, pods and their rotations. */
import { expect, test } from '@jest/globals';
import { memoryView, podsView } from '../../src/app/status.ts';
import type { CgroupGitalyView, CgroupView } from '../../src/sources/cgroup/view.ts';
import type { KubernetesView } from '../../src/sources/kubernetes/view.ts';

const gitaly: CgroupGitalyView = {
  identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'node-1' },
  uid: 'u',
  layout: 'sibling',
  levels: [
    {
      level: 'pod',
      container: undefined,
      usage: 3,
      anon: 2,
      limit: { kind: 'limit', value: 4 },
      cpuLimit: undefined,
      throttling: undefined,
      readErrors: [],
    },
    {
      level: 'container',
      container: 'gitaly',
      usage: 2,
      anon: 1,
      limit: { kind: 'unlimited' },
      cpuLimit: undefined,
      throttling: undefined,
      readErrors: [],
    },
    {
      level: 'git',
      container: undefined,
      usage: undefined,
      anon: undefined,
      limit: undefined,
      cpuLimit: undefined,
      throttling: { ratio: 0.1, periods: 3000 },
      readErrors: ['memory.stat (io)'],
    },
  ],
  buckets: { found: 10, active: 2, readErrors: 0, nearLimit: [{ bucket: 4, anon: 90, limit: 100 }] },
  oom: {
    kills: { bucket: 3, git: 0, container: 0, pod: 1, node: 0 },
    events: { bucket: 3, git: 0, container: 0, pod: 1, node: 0 },
    last: { bucket: 1000, pod: 2000 },
    bucketKills: new Map([
      [3, 1],
      [7, 2],
    ]),
  },
};

const view: CgroupView = {
  failure: undefined,
  failures: [],
  isUnknown: false,
  missing: ['named by uid'],
  notes: [],
  gitalys: [gitaly],
  disappeared: [],
  kills: [],
};

test('memory of each Gitaly is listed by level, with the kills of levels that had any, and the worst bucket first', () => {
  expect(memoryView(view)).toEqual({
    servers: [
      {
        name: 'gitlab/gl-gitaly-0',
        title: "Git's cgroups are siblings of Gitaly's container; 10 repository buckets, 2 in use",
        pod: { anon: 2, usage: 3, limit: 4, throttledRatio: undefined, readErrors: [] },
        gitaly: { anon: 1, usage: 2, limit: 'none', throttledRatio: undefined, readErrors: [] },
        git: {
          anon: undefined,
          usage: undefined,
          limit: undefined,
          throttledRatio: 0.1,
          readErrors: ['memory.stat (io)'],
        },
        kills: [
          { level: "a bucket's memory limit", processes: 3, last: 1000 },
          { level: "the pod's memory limit", processes: 1, last: 2000 },
        ],
        killedBuckets: [
          {
            text: 'Bucket 7: 2 processes OOM-killed.',
            link: { text: 'Its repositories', href: 'api/v1/buckets/7?pod=gl-gitaly-0' },
          },
          {
            text: 'Bucket 3: 1 process OOM-killed.',
            link: { text: 'Its repositories', href: 'api/v1/buckets/3?pod=gl-gitaly-0' },
          },
        ],
        nearLimit: [
          {
            text: 'Bucket 4: 90 B of 100 B.',
            link: { text: 'Its repositories', href: 'api/v1/buckets/4?pod=gl-gitaly-0' },
          },
        ],
      },
    ],
    notes: ['named by uid'],
  });
});

test('kills that cannot be counted are unknown, not zero', () => {
  const [server] = memoryView({ ...view, gitalys: [{ ...gitaly, oom: undefined }] }).servers;
  expect(server).toMatchObject({ kills: undefined, killedBuckets: [] });
});

test('no container is shown as Gitaly while it is unknown which of them is', () => {
  const [pod, container] = gitaly.levels;
  if (pod === undefined || container === undefined) throw new Error('the fixture has lost its levels');
  const unnamed = [pod, container, { ...container, container: 'abc' }];
  expect(
    memoryView({ ...view, gitalys: [{ ...gitaly, levels: unnamed }] }).servers[0]?.gitaly,
  ).toBeUndefined();
});

test('notes explain missing data and name Gitalys that were removed', () => {
  const failed: CgroupView = {
    ...view,
    gitalys: [],
    missing: [],
    isUnknown: true,
    failure: { reason: 'permission', message: 'cgroup.root: may not read' },
    disappeared: [{ identity: { namespace: '', pod: '', node: 'gitaly-1' }, uid: '', at: 1 }],
  };
  expect(memoryView(failed)).toEqual({
    isUnknown: true,
    servers: [],
    notes: ['cgroup.root: may not read', 'The cgroups of gitaly-1 were removed.'],
  });
});

test('pods are Ready, not Ready with the reason, or rotating, also while the pod is missing', () => {
  const pod = {
    ...{ identity: { namespace: 'gitlab', pod: 'gitaly-1', node: 'worker-4' }, isReady: true, since: 5000 },
    ...{ waitingReasons: [], lastTerminations: [], terminated: undefined, warning: 'BackOff: earlier' },
  };
  const view: KubernetesView = {
    ...{
      notCurrent: [],
      unavailable: [],
      clockSkewSeconds: 0,
      missing: [],
      deletedSets: [],
      emptyNamespaces: [],
    },
    ...{ nodes: [], disruptionBudgets: [] },
    pods: [
      pod,
      {
        ...{ ...pod, identity: { ...pod.identity, pod: 'gitaly-2' }, isReady: false },
        waitingReasons: ['CrashLoopBackOff'],
      },
    ],
    ongoing: [
      {
        ...{ namespace: 'gitlab', pod: 'gitaly-3', statefulSet: 'gitaly', node: '', startedAt: 7000 },
        ...{ phase: 'scheduling', cause: 'deleted', isMissing: true, slowestPreviousSeconds: undefined },
      } as unknown as KubernetesView['ongoing'][number],
    ],
    lastRotations: [
      {
        ...{ namespace: 'gitlab', pod: 'gitaly-1', statefulSet: 'gitaly', fromNode: 'worker-1' },
        ...{ node: 'worker-4', cause: 'node_drained', seconds: { total: 16.5 }, endedAt: 4000 },
      },
    ],
  };
  const unavailable = [{ resource: 'poddisruptionbudgets', message: 'needs Kubernetes 1.21' }] as const;
  expect(podsView({ ...view, unavailable }, ['gl-gitaly-7 is not read.'])).toEqual({
    notes: ['needs Kubernetes 1.21.', 'gl-gitaly-7 is not read.'],
    pods: [
      {
        ...{ name: 'gitlab/gitaly-1', node: 'worker-4', state: 'ready', since: 5000, detail: undefined },
        lastRotation: { cause: 'node_drained', durationMs: 16_500, endedAt: 4000, fromNode: 'worker-1' },
      },
      {
        ...{ name: 'gitlab/gitaly-2', node: 'worker-4', state: 'not_ready', since: 5000 },
        ...{ detail: 'CrashLoopBackOff', lastRotation: undefined },
      },
      {
        ...{ name: 'gitlab/gitaly-3', node: '', state: 'rotating', since: 7000 },
        ...{ detail: 'deleted, in phase scheduling', lastRotation: undefined },
      },
    ],
  });
});

test('pods that cannot be watched are unknown, not none', () => {
  const failure = { reason: 'refused', message: 'the API server refused the connection' } as const;
  const view = {
    ...{ unavailable: [], pods: [], ongoing: [], lastRotations: [] },
    notCurrent: [{ resource: 'pods', failure }],
  } as unknown as KubernetesView;
  expect(podsView(view, [])).toEqual({ isUnknown: true, notes: [failure.message], pods: [] });
});
