/** States of the exporter, for the page and the assessment. */
import type { CollectorView, StatusView } from '../../../src/app/status-view.ts';
import type { EventKind } from '../../../src/scheduler/event-log.ts';

export const now = Date.UTC(2026, 2, 1, 3, 12, 5);
const ago = (seconds: number) => now - seconds * 1000;

const collector = (name: string, title: string, more: Partial<CollectorView> = {}): CollectorView => ({
  name,
  title,
  state: 'ok',
  readAt: ago(8),
  durationMs: 12,
  everyMs: 15_000,
  maxAgeMs: 60_000,
  series: 14,
  ...more,
});

const collectors: readonly CollectorView[] = [
  collector('praefect_probe', "Availability of Praefect's database", {
    readAt: ago(3),
    durationMs: 1.4,
    everyMs: 5000,
  }),
  collector('praefect_health', "Storages' health, as each Praefect sees it", {
    readAt: ago(2),
    durationMs: 3,
    everyMs: 5000,
    series: 21,
  }),
  collector('praefect_replication_queue', 'Replication jobs by storage and state', {
    readAt: ago(11),
    durationMs: 240,
  }),
  collector('praefect_mirror', 'Repositories, replicas and primaries', {
    readAt: ago(41),
    durationMs: 710,
    everyMs: 71_000,
    maxAgeMs: 142_000,
    slowedBy: 'the database time limit of 1%',
    series: 1284,
  }),
  collector('praefect_tables', 'Size, bloat and wraparound of the tables', {
    readAt: ago(130),
    everyMs: 300_000,
    maxAgeMs: 900_000,
  }),
  collector('praefect_verification', 'Verification of replicas', {
    state: 'empty',
    readAt: undefined,
    series: 0,
    message: 'this schema has no verification (GitLab 14.10 and later have it)',
  }),
  { name: 'process', title: "The exporter's own process", state: 'ok', series: 38, durationMs: 1 },
];

export const healthy: StatusView = {
  program: { name: 'gitaly-exporter', version: '0.1.0' },
  target: "Praefect's database praefect_production at db.example.internal:5432",
  startedAt: ago(3 * 86_400 + 4000),
  problems: [],
  collectors,
  events: [
    {
      at: ago(7260),
      kind: 'storage_recovered',
      message: 'gitaly-2 of virtual storage default is healthy again, after 4 min 12 s.',
      labels: { virtual_storage: 'default', storage: 'gitaly-2' },
    },
    {
      at: ago(7500),
      kind: 'failover',
      message: '1,204 repositories of default moved their primary from gitaly-2 to gitaly-1 and gitaly-3.',
      labels: { virtual_storage: 'default', from_storage: 'gitaly-2' },
    },
    {
      at: ago(7512),
      kind: 'storage_unhealthy',
      message: 'gitaly-2 of virtual storage default is healthy for 0 of 3 Praefects.',
      labels: { virtual_storage: 'default', storage: 'gitaly-2' },
    },
    {
      at: ago(200_000),
      kind: 'schema_changed',
      message: 'Praefect ran 3 migrations: an upgrade.',
      labels: {},
    },
  ],
  links: [{ text: 'Documentation', href: 'https://docs.example.com/gitaly-exporter/' }],
};

