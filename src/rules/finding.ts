/** What a rule finds: a problem on the page, the result of a recommendation's check, or one of doctor's access checks. */

/** critical: users are affected, or data is at risk. warning: to be fixed in working hours. info: worth knowing. */
export const severities = ['critical', 'warning', 'info'] as const;
export type Severity = (typeof severities)[number];

/** One way to fix it. `helm`: values of the GitLab chart. `kubectl` and `sql`: to copy. `text`: in words. */
export interface Fix {
  readonly kind: 'text' | 'helm' | 'kubectl' | 'sql';
  readonly text: string;
}

export const fixText = (text: string): Fix => ({ kind: 'text', text });

export interface Finding {
  /** The rule that found it: `storage_unhealthy`, `cgroup_v2`, `database_tables`. */
  readonly id: string;
  readonly severity: Severity;
  /** One line: of a problem what is wrong, of a check what it expects. */
  readonly title: string;
  /** What it is about, for people: `gitlab/gl-gitaly-0`, `gitaly-1 of default`; empty for the whole. */
  readonly subject: string;
  /** The same as labels of the metrics that it was judged by. */
  readonly labels: Readonly<Record<string, string>>;
  /** What was found, with the measured values. */
  readonly detail: string;
  readonly fixes: readonly Fix[];
  /** Seconds since 1970, where the data itself shows when it began. */
  readonly since?: number | undefined;
  /** A path of the package, with its section; undefined where there is none. */
  readonly runbook: string | undefined;
}
