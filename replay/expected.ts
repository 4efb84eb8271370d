/** What each replay is expected to notify, and how soon after the beginning of the incident. */
import type { AlertName } from '../src/rules/alert-rules.ts';

export interface ExpectedPage {
  readonly alert: AlertName;
  /** Until the notification: the alert's duration, Alertmanager's group_wait, and detection. */
  readonly withinMinutes: number;
  /** Of its labels: what it names as the cause. */
  readonly names?: Readonly<Record<string, string>>;
}

export interface Expectation {
  /** Undefined: no one is paged. */
  readonly page?: ExpectedPage;
  /** Tickets that must be there; others may be. */
  readonly tickets?: readonly AlertName[];
}

const storage = (name: string, withinMinutes: number): Expectation => ({
  page: { alert: 'PraefectStorageUnhealthy', withinMinutes, names: { storage: name } },
});

/** A Map, because names come from the command line. */
export const expectations: ReadonlyMap<string, Expectation> = new Map<string, Expectation>(
  Object.entries({
    'storage-dies': storage('gitaly-1', 6),
    'archive-storage-dies': storage('archive-2', 6),
    // It hangs once jobs for it are in progress.
    'storage-hangs': storage('gitaly-3', 7),
    // gitaly-1 dies after the other two, which return.
    'only-copy-dies': storage('gitaly-1', 7),
    rollout: {},
    'praefect-cut-off': { tickets: ['PraefectHealthDisagreement'] },
    'praefect-dies': { tickets: ['PraefectInstanceDown'] },
    'all-praefects-die': { page: { alert: 'PraefectQuorumLost', withinMinutes: 6 } },
    'replication-stalls': {
      page: { alert: 'PraefectReplicationStalled', withinMinutes: 20, names: { storage: 'gitaly-3' } },
    },
    'replication-refused': { tickets: ['PraefectReplicaStuck'] },
    'stuck-replica': { tickets: ['PraefectReplicaStuck'] },
    backlog: { tickets: ['PraefectReplicationBacklog'] },
    'replica-lost': {},
    'repository-lost': { page: { alert: 'PraefectRepositoriesLost', withinMinutes: 9 } },
    'database-read-only': { page: { alert: 'PraefectDatabaseReadOnly', withinMinutes: 5 } },
    'database-stops': { page: { alert: 'PraefectDatabaseUnreachable', withinMinutes: 5 } },
    'database-blocked': { tickets: ['PraefectDatabaseQueriesBlocked'] },
    'limit-saturated': { page: { alert: 'GitalyRequestsDroppedQueueFull', withinMinutes: 13 } },
    'oom-bucket': { tickets: ['GitalyGitOOMKilled'] },
    'oom-pod': { page: { alert: 'GitalyOOMKilledRepeatedly', withinMinutes: 5, names: { pod: 'gitaly-1' } } },
    'pod-deleted': {},
    'image-pull-fails': storage('gitaly-3', 7),
    'node-drained': {},
    'pod-evicted': {},
    'crash-loop': { page: { alert: 'GitalyOOMKilledRepeatedly', withinMinutes: 5, names: { pod: 'gitaly-2' } } },
    'drain-blocked': storage('gitaly-3', 7),
    'pod-pending': storage('gitaly-1', 7),
  } satisfies Record<string, Expectation>),
);
