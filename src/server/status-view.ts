/**
 * What the page and the API say, as plain data: app.ts fills it in from the runner, the collectors and the event
 * log. All times are Clock.now() (milliseconds since 1970), all durations milliseconds. Whatever is unknown is
 * left out; nothing here is ever guessed.
 */

export interface StatusView {
  readonly program: { readonly name: string; readonly version: string };
  /** What is watched, in a few words without secrets: "Praefect's database praefect on db.example:5432". */
  readonly target: string;
  readonly startedAt: number;
  /** What somebody has to act on, as far as it is known. The page adds what collectors cannot tell. */
  readonly problems: readonly ProblemView[];
  readonly collectors: readonly CollectorView[];
  /** Open maintenance windows. */
  readonly maintenanceWindows?: readonly MaintenanceWindowView[] | undefined;
  /** Memory and OOM kills of each Gitaly; absent where no cgroups are watched. */
  readonly memory?: MemoryView | undefined;
  /** Newest first. */
  readonly events: readonly EventView[];
  /** Other places to go: documentation, dashboards. /metrics and the API are there already. */
  readonly links: readonly LinkView[];
  readonly demo?: DemoView | undefined;
  /** Recommendations as checks; absent where none are run. */
  readonly checks?: ChecksView | undefined;
}

export const severities = ['critical', 'warning'] as const;
export type Severity = (typeof severities)[number];

export interface ProblemView {
  readonly severity: Severity;
  /** One line: what is wrong, with which storage. */
  readonly title: string;
  readonly since?: number | undefined;
  /** Why, as far as known. */
  readonly detail?: string | undefined;
  /** What to do about it. */
  readonly action?: string | undefined;
  readonly link?: LinkView | undefined;
  /** The alert for the same problem; absent for those that have none. */
  readonly alert?: AlertView | undefined;
}

export interface AlertView {
  /** The rule's name, such as PraefectStorageUnhealthy. */
  readonly name: string;
  /** `pending`: the problem has not lasted as long as the rule's `for`. Absent: not known. */
  readonly state?: 'pending' | 'firing' | undefined;
  /** When the state began. */
  readonly since?: number | undefined;
  readonly runbook?: LinkView | undefined;
}

export interface LinkView {
  readonly text: string;
  /** http, https, or a path of this server. Anything else is shown without being a link. */
  readonly href: string;
}

export const collectorStates = [
  'pending', // has not finished a run yet
  'ok',
  'empty', // nothing to collect, and that is right
  'failed', // the last run failed; the snapshot before it may still be served
  'stale', // the snapshot was too old and has been withdrawn
] as const;
export type CollectorState = (typeof collectorStates)[number];

export interface CollectorView {
  readonly name: string;
  /** One line: what it reads. */
  readonly title: string;
  readonly state: CollectorState;
  /** The failure's reason, from the closed list; also kept while stale. */
  readonly reason?: string | undefined;
  /** Why it failed, is stale, or is empty, in words for people. */
  readonly message?: string | undefined;
  /** When the state began, where it is one that matters (failed, stale). */
  readonly since?: number | undefined;
  /** When the source was read whose values are now served: the age on the page. */
  readonly readAt?: number | undefined;
  readonly durationMs?: number | undefined;
  /** From start to start, as it is in effect. Absent: at each scrape. */
  readonly everyMs?: number | undefined;
  /** Why `everyMs` is longer than configured: "the database's budget of 1 %". */
  readonly stretchedBy?: string | undefined;
  /** Older than this, a snapshot is not to be believed. */
  readonly maxAgeMs?: number | undefined;
  /** How many series it serves now. */
  readonly series?: number | undefined;
}

export interface EventView {
  readonly at: number;
  readonly kind: string;
  /** One sentence. */
  readonly message: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface MaintenanceWindowView {
  readonly name: string;
  readonly endsAt?: number | undefined;
}

export interface MemoryView {
  readonly servers: readonly ServerMemoryView[];
  /** What is not known of all of them and why, a line each. */
  readonly notes: readonly string[];
}

/** One Gitaly. Bytes; what could not be read is absent. */
export interface ServerMemoryView {
  readonly name: string;
  /** One line: how its Git processes are held in. */
  readonly title: string;
  /** Absent: there is no such level (a virtual machine has no pod). */
  readonly pod?: LevelMemoryView | undefined;
  readonly gitaly?: LevelMemoryView | undefined;
  readonly git?: LevelMemoryView | undefined;
  /** OOM kills since the exporter started, by the level whose limit ran out, those with kills only. Absent: not known. */
  readonly kills?:
    | readonly { readonly level: string; readonly processes: number; readonly last?: number | undefined }[]
    | undefined;
  /** Repository buckets with OOM kills, those with most first. */
  readonly killedBuckets: readonly BucketNoteView[];
  /** Repository buckets whose processes hold most of their limit, fullest first. */
  readonly nearLimit: readonly BucketNoteView[];
}

export interface BucketNoteView {
  readonly text: string;
  readonly link?: LinkView | undefined;
}

export interface LevelMemoryView {
  /** What processes hold and the kernel cannot take back. */
  readonly anon?: number | undefined;
  /** With page cache. */
  readonly usage?: number | undefined;
  /** 'none': there is no limit. */
  readonly limit?: number | 'none' | undefined;
  /** Share of the CPU limit's periods in which something was held back, 0 to 1. */
  readonly throttledRatio?: number | undefined;
  readonly readErrors: readonly string[];
}

/** The demo's incidents, which can be set off from the page. */
export interface DemoView {
  readonly incidents: readonly IncidentView[];
}

export interface IncidentView {
  /** Part of the path: `/demo/incidents/<name>`; [a-z0-9_-]+. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Since when it has been going on; absent: it is not. */
  readonly runningSince?: number | undefined;
}

/** Which recommendations are followed. What fails comes first, the most important on top. */
export interface ChecksView {
  /** `stale`: older than the max age; only `at` is filled then. */
  readonly state: 'pending' | 'current' | 'stale';
  /** When the checks were run. */
  readonly at: number | undefined;
  /** Of single results: a check has one for each pod, node or workload that it is about. */
  readonly summary: {
    readonly pass: number;
    readonly fail: number;
    readonly unknown: number;
    readonly notApplicable: number;
  };
  readonly failing: readonly FailingCheckView[];
  readonly unknown: readonly UnknownCheckView[];
  /** Titles of what is followed everywhere. */
  readonly passing: readonly string[];
}

export interface FailingCheckView {
  readonly check: string;
  readonly title: string;
  readonly severity: 'warning' | 'advice';
  readonly why: string;
  readonly expected: string;
  /** Where to read on: a file of the package, and its section. */
  readonly runbook: string;
  /** Whom it is about, and what was found there. */
  readonly subjects: readonly { readonly name: string; readonly text: string }[];
  /** YAML for the chart. */
  readonly helm?: string | undefined;
  /** Lines for a shell. */
  readonly kubectl: readonly string[];
  readonly other?: string | undefined;
}

export interface UnknownCheckView {
  readonly check: string;
  readonly title: string;
  /** Why it is not known, and of whom. */
  readonly reasons: readonly { readonly text: string; readonly names: readonly string[] }[];
}
