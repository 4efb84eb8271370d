/** What a problem on the page is, its kinds, and the alert of each kind. */
import { type AlertName, alertRule } from '../alert-rules.ts';
import { type Finding, fixText, type Severity } from '../finding.ts';

type ProblemKind =
  | { readonly severity: Severity; readonly alert: AlertName }
  | {
      /** Without an alert that pages, a problem is at most a warning. */
      readonly severity: 'warning' | 'info';
      /** Why there is no alert for it. */
      readonly noAlert: string;
    };

const coveredBy = (alerts: string): string => `its consequences have alerts: ${alerts}`;

export const problemKinds = {
  database_unreachable: { severity: 'critical', alert: 'PraefectDatabaseUnreachable' },
  database_read_only: { severity: 'critical', alert: 'PraefectDatabaseReadOnly' },
  quorum_lost: { severity: 'critical', alert: 'PraefectQuorumLost' },
  storage_unhealthy: { severity: 'critical', alert: 'PraefectStorageUnhealthy' },
  storage_unreachable_from_praefect: { severity: 'warning', alert: 'PraefectHealthDisagreement' },
  praefect_not_reporting: { severity: 'warning', alert: 'PraefectInstanceDown' },
  repositories_unavailable: { severity: 'critical', alert: 'PraefectRepositoriesUnavailable' },
  repositories_read_only: { severity: 'critical', alert: 'PraefectRepositoriesReadOnly' },
  repositories_lost: { severity: 'critical', alert: 'PraefectRepositoriesLost' },
  replicas_stuck: { severity: 'warning', alert: 'PraefectReplicaStuck' },
  replication_stalled: { severity: 'critical', alert: 'PraefectReplicationStalled' },
  jobs_stale: { severity: 'warning', alert: 'PraefectReplicationLockStale' },

  gitaly_unreachable: { severity: 'critical', alert: 'GitalyDown' },
  gitaly_disappeared: { severity: 'critical', alert: 'GitalyDown' },
  pod_not_ready: { severity: 'critical', alert: 'GitalyDown' },
  metrics_unreadable: { severity: 'warning', alert: 'GitalyMetricsUnreadable' },
  target_unreadable: {
    severity: 'warning',
    noAlert: 'a Praefect, or a Gitaly that is not known to run: nothing shows that it serves requests',
  },
  requests_dropped_queue_full: { severity: 'critical', alert: 'GitalyRequestsDroppedQueueFull' },
  requests_dropped_queue_wait: { severity: 'warning', alert: 'GitalyRequestsDroppedQueueWait' },
  requests_shed: { severity: 'warning', alert: 'GitalyLoadShed' },
  pack_objects_dropped: { severity: 'warning', alert: 'GitalyPackObjectsDropped' },
  limits_not_in_effect: { severity: 'warning', noAlert: 'nothing fails because of it' },

  gitaly_oom_killed: { severity: 'warning', alert: 'GitalyOOMKilled' },
  gitaly_oom_killed_repeatedly: { severity: 'critical', alert: 'GitalyOOMKilledRepeatedly' },
  git_oom_killed: { severity: 'warning', alert: 'GitalyGitOOMKilled' },
  memory_near_limit: { severity: 'warning', alert: 'GitalyMemoryNearLimit' },
  bucket_near_limit: { severity: 'warning', noAlert: coveredBy('GitalyGitOOMKilled') },
  cpu_throttled: { severity: 'warning', alert: 'GitalyCPUThrottled' },
  pod_memory_unlimited: { severity: 'warning', noAlert: 'the check pod_memory_bounded reports it' },
  cgroups_unreadable: { severity: 'warning', noAlert: coveredBy('GitalyExporterCollectorFailing') },

  rotation_slow: { severity: 'warning', alert: 'GitalyRotationSlow' },
  pod_stuck_terminating: { severity: 'warning', noAlert: 'it still serves; afterwards GitalyDown' },
  node_not_ready: { severity: 'warning', alert: 'GitalyNodeNotReady' },
  node_pressure: { severity: 'warning', alert: 'GitalyNodePressure' },
  disruption_budget_blocks: { severity: 'warning', alert: 'GitalyDrainBlocked' },
  maintenance_window_invalid: { severity: 'warning', noAlert: 'alerts fire as if there were no window' },
  collector_failing: { severity: 'warning', alert: 'GitalyExporterCollectorFailing' },
} as const satisfies Readonly<Record<string, ProblemKind>>;

export type ProblemId = keyof typeof problemKinds;

export interface Problem extends Finding {
  readonly id: ProblemId;
  /** The same as long as the problem lasts. */
  readonly key: string;
  /** Undefined where the kind has no alert. */
  readonly alert: AlertName | undefined;
  /** Names of the open maintenance windows that suppress the alert. The severity is then `info`. */
  readonly suppressedBy: readonly string[];
  /** Seconds since 1970: when the condition began, where it is known; else it is when the problem was first seen. */
  readonly heldSince?: number | undefined;
}

/** What a rule says about one problem. */
interface ProblemText {
  /** Distinguishes problems of one kind; empty where there can be only one. */
  readonly of?: string;
  readonly title: string;
  readonly subject?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly detail?: string;
  /** The first step, in words. */
  readonly action?: string;
  readonly since?: number | undefined;
  readonly heldSince?: number | undefined;
}

export function problem(id: ProblemId, text: ProblemText): Problem {
  const kind: ProblemKind = problemKinds[id];
  const alert = 'alert' in kind ? kind.alert : undefined;
  return {
    id,
    key: text.of === undefined ? id : `${id} ${text.of}`,
    severity: kind.severity,
    title: text.title,
    subject: text.subject ?? '',
    labels: text.labels ?? {},
    detail: text.detail ?? '',
    fixes: text.action === undefined ? [] : [fixText(text.action)],
    since: text.since,
    heldSince: text.heldSince,
    runbook: alert && `alerts/runbooks/${alert}.md`,
    alert,
    suppressedBy: [],
  };
}

/** The problem during maintenance windows: suppressed, if its alert is. */
export function duringMaintenance(found: Problem, windows: readonly string[]): Problem {
  const rule = found.alert && alertRule(found.alert, found.severity);
  if (windows.length === 0 || rule?.isSuppressed !== true) return found;
  return { ...found, severity: 'info', suppressedBy: windows };
}

export const counted = (count: number, one: string, several: string): string =>
  `${count} ${count === 1 ? one : several}`;
