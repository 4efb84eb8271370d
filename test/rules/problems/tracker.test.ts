/** Problems over time: their start, the state of their alerts, maintenance windows, and the log. */
import { describe, expect, test } from '@jest/globals';
import type { Log } from '../../../src/lib/log.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { alertRule, forSeconds } from '../../../src/rules/alert-rules.ts';
import { withOverrides } from '../../../src/rules/alert-thresholds.ts';
import { defaultJudgment } from '../../../src/rules/judgment.ts';
import { createProblemTracker, type ProblemViews } from '../../../src/rules/problems/tracker.ts';
import { defaultThresholds } from '../../../src/rules/thresholds.ts';
import type { CollectorStatus } from '../../../src/scheduler/status.ts';
import type { OomKill } from '../../../src/sources/cgroup/oom/record.ts';
import type { CgroupGitalyView, CgroupView } from '../../../src/sources/cgroup/view.ts';
import type { KubernetesView } from '../../../src/sources/kubernetes/view.ts';
import type { HealthSnapshot } from '../../../src/sources/praefect/view.ts';

const now = 1_800_000_000;
const identity = { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'n1' };
const nothing: ProblemViews = {
  ...{ praefect: undefined, gitaly: undefined, cgroup: undefined, kubernetes: undefined },
  ...{ maintenance: undefined, storageServers: undefined, collectors: [] },
};

const databaseDown: ProblemViews = {
  ...nothing,
  praefect: {
    database: {
      ...{ up: false, serverVersion: undefined, schemaVariant: undefined, readOnlyReasons: undefined },
      ...{ isRejected: false, isEncrypted: undefined, clockSkewSeconds: undefined },
    },
    ...{ health: undefined, queue: undefined, repositories: undefined },
  },
};

/** A pod that became not Ready `seconds` ago, during the given open windows. */
function notReady(seconds: number, ...windows: readonly string[]): ProblemViews {
  const kubernetes: KubernetesView = {
    ...{
      notCurrent: [],
      unavailable: [],
      clockSkewSeconds: 0,
      missing: [],
      deletedSets: [],
      emptyNamespaces: [],
      ongoing: [],
      lastRotations: [],
      nodes: [],
      disruptionBudgets: [],
    },
    pods: [
      {
        ...{
          identity,
          isReady: false,
          since: (now - seconds) * 1000,
          waitingReasons: [],
          lastTerminations: [],
        },
        ...{ terminated: undefined, warning: undefined },
      },
    ],
  };
  const open = windows.map((name) => ({ name, open: true, endsAt: undefined }));
  return { ...nothing, kubernetes, maintenance: { open, mistakes: [] } };
}

function collector(name: string, own: Partial<CollectorStatus>): CollectorStatus {
  return {
    ...{ name, title: `Title of ${name}`, state: 'ok', since: (now - 30) * 1000, reason: undefined },
    ...{ message: undefined, hung: false, stale: false },
    ...{ lastSuccessAt: undefined, lastDurationMs: undefined, readAt: undefined },
    ...{ ageMs: undefined, series: 3, seriesDropped: 0, seriesDroppedTotal: 0 },
    schedule: { everyMs: 10_000, maxAgeMs: 60_000, budgetLimited: false },
    failures: {} as CollectorStatus['failures'],
    ...own,
  };
}

const problemsAt = (views: ProblemViews, at = now) =>
  createProblemTracker(() => defaultJudgment, silentLog).update(views, at);

describe('a tracked problem', () => {
  test('starts when it is first seen, and its alert is pending until its `for` has passed', () => {
    const tracker = createProblemTracker(() => defaultJudgment, silentLog);
    const hold = forSeconds(alertRule('PraefectDatabaseUnreachable'), defaultThresholds);
    const at = (seconds: number) => tracker.update(databaseDown, now + seconds)[0];
    expect(at(0)).toMatchObject({ id: 'database_unreachable', since: now, alertState: 'pending' });
    expect(at(hold - 1)).toMatchObject({ since: now, alertState: 'pending' });
    expect(at(hold)).toMatchObject({ since: now, severity: 'critical', alertState: 'firing' });
    expect(tracker.update(nothing, now + hold + 5)).toEqual([]);
    expect(at(hold + 10)).toMatchObject({ since: now + hold + 10, alertState: 'pending' });
  });

  test('is logged when it starts and when it is resolved, once each', () => {
    const lines: string[] = [];
    const log: Log = {
      ...silentLog,
      info: (fields, message) => void lines.push(`info ${message} ${JSON.stringify(fields)}`),
      warn: ({ problem, severity }: Readonly<Record<string, unknown>>, message) =>
        void lines.push(`warn ${message} ${problem} ${severity}`),
    };
    const tracker = createProblemTracker(() => defaultJudgment, log);
    for (const [i, views] of [databaseDown, databaseDown, nothing, nothing].entries())
      tracker.update(views, now + i);
    expect(lines).toEqual([
      'warn problem detected database_unreachable critical',
      'info problem resolved {"title":"Praefect\'s database is unreachable"}',
    ]);
  });
});

