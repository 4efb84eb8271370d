/** Problems of Gitaly Cluster at the thresholds of their alerts. */
import { describe, expect, test } from '@jest/globals';
import { praefectProblems } from '../../../src/rules/problems/praefect.ts';
import { defaultThresholds } from '../../../src/rules/thresholds.ts';
import type { JobState } from '../../../src/sources/praefect/queries/queue-rows.ts';
import type { HealthSnapshot, PraefectView } from '../../../src/sources/praefect/view.ts';
import { problemSituation } from '../../support/problem-situation.ts';

const now = 1_800_000_000;
const praefects = ['praefect-1', 'praefect-2', 'praefect-3'];

function health(own: { alive?: number; unhealthy?: string; heartbeatAt?: number } = {}): HealthSnapshot {
  const { alive = 3, unhealthy, heartbeatAt = now - 1 } = own;
  return {
    virtualStorage: 'default',
    heartbeatAt,
    hasQuorum: alive > 1,
    praefects: praefects.map((praefect, i) => ({
      praefect,
      lastContactAt: i < alive ? heartbeatAt : now - 90,
      alive: i < alive,
    })),
    storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'].map((storage) => ({
      storage,
      healthy: storage !== unhealthy,
      contacted: true,
      seenHealthyBy: new Map(),
    })),
  };
}

const nothing: PraefectView = {
  database: undefined,
  health: undefined,
  queue: undefined,
  repositories: undefined,
};

const repositories = (movedFromGitaly2: number): PraefectView['repositories'] => ({
  virtualStorages: [
    {
      ...{ virtualStorage: 'default', repositories: 100, lost: 0, withoutPrimary: 0 },
      ...{ unavailable: 0, readOnly: 0, byHealthyReplicas: undefined, singleCopy: 0, storages: [] },
    },
  ],
  primaryMoves:
    movedFromGitaly2 === 0
      ? []
      : [
          {
            ...{ virtualStorage: 'default', from: 'gitaly-2', to: 'gitaly-1', cause: 'unhealthy' },
            total: movedFromGitaly2,
          },
        ],
  failovers: [],
  verification: undefined,
});

interface OwnQueue {
  readonly removed: number;
  readonly inProgress?: number;
  readonly unlocked?: number;
  readonly unknown?: number;
}

const queue = (own: OwnQueue): PraefectView['queue'] => ({
  targets: [
    {
      virtualStorage: 'default',
      storage: 'gitaly-2',
      jobs: [
        { state: 'ready', change: 'update', count: 50 },
        { state: 'in_progress', change: 'update', count: own.inProgress ?? 0 },
      ],
      oldest: new Map<JobState, number>([['ready', now - 1800]]),
      stale: { lock_expired: 0, lock_missing: own.unlocked ?? 0, storage_unknown: own.unknown ?? 0 },
    },
  ],
  enqueued: undefined,
  removed: own.removed,
});

const idsOf = (...given: Parameters<typeof problemSituation<PraefectView>>) =>
  praefectProblems(problemSituation(...given)).map(({ id, severity }) => `${severity}: ${id}`);

describe('the quorum', () => {
  test.each([
    ['one of three Praefects does not report', health({ alive: 2 }), ['warning: praefect_not_reporting']],
    [
      'two of three do not report',
      health({ alive: 1 }),
      ['critical: quorum_lost', 'warning: praefect_not_reporting', 'warning: praefect_not_reporting'],
    ],
    [
      'no heartbeat was written for too long',
      health({ heartbeatAt: now - defaultThresholds.heartbeatStale.value - 1 }),
      ['critical: quorum_lost'],
    ],
  ])('%s', (_, snapshot, expected) => {
    expect(idsOf({ ...nothing, health: [snapshot] }, now)).toEqual(expected);
  });

  test('makes the health of storages and unavailable repositories unknown while it is lost', () => {
    const view = {
      ...nothing,
      health: [health({ alive: 1, unhealthy: 'gitaly-2' })],
      repositories: repositories(0),
    };
    const [virtualStorage] = view.repositories?.virtualStorages ?? [];
    const unavailable = {
      ...view,
      repositories: { ...repositories(0)!, virtualStorages: [{ ...virtualStorage!, unavailable: 3 }] },
    };
    expect(idsOf(unavailable, now)).not.toContainEqual(expect.stringMatching(/unavailable|unhealthy/));
  });
});

