/** The expected notifications of each replay, and how soon they must arrive after the beginning of the incident. */
import type { RuleName } from '../src/rules/alert-thresholds.ts';

export interface ExpectedPage {
  readonly alert: RuleName;
  /** When its cause begins, in minutes after the incident; default 0. */
  readonly afterMinutes?: number;
  /** Until the notification: the alert's duration, Alertmanager's group_wait, and detection. */
  readonly withinMinutes: number;
  /** The labels that name the cause. */
  readonly names?: Readonly<Record<string, string>>;
}

export interface Expectation {
  /** One for each cause, in order; none: no page. */
  readonly pages?: readonly ExpectedPage[];
  /** Tickets that must exist; others may. */
  readonly tickets?: readonly RuleName[];
}

const storage = (name: string, withinMinutes: number, afterMinutes = 0): ExpectedPage => ({
  ...{ alert: 'PraefectStorageUnhealthy', withinMinutes, afterMinutes, names: { storage: name } },
});

/** A Map, because names come from the command line. */
export const expectations: ReadonlyMap<string, Expectation> = new Map<string, Expectation>(
  Object.entries({
    'storage-dies': { pages: [storage('gitaly-1', 7)] },
    'archive-storage-dies': { pages: [storage('archive-2', 7)] },
    // It hangs once jobs for it are in progress.
    'storage-hangs': { pages: [storage('gitaly-3', 7)] },
    // gitaly-1 goes down after the other two, which return.
    'only-copy-dies': { pages: [storage('gitaly-1', 7)] },
    rollout: {},
    'praefect-cut-off': { tickets: ['PraefectHealthDisagreement'] },
    'praefect-dies': { tickets: ['PraefectInstanceDown'] },
    'all-praefects-die': { pages: [{ alert: 'PraefectQuorumLost', withinMinutes: 6 }] },
    'replication-stalls': {
      pages: [{ alert: 'PraefectReplicationStalled', withinMinutes: 20, names: { storage: 'gitaly-3' } }],
    },
    'replication-refused': { tickets: ['PraefectReplicaStuck'] },
    'stuck-replica': { tickets: ['PraefectReplicaStuck'] },
    backlog: { tickets: ['PraefectReplicationBacklog'] },
    'replica-lost': {},
    'repository-lost': { pages: [{ alert: 'PraefectRepositoriesLost', withinMinutes: 9 }] },
    'database-read-only': { pages: [{ alert: 'PraefectDatabaseReadOnly', withinMinutes: 5 }] },
    'database-stops': { pages: [{ alert: 'PraefectDatabaseUnreachable', withinMinutes: 5 }] },
    'database-blocked': { tickets: ['PraefectDatabaseQueriesBlocked'] },
    // The crawler affects three Gitalys, which are one page.
    'limit-saturated': { pages: [{ alert: 'GitalyRequestsDroppedQueueFull', withinMinutes: 13 }] },
    'oom-bucket': { tickets: ['GitalyGitOOMKilled'] },
    'oom-pod': {
      pages: [{ alert: 'GitalyOOMKilledRepeatedly', withinMinutes: 5, names: { pod: 'gitaly-1' } }],
    },
    'pod-deleted': {},
    'image-pull-fails': { pages: [storage('gitaly-3', 7)] },
    'node-drained': {},
    'pod-evicted': {},
    'crash-loop': {
      pages: [{ alert: 'GitalyOOMKilledRepeatedly', withinMinutes: 5, names: { pod: 'gitaly-2' } }],
    },
    'drain-blocked': { pages: [storage('gitaly-3', 7)] },
    'pod-pending': { pages: [storage('gitaly-1', 7)] },
    ordinary: {},
    'ordinary-hours': {},
    'ordinary-week': {},
    'captured-healthy': {},
    // A Gitaly serves a storage of each virtual storage, which Praefect's database does not contain.
    'captured-gitaly-down': { pages: [storage('gitaly-1', 7), storage('other-1', 7)] },
    'captured-gitaly-hung': {
      pages: [
        storage('gitaly-3', 7, 10),
        { alert: 'PraefectQuorumLost', withinMinutes: 6, afterMinutes: 20 },
      ],
    },
    'captured-praefect-killed': {
      pages: [
        storage('gitaly-3', 7, 10),
        { alert: 'PraefectQuorumLost', withinMinutes: 6, afterMinutes: 30 },
      ],
    },
    'captured-praefect-cut': { tickets: ['PraefectHealthDisagreement'] },
    'captured-replica-lost': {
      pages: [{ alert: 'PraefectRepositoriesLost', withinMinutes: 9, afterMinutes: 10 }],
    },
    'captured-stuck-replica': { tickets: ['PraefectReplicaStuck'] },
    // gitaly-1, which fails when the others return, is an update of the same page.
    'captured-unavailable': { pages: [storage('gitaly-2', 7), storage('other-2', 7)] },
    'captured-storage-removed': { pages: [storage('gitaly-3', 7)] },
    'captured-rollout': {},
    'captured-database': {
      pages: [{ alert: 'PraefectDatabaseReadOnly', withinMinutes: 6, afterMinutes: 10 }],
    },
    'captured-14.9-failover': { pages: [storage('gitaly-1', 7, 10), storage('gitaly-4', 7, 30)] },
    'captured-14.9-praefects-killed': { pages: [{ alert: 'PraefectQuorumLost', withinMinutes: 6 }] },
    'captured-13.5-failover': { pages: [storage('gitaly-1', 7, 10), storage('gitaly-4', 7, 20)] },
    'captured-13.5-praefects-killed': { pages: [{ alert: 'PraefectQuorumLost', withinMinutes: 6 }] },
  } satisfies Record<string, Expectation>),
);