describe("the operator's alert settings", () => {
  test('apply from a reload on when a threshold changes', () => {
    let judgment = defaultJudgment;
    const tracker = createProblemTracker(() => judgment, silentLog);
    tracker.update(databaseDown, now);
    expect(tracker.update(databaseDown, now + 300)).toMatchObject([{ alertState: 'firing' }]);
    judgment = { ...judgment, thresholds: withOverrides({ databaseUnreachable: 600 }) };
    expect(tracker.update(databaseDown, now + 301)).toMatchObject([{ since: now, alertState: 'pending' }]);
  });

  test.each([
    ['warning', 'warning', 'pending'],
    ['none', 'info', undefined],
  ] as const)('make an alert of severity %s a problem of severity %s', (chosen, severity, alertState) => {
    const judgment = {
      ...defaultJudgment,
      severities: new Map([['PraefectDatabaseUnreachable' as const, chosen]]),
    };
    expect(createProblemTracker(() => judgment, silentLog).update(databaseDown, now)).toMatchObject([
      { severity, alertState },
    ]);
  });
});

describe('an OOM kill that Kubernetes reports', () => {
  const kubernetes = (at = now - 60): KubernetesView => {
    const { kubernetes: view } = notReady(0);
    if (view === undefined) throw new Error('no view');
    const lastTerminations = [{ container: 'gitaly', reason: 'OOMKilled' as const, finishedAt: at * 1000 }];
    return { ...view, pods: view.pods.map((pod) => ({ ...pod, isReady: true, lastTerminations })) };
  };
  const none = { bucket: 0, git: 0, container: 0, pod: 0, node: 0 };
  const cgroup = (oom: CgroupGitalyView['oom']): CgroupView => ({
    ...{
      failure: undefined,
      failures: [],
      isUnknown: false,
      missing: [],
      notes: [],
      disappeared: [],
      kills: [],
    },
    gitalys: [{ identity, uid: 'x', layout: 'none', levels: [], buckets: undefined, oom }],
  });

  test('is the one of its cgroups where those are followed, and else a problem', () => {
    const followed = cgroup({ kills: none, events: none, last: {}, bucketKills: new Map() });
    const storageServers = [identity];
    const ids = (view: CgroupView) =>
      problemsAt({ ...nothing, storageServers, kubernetes: kubernetes(), cgroup: view }).map(({ id }) => id);
    expect(ids(followed)).toEqual([]);
    // As with cgroups mounted with memory_localevents: nothing else shows the kill.
    expect(ids(cgroup(undefined))).toEqual(['gitaly_oom_killed']);
  });

  test('is one problem with what its cgroups report, the worst', () => {
    const kill = (events: number): OomKill => ({
      ...{ at: (now - 60) * 1000, identity, level: 'container', processes: events, events },
      ...{ bucket: undefined, container: 'gitaly', fromAncestor: false },
      memory: { limit: undefined, usage: undefined, anon: undefined },
    });
    const ids = (events: number, storageServers: ProblemViews['storageServers']) =>
      problemsAt({
        ...{ ...nothing, storageServers, kubernetes: kubernetes() },
        cgroup: {
          ...cgroup({ kills: none, events: none, last: {}, bucketKills: new Map() }),
          kills: [kill(events)],
        },
      }).map(({ id }) => id);
    expect(ids(1, undefined)).toEqual(['gitaly_container_oom_killed']);
    expect(ids(3, undefined)).toEqual(['gitaly_oom_killed_repeatedly']);
    expect(ids(1, [identity])).toEqual(['gitaly_oom_killed']);
  });

  test('counts as behind Praefect where a storage has the name of its pod', () => {
    const storage = { storage: identity.pod } as HealthSnapshot['storages'][number];
    const health = [{ virtualStorage: 'default', storages: [storage], praefects: [] }] as never;
    const praefect = { database: undefined, health, queue: undefined, repositories: undefined };
    const tracker = createProblemTracker(() => defaultJudgment, silentLog);
    const staleHold = defaultThresholds.staleHold.value;
    const ids = (view: ProblemViews['praefect'], seconds: number) =>
      tracker
        .update({ ...nothing, kubernetes: kubernetes(now + seconds - 60), praefect: view }, now + seconds)
        .map(({ id }) => id)
        .filter((id) => id.endsWith('oom_killed'));
    expect(ids(praefect, 0)).toEqual(['gitaly_oom_killed']);
    // As the alert: the last storages are held while they cannot be read.
    const unread = { ...praefect, health: undefined };
    expect(ids(unread, staleHold)).toEqual(['gitaly_oom_killed']);
    expect(ids(unread, staleHold + 1)).toEqual(['gitaly_container_oom_killed']);
  });
});

