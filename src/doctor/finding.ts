/** What doctor finds, and the checks of the exporter's own access. Recommendations's checks join them as the same shape. */

/** In the order in which they are shown. */
export const statuses = ['fail', 'warn', 'unknown', 'pass'] as const;
/**
 * `warn`: it works, and somebody should look all the same (rights that are not needed). `unknown`: could not be
 * found out, and `found` says why; never to be read as good.
 */
export type Status = (typeof statuses)[number];

export const groups = [
  'Settings',
  "Praefect's database",
  "Kubernetes' API",
  'Cgroups',
  'Servers',
  'Recommendations',
] as const;
export type Group = (typeof groups)[number];

export interface Check {
  /** As --only and --skip take it: `database_tables`. */
  readonly id: string;
  readonly group: Group;
  /** What is true when it passes: `Every table that is read may be read`. */
  readonly title: string;
  /** What it costs when it fails, in one sentence. */
  readonly why: string;
  /** A link, or a path below docs/. */
  readonly runbook: string;
}

/** One way to mend it. `helm`: values of the GitLab chart. */
export interface Mend {
  readonly kind: 'do' | 'helm' | 'kubectl' | 'sql';
  readonly text: string;
}

export interface Finding {
  readonly check: Check;
  readonly status: Status;
  /** What it is about: a pod, a server, a file; empty where the check says it all. */
  readonly subject: string;
  readonly found: string;
  readonly expected: string;
  /** None where it passes. */
  readonly mend: readonly Mend[];
}

export const accessChecks = {
  webConfig: access('web_config', 'Settings', {
    title: 'The web configuration is in order',
    why: 'The exporter does not start with one that is wrong.',
  }),
  databaseSettings: access('database_settings', 'Settings', {
    title: "The database's address, certificates and password are in order",
    why: 'The exporter does not start with them as they are.',
  }),
  gitalyConfig: access('gitaly_config', 'Settings', {
    title: "Gitaly's configuration can be read",
    why: 'Limits as configured are not told for servers whose configuration is not known.',
  }),
  podsFile: access('pods_file', 'Settings', {
    title: "The file of Gitaly's pods can be read",
    why: 'Pods are named by their uid, and those of the last good file may be gone.',
  }),
  databaseReachable: access('database_reachable', "Praefect's database", {
    title: 'The database answers',
    why: 'Nothing of praefect_db_* is told but that it is down.',
  }),
  databaseSchema: access('database_schema', "Praefect's database", {
    title: "It holds Praefect's tables, in a form that is known",
    why: 'Without them there is nothing to ask.',
  }),
  databaseTables: access('database_tables', "Praefect's database", {
    title: 'The role may read every table and view that is asked',
    why: 'The questions that need the others fail, and their metrics are absent.',
  }),
  databaseSequence: access('database_sequence', "Praefect's database", {
    title: 'The role may read the sequence of replication jobs',
    why: 'praefect_db_replication_jobs_enqueued_total and _removed_total are absent.',
  }),
  databaseStatistics: access('database_statistics', "Praefect's database", {
    title: 'The role may see what other sessions do',
    why: 'praefect_db_longest_transaction_seconds and the states of praefect_db_connections are absent.',
  }),
  databaseLeast: access('database_least_rights', "Praefect's database", {
    title: 'The role may do no more than read',
    why: 'The exporter never writes; whoever gets hold of its password could.',
  }),
  databaseTls: access('database_tls', "Praefect's database", {
    title: 'The connection is encrypted, or local',
    why: 'Names and paths of repositories, and on some servers the password, cross the network in the clear.',
  }),
  apiReachable: access('api_reachable', "Kubernetes' API", {
    title: 'The API server answers, and knows us',
    why: 'Nothing of the pods is known.',
  }),
  apiRights: access('api_rights', "Kubernetes' API", {
    title: 'Every right that is used is granted',
    why: 'What rests on the resource is absent, and its collector fails.',
  }),
  apiLeast: access('api_least_rights', "Kubernetes' API", {
    title: 'No right that could do harm is granted',
    why: 'The exporter only reads; whoever gets hold of its token could do more.',
  }),
  apiPods: access('api_pods', "Kubernetes' API", {
    title: "Gitaly's pods are found",
    why: 'A selector or a namespace that matches nothing looks like a quiet cluster.',
  }),
  cgroupRoot: access('cgroup_root', 'Cgroups', {
    title: 'The root is a cgroup v2 tree that can be read',
    why: 'Memory, CPU and OOM kills are not told.',
  }),
  cgroupReadOnly: access('cgroup_read_only', 'Cgroups', {
    title: 'Nothing below the root can be written by this user',
    why: 'The exporter only reads; a fault of it could then change limits.',
  }),
  cgroupTrees: access('cgroup_trees', 'Cgroups', {
    title: "Gitaly's cgroups are found on this host",
    why: 'Without them there is nothing to tell of this host.',
  }),
  serversReachable: access('servers_reachable', 'Servers', {
    title: "Every server's /metrics answers, and is Gitaly's or Praefect's",
    why: 'Its limits, queues and drops are absent, and gitaly_server_scrape_up is 0.',
  }),
} as const;

function access(id: string, group: Group, words: Pick<Check, 'title' | 'why'>): Check {
  return Object.freeze({ id, group, ...words, runbook: `docs/doctor.md#${id}` });
}

/** A finding of a check that passes. */
export const passes = (check: Check, found: string, subject = ''): Finding => ({
  check,
  status: 'pass',
  subject,
  found,
  expected: check.title,
  mend: [],
});

/** A finding of one that does not; `subject` and `expected` where the check's own words do not say it. */
export const finds = (
  check: Check,
  status: Exclude<Status, 'pass'>,
  found: string,
  mend: readonly Mend[],
  more: { readonly subject?: string; readonly expected?: string } = {},
): Finding => ({
  check,
  status,
  subject: more.subject ?? '',
  found,
  expected: more.expected ?? check.title,
  mend,
});

export const todo = (text: string): Mend => ({ kind: 'do', text });
