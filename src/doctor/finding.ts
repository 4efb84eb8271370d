/** What doctor finds: its checks of the exporter's own access, and the checks of recommendations as it shows them. */

import { wholeCluster } from '../rules/checks/check.ts';
import { checks } from '../rules/checks/definitions/index.ts';
import { checkRunbook, type Evaluation } from '../rules/checks/evaluate.ts';
import type { Finding, Fix } from '../rules/finding.ts';

/** In the order in which they are shown. */
export const doctorStatuses = ['fail', 'warn', 'unknown', 'pass'] as const;
/**
 * `warn`: it works, but should be reviewed (permissions that are not needed). `unknown`: could not be determined, and
 * `detail` says why; never to be read as a pass.
 */
export type DoctorStatus = (typeof doctorStatuses)[number];

export const doctorGroups = [
  'Settings',
  "Praefect's database",
  'Kubernetes API',
  'Cgroups',
  'Servers',
  'Prometheus',
  'Recommendations',
] as const;
export type DoctorGroup = (typeof doctorGroups)[number];

export interface DoctorCheck {
  /** As --only and --skip take it: `database_tables`. */
  readonly id: string;
  readonly group: DoctorGroup;
  /** What is true when it passes: `The role can read every table`. */
  readonly title: string;
  /** The consequence of a failure, in one sentence. */
  readonly why: string;
  /** What is found when it passes, where the title does not say it. */
  readonly expected: string;
  /** A path of the package, with its section. */
  readonly runbook: string;
}

export interface DoctorFinding extends Pick<Finding, 'subject' | 'detail' | 'fixes'> {
  readonly check: DoctorCheck;
  readonly status: DoctorStatus;
}

export const accessChecks = {
  webConfig: access('web_config', 'Settings', {
    title: 'The web configuration is valid',
    why: 'The exporter does not start with an invalid one.',
  }),
  databaseSettings: access('database_settings', 'Settings', {
    title: "The database's address, certificates and password are valid",
    why: 'The exporter does not start with invalid ones.',
  }),
  gitalyConfig: access('gitaly_config', 'Settings', {
    title: "Gitaly's configuration can be read",
    why: 'Configured limits of servers whose configuration is unknown are absent.',
  }),
  podsFile: access('pods_file', 'Settings', {
    title: 'The pods file can be read',
    why: 'Pods are named by their uid, and the pods of the last valid file may no longer exist.',
  }),
  databaseReachable: access('database_reachable', "Praefect's database", {
    title: 'The database is reachable',
    why: 'Of praefect_db_*, only praefect_db_up 0 is exposed.',
  }),
  databaseSchema: access('database_schema', "Praefect's database", {
    title: "The database holds Praefect's tables, in a supported schema",
    why: 'Without the tables there is nothing to query.',
  }),
  databaseTables: access('database_tables', "Praefect's database", {
    title: 'The role can read every table and view that is queried',
    why: 'Queries of these tables fail, and their metrics are absent.',
  }),
  databaseSequence: access('database_sequence', "Praefect's database", {
    title: 'The role can read the sequence of replication jobs',
    why: 'praefect_db_replication_jobs_enqueued_total and _removed_total are absent.',
  }),
  databaseStatistics: access('database_statistics', "Praefect's database", {
    title: 'The role can read the activity of other sessions',
    why: 'praefect_db_longest_transaction_seconds and the states of praefect_db_connections are absent.',
  }),
  databaseLeast: access('database_least_rights', "Praefect's database", {
    title: 'The role has read-only privileges',
    why: 'The exporter never writes; with a leaked password, an attacker could.',
  }),
  databaseTls: access('database_tls', "Praefect's database", {
    title: 'The connection is encrypted, or local',
    why: 'Names and paths of repositories, and on some servers the password, cross the network unencrypted.',
  }),
  databasePrimary: access('database_primary', "Praefect's database", {
    title: 'The server is the primary, and its clock is right',
    why: 'A standby shows the past, by its lag, and PraefectDatabaseReadOnly fires; a clock that is set stops heartbeats.',
  }),
  apiReachable: access('api_reachable', 'Kubernetes API', {
    title: 'The API server is reachable and accepts the credentials',
    why: 'Nothing is known of the pods.',
  }),
  apiRights: access('api_rights', 'Kubernetes API', {
    title: 'Every permission that is used is granted',
    why: 'Metrics that depend on the resource are absent, and its collector fails.',
  }),
  apiLeast: access('api_least_rights', 'Kubernetes API', {
    title: 'No dangerous permission is granted',
    why: 'The exporter only reads; with a leaked token, an attacker could do more.',
  }),
  apiPods: access('api_pods', 'Kubernetes API', {
    title: 'Gitaly pods are found',
    why: 'A selector or namespace that matches nothing looks like a healthy cluster.',
  }),
  cgroupRoot: access('cgroup_root', 'Cgroups', {
    title: 'The root is a readable cgroup v2 hierarchy',
    why: 'Memory, CPU and OOM kills are absent.',
  }),
  cgroupReadOnly: access('cgroup_read_only', 'Cgroups', {
    title: 'This user can write nothing below the root',
    why: 'The exporter only reads; with write access, a bug in it could change limits.',
  }),
  cgroupGitalys: access('cgroup_gitalys', 'Cgroups', {
    title: "Gitaly's cgroups are found on this host",
    why: 'Without them nothing is exposed for this host.',
  }),
  serversReachable: access('servers_reachable', 'Servers', {
    title: "Every server's /metrics is reachable, and is Gitaly's or Praefect's",
    why: 'Its limits, queues and dropped requests are absent, and gitaly_server_scrape_up is 0.',
  }),
  prometheusHistory: access('prometheus_history', 'Prometheus', {
    title: "Prometheus has a history of the exporter's series",
    why: 'Sizes and limits can only be proposed from the peaks of a working week.',
  }),
} as const;