describe('a maintenance window', () => {
  test('turns a problem whose alert it suppresses into information', () => {
    expect(problemsAt(notReady(60, 'weekly'))).toMatchObject([
      { id: 'pod_not_ready', severity: 'info', suppressedBy: ['weekly'], alertState: undefined },
    ]);
  });

  test('does not change a problem whose alert it does not suppress', () => {
    const { maintenance } = notReady(60, 'weekly');
    expect(problemsAt({ ...databaseDown, maintenance })).toMatchObject([
      { severity: 'critical', suppressedBy: [] },
    ]);
  });

  test('of a rollout suppresses a pod that is not Ready for a limited time only', () => {
    const limit = defaultThresholds.rolloutStep.value;
    const rollout = 'rollout:gitlab/gl-gitaly';
    expect(problemsAt(notReady(limit, rollout))).toMatchObject([{ severity: 'info' }]);
    expect(problemsAt(notReady(limit + 1, rollout))).toMatchObject([
      { severity: 'critical', suppressedBy: [] },
    ]);
    expect(problemsAt(notReady(limit + 1, rollout, 'weekly'))).toMatchObject([
      { severity: 'info', suppressedBy: ['weekly'] },
    ]);
  });
});

describe('failing collectors', () => {
  const failed = { state: 'failed', reason: 'refused', message: 'connection refused by db:5432' } as const;

  test('with the same failure are one problem, which starts with the first of them', () => {
    const collectors = [
      collector('health', failed),
      collector('queue', failed),
      collector('mirror', { ...failed, since: (now - 90) * 1000 }),
      collector('process', {}),
    ];
    expect(problemsAt({ ...nothing, collectors })).toMatchObject([
      {
        severity: 'warning',
        alert: 'GitalyExporterCollectorFailing',
        title: 'Collector failing: 3 of 4 collectors (health, queue, mirror)',
        since: now - 90,
      },
    ]);
  });

  test.each([
    [
      {},
      'refused: connection refused by db:5432. The previous values are still served until they are 1 min old.',
    ],
    [
      { readAt: now * 1000, lastSuccessAt: (now - 60) * 1000 },
      'refused: connection refused by db:5432. What was read is current; the rest is absent, and unknown until it recovers.',
    ],
    [
      { series: 0 },
      'refused: connection refused by db:5432. Its metrics are absent, and what depends on them is unknown until it recovers.',
    ],
    [
      { state: 'stale', message: 'no response within 5 s.' } as const,
      'refused: no response within 5 s. Its metrics are absent, and what depends on them is unknown until it recovers.',
    ],
  ])('are explained by their effect on the metrics: %j', (own, detail) => {
    const [found] = problemsAt({ ...nothing, collectors: [collector('queue', { ...failed, ...own })] });
    expect(found?.detail).toBe(detail);
    expect(found?.title).toMatch(/^(Data is stale|Collector failing): Title of queue$/);
  });
});

test('a namespace without Gitaly is one problem, not also a failing collector', () => {
  const { kubernetes } = notReady(0);
  if (kubernetes === undefined) throw new Error('no view');
  const failing = collector('kubernetes', { state: 'failed', reason: 'missing', message: 'no pod' });
  const idsOf = (view: KubernetesView, status: CollectorStatus) =>
    problemsAt({ ...nothing, kubernetes: { ...view, pods: [] }, collectors: [status] }).map(({ id }) => id);
  const empty = { ...kubernetes, emptyNamespaces: ['gitlab'] };
  expect(idsOf(empty, failing)).toEqual(['namespace_without_gitaly']);
  // Other failures are not explained by it.
  const failure = { reason: 'timeout', message: 'no response' } as const;
  expect(idsOf({ ...empty, notCurrent: [{ resource: 'nodes', failure }] }, failing)).toEqual([
    'namespace_without_gitaly',
    'collector_failing',
  ]);
  expect(idsOf(empty, collector('cgroup', { state: 'failed', reason: 'missing' }))).toEqual([
    'namespace_without_gitaly',
    'collector_failing',
  ]);
});

test('a collector with more series than the limit is a problem, as the exposition is incomplete', () => {
  const cut = collector('cgroup_buckets', { series: 100_000, seriesDropped: 20_000 });
  expect(problemsAt({ ...nothing, collectors: [cut] })).toMatchObject([
    {
      id: 'series_dropped',
      alert: 'GitalyExporterSeriesDropped',
      detail: 'It has 120,000 series, of which only 100,000 are exposed.',
    },
  ]);
});

test('a database that is down is one problem for all its collectors', () => {
  const collectors = ['praefect_database', 'praefect_health', 'praefect_queue', 'cgroup'].map((name) =>
    collector(name, { state: 'failed', reason: 'refused', message: `${name} may not connect` }),
  );
  expect(problemsAt({ ...databaseDown, collectors }).map(({ id, subject }) => [id, subject])).toEqual([
    ['database_unreachable', ''],
    ['collector_failing', 'praefect_database, praefect_health, praefect_queue'],
    ['collector_failing', 'cgroup'],
  ]);
});