describe("the clock skew of Praefect's database", () => {
  const titles = (clockSkewSeconds: number) => {
    const database = {
      ...{ up: true, serverVersion: undefined, schemaVariant: undefined, readOnlyReasons: [] },
      ...{ isRejected: false, isEncrypted: true, clockSkewSeconds },
    };
    return praefectProblems(problemSituation({ ...nothing, database }, now)).map(({ alert, title }) => [
      alert,
      title,
    ]);
  };

  test('is a problem in both directions, with its alert', () => {
    expect(titles(7200)).toEqual([
      ['PraefectDatabaseClockSkew', "The clock of Praefect's database is 2 h ahead of the exporter's"],
    ]);
    expect(titles(-30)).toEqual([
      ['PraefectDatabaseClockSkew', "The clock of Praefect's database is 30 s behind the exporter's"],
    ]);
  });

  test('within the tolerance of the alert is no problem', () => {
    expect(titles(10)).toEqual([]);
    expect(titles(-10)).toEqual([]);
  });
});

describe('an unhealthy storage', () => {
  const unhealthy = (moved: number) => ({
    ...nothing,
    health: [health({ unhealthy: 'gitaly-2' })],
    repositories: repositories(moved),
  });
  const before = { at: now - 60, praefect: unhealthy(0) };

  const detailOf = (view: PraefectView, recorded: Parameters<typeof problemSituation>[2]) => {
    const found = praefectProblems(problemSituation(view, now, recorded));
    expect(found).toMatchObject([
      { id: 'storage_unhealthy', severity: 'critical', alert: 'PraefectStorageUnhealthy' },
    ]);
    return found[0]?.detail;
  };
  const withoutMoves = 'Fewer than half of the Praefects reached it within 10 s.';

  test('has the number of primaries that moved off it', () => {
    const view = unhealthy(6);
    expect(detailOf(unhealthy(0), [before])).toBe(withoutMoves);
    expect(detailOf(view, [before, { at: now, praefect: view }])).toBe(
      `${withoutMoves} 6 repositories got a new primary within 15 min; replicas on gitaly-2 become outdated with every write.`,
    );
  });

  test('no longer counts primaries that moved before the window', () => {
    const view = unhealthy(60);
    const at = now - defaultThresholds.failoverWindow.value - 1;
    const recorded = [
      { at, praefect: view },
      { at: now, praefect: view },
    ];
    expect(detailOf(view, recorded)).toBe(withoutMoves);
  });
});

describe('a queue with an old job', () => {
  const view = (own: Parameters<typeof queue>[0]) => ({ ...nothing, health: [health()], queue: queue(own) });
  const idle = defaultThresholds.replicationIdle.value;

  test('that drains is no problem', () => {
    const current = view({ removed: 500, inProgress: 10 });
    const recorded = [
      { at: now - 60, praefect: view({ removed: 400, inProgress: 10 }) },
      { at: now, praefect: current },
    ];
    expect(idsOf(current, now, recorded)).toEqual([]);
  });

  test.each([
    ['no job in progress', 0],
    ['jobs in progress that do not finish', 10],
  ])('with %s for longer than the idle time has stalled', (_, inProgress) => {
    const current = view({ removed: 400, inProgress });
    const recorded = [
      { at: now - idle - 1, praefect: current },
      { at: now, praefect: current },
    ];
    expect(praefectProblems(problemSituation(current, now, recorded))).toMatchObject([
      {
        id: 'replication_stalled',
        severity: 'critical',
        alert: 'PraefectReplicationStalled',
        since: now - 1800,
      },
    ]);
  });

  test.each([
    [10, ['critical: replication_stalled', 'warning: jobs_stale']],
    [9, ['warning: jobs_stale']],
  ])(
    'of whose 10 jobs in progress %i have no lock, while jobs to other storages leave the queue',
    (unlocked, ids) => {
      const current = view({ removed: 500, inProgress: 10, unlocked });
      const recorded = [
        { at: now - 60, praefect: view({ removed: 400, inProgress: 10, unlocked }) },
        { at: now, praefect: current },
      ];
      expect(idsOf(current, now, recorded)).toEqual(ids);
    },
  );

  test('to a storage that no Praefect reports on has no known health', () => {
    const current = { ...view({ removed: 400 }), health: [] };
    const recorded = [{ at: now - idle - 1, praefect: current }];
    expect(praefectProblems(problemSituation(current, now, recorded))).toMatchObject([
      { id: 'replication_stalled', detail: expect.stringContaining('its health is unknown') },
    ]);
  });

  test('for a storage that is no longer configured is stale, not stalled', () => {
    const current = view({ removed: 400, unknown: 50 });
    const recorded = [{ at: now - idle - 1, praefect: current }];
    expect(idsOf(current, now, recorded)).toEqual(['warning: jobs_stale']);
  });
});

test('no data gives no problem', () => {
  expect(idsOf(nothing, now)).toEqual([]);
});