function access(id: string, group: DoctorGroup, text: Pick<DoctorCheck, 'title' | 'why'>): DoctorCheck {
  return Object.freeze({ id, group, ...text, expected: text.title, runbook: `docs/doctor.md#${id}` });
}

export const passed = (check: DoctorCheck, detail: string, subject = ''): DoctorFinding => ({
  check,
  status: 'pass',
  subject,
  detail,
  fixes: [],
});

/** A check that does not pass. */
export const notPassed = (
  check: DoctorCheck,
  status: Exclude<DoctorStatus, 'pass'>,
  detail: string,
  fixes: readonly Fix[],
  subject = '',
): DoctorFinding => ({ check, status, subject, detail, fixes });

/** By id. */
export const recommendationChecks: ReadonlyMap<string, DoctorCheck> = new Map(
  checks.map(({ id, title, why, expected }) => [
    id,
    Object.freeze({
      id,
      group: 'Recommendations',
      title,
      why,
      expected,
      runbook: checkRunbook(id),
    }),
  ]),
);

interface RecommendationFindings {
  readonly findings: readonly DoctorFinding[];
  /** Ids of the checks that do not apply to this installation. */
  readonly notApplicable: readonly string[];
}

export function recommendationFindings({ findings }: Evaluation): RecommendationFindings {
  const shown = findings.flatMap((finding): DoctorFinding[] => {
    const check = recommendationChecks.get(finding.id);
    if (check === undefined || finding.notApplicable) return [];
    const { result, reason, detail, fixes, labels, subject } = finding;
    const isWhole = Object.entries(wholeCluster).every(([name, value]) => labels[name] === value);
    return [
      {
        check,
        status: result,
        subject: isWhole ? '' : subject,
        detail: [detail, reason].filter((part) => part).join('; '),
        fixes,
      },
    ];
  });
  const applied = new Set(shown.map(({ check }) => check.id));
  const others = findings.filter(({ id }) => !applied.has(id)).map(({ id }) => id);
  return { findings: shown, notApplicable: [...new Set(others)] };
}
