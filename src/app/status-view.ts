/**
 * What the page and the API show, as plain data. The application fills it from the runner, the collectors and
 * the event log. All times are Clock.now() (milliseconds since 1970), all durations milliseconds. What is
 * unknown is left out, never guessed.
 */

import type { ChecksView } from '../rules/checks/view.ts';
import type { Severity } from '../rules/finding.ts';
import type { Event } from '../scheduler/event-log.ts';
import type { CollectorStatus } from '../scheduler/status.ts';

export interface StatusView {
  readonly program: { readonly name: string; readonly version: string };
  /** What is monitored, in a few words without secrets: "Praefect's database praefect on db.example:5432". */
  readonly target: string;
  readonly startedAt: number;
  /** No source is configured, so nothing is monitored. */
  readonly isUnconfigured?: boolean | undefined;
  /** Every source was read, and none has anything to monitor: no Gitaly and no Praefect. */
  readonly isIdle?: boolean | undefined;
  /** What an operator has to act on, failures of collectors included. */
  readonly problems: readonly ProblemView[];
  readonly collectors: readonly CollectorView[];
  /** Open maintenance windows. */
  readonly maintenanceWindows?: readonly MaintenanceWindowView[] | undefined;
  /** Memory and OOM kills of each Gitaly; absent where no cgroups are monitored. */
  readonly memory?: MemoryView | undefined;
  /** Gitaly's pods and their rotations; absent where Kubernetes is not watched. */
  readonly pods?: PodsView | undefined;
  /** Newest first. */
  readonly events: readonly Event[];
  /** Documentation, dashboards. The page adds /metrics and the API itself. */
  readonly links: readonly LinkView[];
  readonly demo?: DemoView | undefined;
  /** Recommendations as checks; absent where no checks run. */
  readonly checks?: ChecksView | undefined;
}

export interface ProblemView {
  /** The kind: `storage_unhealthy`. */
  readonly id?: string | undefined;
  /** `info`: its alert is suppressed by a maintenance window. */
  readonly severity: Severity;
  /** One line: what is wrong, with which storage. */
  readonly title: string;
  readonly since?: number | undefined;
  /** The cause, as far as known. */
  readonly detail?: string | undefined;
  /** The next step. */
  readonly action?: string | undefined;
  /** The alert for the same problem; absent for those that have none. */
  readonly alert?: AlertView | undefined;
}

export interface AlertView {
  /** The rule's name, such as PraefectQuorumLost. */
  readonly name: string;
  /** `pending`: the problem has not lasted as long as the rule's `for`. Absent: unknown. */
  readonly state?: 'pending' | 'firing' | 'suppressed' | undefined;
  readonly runbook: LinkView;
}

export interface LinkView {
  readonly text: string;
  /** http, https, or a path of this server. Anything else is shown as text. */
  readonly href: string;
}

/** What the runner reports of a collector, as far as it is shown. */
export interface CollectorView
  extends Pick<CollectorStatus, 'name' | 'title' | 'state'>,
    Partial<Pick<CollectorStatus, 'message' | 'since' | 'readAt' | 'series'>> {
  /** The failure's reason, from a closed list; also set while stale. */
  readonly reason?: string | undefined;
  readonly durationMs?: number | undefined;
  /** From start to start, as in effect. Absent: at each scrape. */
  readonly everyMs?: number | undefined;
  /** Why `everyMs` is longer than configured: "the time limit of 1% for the database". */
  readonly slowedBy?: string | undefined;
  /** A snapshot older than this is stale. */
  readonly maxAgeMs?: number | undefined;
}

export interface MaintenanceWindowView {
  readonly name: string;
  readonly endsAt?: number | undefined;
}

export interface PodsView {
  /** Empty while they are unknown. */
  readonly pods: readonly PodStatusView[];
  readonly isUnknown?: true | undefined;
  /** What is unknown and why, one line each. */
  readonly notes: readonly string[];
}

export interface PodStatusView {
  readonly name: string;
  /** Empty without a pod, and before it is scheduled. */
  readonly node: string;
  readonly state: 'ready' | 'not_ready' | 'rotating';
  /** When the state began; absent: unknown. */
  readonly since?: number | undefined;
  /** Why the pod is not Ready, or the phase of its rotation. */
  readonly detail?: string | undefined;
  /** Its last completed rotation since the exporter started. */
  readonly lastRotation?:
    | {
        /** `node_drained` */
        readonly cause: string;
        readonly durationMs?: number | undefined;
        readonly endedAt?: number | undefined;
        /** The node that the pod left, where it moved. */
        readonly fromNode?: string | undefined;
      }
    | undefined;
}

export interface MemoryView {
  readonly servers: readonly ServerMemoryView[];
  /** There may be one: the cgroups of this host cannot be read, or not all of them. */
  readonly isUnknown?: true | undefined;
  /** What is unknown and why, one line each. */
  readonly notes: readonly string[];
}

/** One Gitaly. In bytes; what could not be read is absent. */
export interface ServerMemoryView {
  readonly name: string;
  /** One line: its cgroup layout. */
  readonly title: string;
  /** Absent: no such level (a virtual machine has no pod). */
  readonly pod?: LevelMemoryView | undefined;
  readonly gitaly?: LevelMemoryView | undefined;
  readonly git?: LevelMemoryView | undefined;
  /**
   * OOM kills since the exporter started, by the limit that was exceeded, in words: `a bucket's memory limit`. Levels
   * without kills are left out. Absent: unknown.
   */
  readonly kills?:
    | readonly { readonly level: string; readonly processes: number; readonly last?: number | undefined }[]
    | undefined;
  /** Repository buckets with OOM kills, those with the most first. */
  readonly killedBuckets: readonly BucketNoteView[];
  /** Repository buckets near their memory limit, the fullest first. */
  readonly nearLimit: readonly BucketNoteView[];
}

export interface BucketNoteView {
  readonly text: string;
  readonly link?: LinkView | undefined;
}

export interface LevelMemoryView {
  /** Anonymous memory, which the kernel cannot reclaim. */
  readonly anon?: number | undefined;
  /** Including page cache. */
  readonly usage?: number | undefined;
  /** 'none': there is no limit. */
  readonly limit?: number | 'none' | undefined;
  /** CPU-throttled share of the CPU limit's periods, 0 to 1. */
  readonly throttledRatio?: number | undefined;
  /** Files that could not be read, with the reason. */
  readonly readErrors: readonly string[];
}

/** The demo's incidents, which can be started from the page. */
export interface DemoView {
  readonly incidents: readonly DemoIncidentView[];
}

export interface DemoIncidentView {
  /** Part of the path: `/demo/incidents/<name>`; [a-z0-9_-]+. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Absent: it does not run. */
  readonly runningSince?: number | undefined;
  readonly state?: 'idle' | 'running' | 'ending' | undefined;
  /** The latest message of the running incident. */
  readonly progress?: string | undefined;
  /** A running incident that this one conflicts with. */
  readonly blockedBy?: string | undefined;
}
