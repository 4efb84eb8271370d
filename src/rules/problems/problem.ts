/** What a problem on the page is, its kinds, and the alert of each kind. */
import { durationText } from '../../lib/format.ts';
import { type Identity, identityText } from '../../sources/identity.ts';
import { type AlertName, alertRule } from '../alert-rules.ts';
import { type Finding, fixText, type Severity } from '../finding.ts';

type ProblemKind =
  /** Its severity is that of the alert. */
  | { readonly alert: AlertName }
  | {
      /** Without an alert that pages, a problem is at most a warning. */
      readonly severity: 'warning' | 'info';
      /** Why there is no alert for it. */
      readonly noAlert: string;
    };

const coveredBy = (alerts: string): string => `its consequences have alerts: ${alerts}`;

export const problemKinds = {
  database_unreachable: { alert: 'PraefectDatabaseUnreachable' },
  database_clock_skew: { alert: 'PraefectDatabaseClockSkew' },
  database_read_only: { alert: 'PraefectDatabaseReadOnly' },
  quorum_lost: { alert: 'PraefectQuorumLost' },
  storage_unhealthy: { alert: 'PraefectStorageUnhealthy' },
  storage_unreachable_from_praefect: { alert: 'PraefectHealthDisagreement' },
  praefect_not_reporting: { alert: 'PraefectInstanceDown' },
  repositories_unavailable: { alert: 'PraefectRepositoriesUnavailable' },
  repositories_read_only: { alert: 'PraefectRepositoriesReadOnly' },
  repositories_lost: { alert: 'PraefectRepositoriesLost' },
  replicas_stuck: { alert: 'PraefectReplicaStuck' },
  replication_stalled: { alert: 'PraefectReplicationStalled' },
  jobs_stale: { alert: 'PraefectReplicationLockStale' },

  gitaly_unreachable: { alert: 'GitalyDown' },
  gitaly_disappeared: { alert: 'GitalyDown' },
  pod_not_ready: { alert: 'GitalyDown' },
  metrics_unreadable: { alert: 'GitalyMetricsUnreadable' },
  target_unreadable: {
    severity: 'warning',
    noAlert: 'a Praefect, or a Gitaly that is not known to run: nothing shows that it serves requests',
  },
  requests_dropped_queue_full: { alert: 'GitalyRequestsDroppedQueueFull' },
  requests_dropped_queue_wait: { alert: 'GitalyRequestsDroppedQueueWait' },
  requests_shed: { alert: 'GitalyLoadShed' },
  pack_objects_dropped: { alert: 'GitalyPackObjectsDropped' },
  limits_not_in_effect: { severity: 'warning', noAlert: 'nothing fails because of it' },

  gitaly_container_oom_killed: { alert: 'GitalyContainerOOMKilled' },
  gitaly_oom_killed: { alert: 'GitalyOOMKilled' },
  gitaly_oom_killed_repeatedly: { alert: 'GitalyOOMKilledRepeatedly' },
  git_oom_killed: { alert: 'GitalyGitOOMKilled' },
  memory_near_limit: { alert: 'GitalyMemoryNearLimit' },
  bucket_near_limit: { severity: 'warning', noAlert: coveredBy('GitalyGitOOMKilled') },
  cpu_throttled: { alert: 'GitalyCPUThrottled' },
  pod_memory_unlimited: { severity: 'warning', noAlert: 'the check pod_memory_bounded reports it' },
  cgroups_unreadable: { severity: 'warning', noAlert: coveredBy('GitalyExporterCollectorFailing') },

  rotation_slow: { alert: 'GitalyRotationSlow' },
  pod_stuck_terminating: { severity: 'warning', noAlert: 'it still serves; afterwards GitalyDown' },
  node_not_ready: { alert: 'GitalyNodeNotReady' },
  node_pressure: { alert: 'GitalyNodePressure' },
  disruption_budget_blocks: { alert: 'GitalyDrainBlocked' },
  stateful_set_deleted: { severity: 'warning', noAlert: coveredBy('GitalyDown') },
  namespace_without_gitaly: { alert: 'GitalyExporterCollectorFailing' },
  api_clock_skew: {
    severity: 'warning',
    noAlert: 'the difference is measured, and times of the API are corrected by it',
  },
  maintenance_window_invalid: { severity: 'warning', noAlert: 'alerts fire as if there were no window' },
  series_dropped: { alert: 'GitalyExporterSeriesDropped' },
  collector_failing: { alert: 'GitalyExporterCollectorFailing' },
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

const kindOf = (id: ProblemId): ProblemKind => problemKinds[id];

/** Outside of maintenance windows. */
export function severityOf(id: ProblemId): Severity {
  const kind = kindOf(id);
  return 'alert' in kind ? alertRule(kind.alert).severity : kind.severity;
}

export function problem(id: ProblemId, text: ProblemText): Problem {
  const kind = kindOf(id);
  const alert = 'alert' in kind ? kind.alert : undefined;
  return {
    id,
    key: text.of === undefined ? id : `${id} ${text.of}`,
    severity: severityOf(id),
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

/** What a problem of one Gitaly is about. */
export const aboutServer = (identity: Identity): Required<Pick<ProblemText, 'subject' | 'labels'>> => ({
  subject: identityText(identity),
  labels: { ...identity },
});

/** The problem during maintenance windows: suppressed, if its alert is. */
export function duringMaintenance(found: Problem, windows: readonly string[]): Problem {
  const isSuppressed = found.alert !== undefined && alertRule(found.alert).isSuppressed === true;
  if (windows.length === 0 || !isSuppressed) return found;
  return { ...found, severity: 'info', suppressedBy: windows };
}

/** `2h ahead of`, `30s behind` another clock. */
export const clockDifference = (seconds: number): string =>
  `${durationText(Math.abs(seconds) * 1000)} ${seconds > 0 ? 'ahead of' : 'behind'}`;