export const incident: StatusView = {
  ...healthy,
  problems: [
    {
      severity: 'warning',
      title: '12 replicas on gitaly-3 are stuck behind',
      since: ago(2400),
      detail:
        'Behind for over 15 minutes without their generation moving, while gitaly-3 was healthy: their jobs are exhausted.',
      action:
        'Run praefect dataloss to list them, then praefect -config /etc/praefect/config.toml replicate for each.',
    },
    {
      severity: 'critical',
      title: '37 repositories of virtual storage default are unavailable',
      since: ago(724),
      detail:
        'Their only up-to-date copies are on gitaly-2, which none of 3 Praefects has reached since 03:00:01 UTC.',
      action:
        'Bring gitaly-2 back first. Only if it is lost for good: praefect accept-dataloss, which loses the newest writes.',
      alert: {
        name: 'PraefectRepositoriesUnavailable',
        state: 'firing',
        runbook: { text: 'Runbook', href: 'https://docs.example.com/runbooks/unavailable' },
      },
    },
    {
      severity: 'warning',
      title: 'Data is stale: Replication jobs by storage and state',
      since: ago(95),
      detail:
        'timeout: no response within 5 s, three times in a row. Its metrics are absent, and what depends on them is unknown until it recovers.',
    },
    {
      severity: 'warning',
      title: 'Collector failing: Size, bloat and wraparound of the tables',
      since: ago(2300),
      detail:
        'permission: may not read pg_stat_user_tables. Its metrics are absent, and what depends on them is unknown until it recovers.',
    },
  ],
  collectors: collectors.map((one) =>
    one.name === 'praefect_tables'
      ? {
          ...one,
          state: 'failed',
          reason: 'permission',
          since: ago(9000),
          message:
            'may not read pg_stat_user_tables: grant pg_monitor to gitaly_exporter, as deploy/sql/grants.sql does',
          series: 0,
        }
      : one.name === 'praefect_replication_queue'
        ? {
            ...one,
            state: 'stale',
            reason: 'timeout',
            since: ago(95),
            readAt: ago(155),
            message: 'no response within 5 s, three times in a row',
            series: 0,
          }
        : one,
  ),
};

export const starting: StatusView = {
  ...healthy,
  startedAt: ago(2),
  collectors: collectors.map(({ name, title }) => ({
    name,
    title,
    state: 'pending' as const,
    everyMs: 15_000,
  })),
  events: [],
};

export const demo: StatusView = {
  ...healthy,
  target: 'a simulated cluster: three Praefects and three Gitalys on an embedded PostgreSQL',
  demo: {
    incidents: [
      {
        name: 'storage-dies',
        title: 'A storage dies',
        description: 'gitaly-2 stops responding: the Praefects mark it unhealthy and fail over.',
        runningSince: ago(64),
      },
      {
        name: 'praefect-cut-off',
        title: 'A Praefect is cut off',
        description: 'praefect-3 no longer writes heartbeats.',
      },
      {
        name: 'replication-stalls',
        title: 'Replication stalls',
        description: 'Jobs are queued, but no Praefect processes them.',
      },
      {
        name: 'replica-lost',
        title: 'A replica is lost',
        description: 'A repository has no replica left on gitaly-3.',
      },
      {
        name: 'database-read-only',
        title: 'The database turns read-only',
        description: 'As after a failover of PostgreSQL to a standby.',
      },
    ],
  },
};

/** A text from outside, as an attacker who can name a storage would write it. */
export const hostileText = `"><script>alert(1)</script><img src=x onerror=alert(2)>'\`&amp;\u202Egnp.exe\u0000`;

/** A status in which every text is `text`. */
export const withText = (text: string, href = text): StatusView => ({
  program: { name: text, version: text },
  target: text,
  startedAt: ago(100),
  problems: [
    {
      severity: 'critical',
      title: text,
      since: ago(50),
      detail: text,
      action: text,
      alert: { name: text, state: 'pending', runbook: { text, href } },
    },
  ],
  collectors: [
    collector(text, text, { state: 'failed', reason: text, message: text, slowedBy: text }),
    collector(text, text, { state: 'empty', message: text }),
  ],
  events: [{ at: ago(1), kind: text as EventKind, message: text, labels: { storage: text } }],
  links: [{ text, href }],
  demo: { incidents: [{ name: text, title: text, description: text, runningSince: ago(5) }] },
  checks: {
    state: 'current',
    at: ago(9),
    summary: { pass: 1, fail: 1, unknown: 1, notApplicable: 0 },
    failing: [
      {
        check: text,
        title: text,
        severity: 'warning',
        why: text,
        expected: text,
        runbook: text,
        subjects: [{ name: text, text }],
        helm: text,
        kubectl: [text],
        other: text,
      },
    ],
    unknown: [{ check: text, title: text, reasons: [{ text, names: [text] }] }],
    passing: [text],
  },
});
export const hostile: StatusView = withText(hostileText, 'javascript:alert(3)');
