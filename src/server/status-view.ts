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
  /** Newest first. */
  readonly events: readonly EventView[];
  /** Other places to go: documentation, dashboards. /metrics and the API are there already. */
  readonly links: readonly LinkView[];
  readonly demo?: DemoView | undefined;
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
