/** docs/alerts.md: how the alerts work, and the table of all of them, from the rules. */

import type { AlertGroup } from '../../../alerts/alert.ts';
import { tableCell } from '../../lib/format.ts';
import { promDuration } from '../../monitoring/durations.ts';
import type { RuleName } from '../../rules/alert-thresholds.ts';

const titles: Readonly<Record<string, string>> = {
  'gitaly-exporter': 'The exporter',
  praefect: 'Praefect and its database',
  gitaly: 'Gitaly servers',
};

export const alertsReference = (groups: readonly AlertGroup[]): string =>
  `${introduction}\n${pagesNoOne}\n${forecasts}\n${notifications}\n${conditionsSection()}\n${groups.map(section).join('\n')}\n${recordingsSection(groups)}`;

function section({ alerts, file, name }: AlertGroup): string {
  const rows = alerts.map(
    (alert) =>
      `| [${alert.name}](../alerts/runbooks/${alert.name}.md) | ${alert.severity} | ${tableCell(alert.firesWhen)} | ${alert.forSeconds > 0 ? promDuration(alert.forSeconds) : ''} |`,
  );
  return `## ${titles[name] ?? name}

\`alerts/${file}.rules.yaml\`

| alert | severity | fires when | for |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function recordingsSection(groups: readonly AlertGroup[]): string {
  const rows = groups.flatMap(({ recordings }) =>
    recordings.map(
      ({ labels, name }) => `| \`${name}\` | ${labels.map((label) => `\`${label}\``).join(', ')} |`,
    ),
  );
  return `## Recorded series

| series | labels |
| --- | --- |
${rows.join('\n')}
`;
}

/** Conditions by area, with the alerts on each. */
export const conditions: readonly (readonly [string, readonly (readonly [string, readonly RuleName[]])[]])[] =
  [
    [
      'service',
      [
        ['down', ['GitalyDown']],
        ['error budget', ['GitalyErrorBudgetBurn']],
      ],
    ],
    [
      'limits',
      [
        ['dropped by queue size', ['GitalyRequestsDroppedQueueFull']],
        ['dropped after a wait', ['GitalyRequestsDroppedQueueWait']],
        ['load shed', ['GitalyLoadShed']],
        ['saturated', ['GitalyConcurrencySaturated']],
        ['adaptive limit at its minimum', ['GitalyAdaptiveLimitAtFloor']],
        ['pack-objects', ['GitalyPackObjectsDropped']],
      ],
    ],
    [
      'memory and CPU',
      [
        ['near the limit', ['GitalyMemoryNearLimit']],
        ['pressure', ['GitalyMemoryPressure']],
        ['forecast', ['GitalyMemoryExhaustionForecast']],
        ['OOM kill of container, pod or node', ['GitalyOOMKilled', 'GitalyOOMKilledRepeatedly']],
        ['OOM of all Git processes', ['GitalyGitParentOOM']],
        ['OOM kill in a bucket', ['GitalyGitOOMKilled']],
        ['CPU', ['GitalyCPUThrottled']],
      ],
    ],
    [
      'disk and inodes',
      [
        ['space', ['GitalyVolumeFilling', 'GitalyVolumeForecast']],
        ['inodes', ['GitalyInodesFilling']],
        ['unknown', ['GitalyVolumeMetricsMissing']],
      ],
    ],
    [
      'cluster',
      [
        ['unavailable', ['PraefectRepositoriesUnavailable']],
        ['lost', ['PraefectRepositoriesLost', 'PraefectRepositoryCountDrop']],
        ['read-only', ['PraefectRepositoriesReadOnly']],
        ['single copy', ['PraefectSingleCopy', 'PraefectBelowReplicationFactor']],
        ['unsafe restart', ['PraefectRestartUnsafe']],
        ['quorum, Praefect down', ['PraefectQuorumLost', 'PraefectInstanceDown']],
        ['unhealthy storage', ['PraefectStorageUnhealthy', 'PraefectStorageFlapping']],
        ['disagreement between Praefects', ['PraefectHealthDisagreement']],
        ['failover, skewed primaries', ['PraefectFailover', 'PraefectPrimarySkew']],
      ],
    ],
    [
      'replication',
      [
        ['stalled', ['PraefectReplicationStalled']],
        ['backlog', ['PraefectReplicationBacklog']],
        ['stale locks', ['PraefectReplicationLockStale']],
        ['stuck', ['PraefectReplicaStuck']],
        ['behind without a job', ['PraefectReplicasUnscheduled']],
        ['jobs for no storage', ['PraefectJobsForUnknownStorage']],
        ['verification', ['PraefectVerificationOverdue']],
      ],
    ],
    [
      'database',
      [
        ['unreachable', ['PraefectDatabaseUnreachable', 'PraefectMetricsMissing']],
        ['read-only', ['PraefectDatabaseReadOnly']],
        ['connections', ['PraefectDatabaseConnectionsNearLimit']],
        ['blocked', ['PraefectDatabaseQueriesBlocked']],
        ['long transaction', ['PraefectDatabaseLongTransaction']],
        ['bloat', ['PraefectDatabaseBloat']],
        ['wraparound', ['PraefectDatabaseWraparound']],
        ['clock', ['PraefectDatabaseClockSkew']],
        ['newer schema', ['PraefectSchemaUnknown']],
      ],
    ],
    [
      'pods and nodes',
      [
        ['slow rotation', ['GitalyRotationSlow']],
        ['restart loop', ['GitalyRestartLoop']],
        ['pending', ['GitalyPodPending']],
        ['rollout without progress', ['GitalyRolloutStuck']],
        ['blocked drain', ['GitalyDrainBlocked']],
        ['node', ['GitalyNodePressure', 'GitalyNodeNotReady']],
        ['check that fails after a change', ['GitalyCheckRegressed']],
      ],
    ],
    [
      'the exporter',
      [
        ['down, not scraped', ['GitalyExporterDown', 'GitalyExporterMissing']],
        ['collector failing, stale', ['GitalyExporterCollectorFailing', 'GitalyExporterStale']],
        ['labels renamed by the scrape', ['GitalyExporterLabelsRenamed']],
        ['series dropped', ['GitalyExporterSeriesDropped']],
        ['configuration, clock', ['GitalyExporterReloadFailed', 'GitalyExporterClockSkew']],
        ['a server that is not read', ['GitalyMetricsUnreadable', 'GitalyUnwatched']],
      ],
    ],
  ];

const conditionsSection = (): string => `## By condition

| area | condition: alerts |
| --- | --- |
${conditions
  .map(
    ([area, found]) =>
      `| ${area} | ${found.map(([what, names]) => `${what}: ${names.join(', ')}`).join('; ')} |`,
  )
  .join('\n')}
`;

const pagesNoOne = `## What pages no one

| what | shown by |
| --- | --- |
| backup, housekeeping, large import, rollout, planned window, drain, eviction, deleted pod, restart of the exporter and of Prometheus, counters that begin again, values near thresholds | replays \`ordinary-hours\`, \`ordinary-week\`, \`rollout\`, \`node-drained\`, \`pod-evicted\`, \`pod-deleted\` ([replays.md](replays.md)) |
| the end of a window: what happened in it does not count later | scenarios of PraefectFailover, PraefectStorageFlapping, PraefectRepositoryCountDrop |
| a second exporter for the cluster | \`test/alerts/two-exporters.test.ts\`, for every alert |
| one failed scrape | \`test/alerts/rules.test.ts\`: no gauge is read without a window |
| few calls | scenarios "few calls" of every alert on a ratio |
| a storage that flaps | one page: scenarios of PraefectStorageUnhealthy and PraefectStorageFlapping |

Missing data ends no page (\`test/alerts/missing-data.test.ts\`, for every critical alert on a state). Alerts on what happened
within a range, or on a rate, end with it: GitalyErrorBudgetBurn, GitalyGitParentOOM, GitalyOOMKilledRepeatedly,
GitalyRequestsDroppedQueueFull, PraefectFailover, PraefectRepositoryCountDrop and PraefectStorageFlapping.
`;

const introduction = `# Alerts

<!-- Generated by \`gitaly-exporter generate\` from the rules. Do not edit. -->

Load \`alerts/exporter.rules.yaml\` always, \`alerts/gitaly.rules.yaml\` for Gitaly servers, and
\`alerts/praefect.rules.yaml\` for Gitaly Cluster (Praefect). With the Prometheus operator, apply the
\`*.prometheusrule.yaml\` instead. Prometheus 2.42 or later; for earlier versions set \`keep-firing\` to 0.

\`\`\`yaml
# The exporter's own configuration file
alerts:
  grafana-url: https://grafana.corp.example
  runbook-url: https://gitaly-exporter.corp.example/runbooks
  label: {team: git-storage}
  severity: {PraefectPrimarySkew: info, GitalyPodPending: none}
  threshold: {database-unreachable: 5m, volume-available: 5%, scrape-interval: 60s}
\`\`\`

\`\`\`sh
gitaly-exporter generate alerts --config.file config.yml --output-dir ./monitoring
\`\`\`

The exporter's page and the dashboards judge by the same values. Set \`scrape-interval\` to that of your Prometheus;
[configuration.md](configuration.md) has every threshold. Without \`grafana-url\` and \`runbook-url\` the alerts have no links. The exporter serves the runbooks at \`/runbooks/\`, under the authentication of the
page: for a network without a wiki, set \`runbook-url\` to its own address.

- **critical** pages: users are affected, or data is at risk. **warning** is a ticket. **info** notifies no one.
- \`alerts/alertmanager.example.yaml\` routes by severity, groups by the scope of an incident, and has the inhibitions: a
  cause inhibits its consequences, so that one incident is one page. A dead Gitaly behind Praefect pages once, as
  PraefectStorageUnhealthy: it names the storage, its Gitaly, whether failover worked, and how many repositories no other
  storage serves. GitalyDown of the same server is inhibited by its label \`storage\`, which \`gitaly_storage_info\` gives
  (from the addresses in Praefect's config.toml, or \`praefect.storage-server\`), or by equal names.
- Requests that the limits drop are one page for all Gitalys of a namespace, because one client usually reaches many of
  them. Alertmanager's default title has their number (\`[FIRING:3]\`); in a template it is \`{{ len .Alerts.Firing }}\`.
  Another Gitaly that begins to drop requests later is an update of that page, an incident after its end is a new one.
- **Replays**: recorded incidents go through these rules and a real Alertmanager, next to public rule sets:
  [docs/replays.md](replays.md).
- **Two exporters** for one cluster count once: recorded series drop \`job\` and \`instance\`. Several clusters in one
  namespace need a label \`cluster\`.
- **One failed scrape** changes nothing: gauges are evaluated over two and a half scrape intervals.
- **Missing data** resolves no page: while a source cannot be read, the last state of a critical condition counts for
  6 hours (threshold \`stale-hold\`), and an alert on the missing data itself fires.
- **Maintenance windows** suppress what planned work causes, see \`docs/maintenance.md\`. For planned work on the database
  add a silence.
- The scrape needs \`honor_labels: true\`, see \`docs/scraping.md\`.
- Memory, CPU and OOM kills by level need cgroup v2 and an exporter with \`cgroup.enabled\` on each host or node; pods, nodes
  and rotations need \`kubernetes.enabled\`. On cgroup v1 or without these settings the alerts on them cannot fire. An alert
  on a metric that older versions of GitLab lack names the version in its row below.
- Disk and inodes come from the kubelet (claims with gitaly in their name) or node_exporter (mounts below /var/opt/gitlab: not for
  repositories on the root file system or below another path), error ratios from Gitaly's own \`grpc_server_handled_total\`:
  where Prometheus does not have them, these alerts cannot fire.
`;

const forecasts = `## Forecasts

A forecast from the slope of the newest samples (\`predict_linear\`) takes each step, each peak of a sawtooth and much of the
noise for growth. The rules compare extremes of two consecutive ranges, which these do not move:

- **Memory** (GitalyMemoryExhaustionForecast): the lowest usage of 30 minutes, against that of the 30 minutes before. Load
  that comes and goes moves the peaks, a leak moves the troughs. One step lasts as long as the range, so \`for\` is longer.
- **Volumes** (GitalyVolumeForecast): the most available space of a day, against that of the day before. Temporary files of
  a backup or repack are gone at some time of each day. An import is one step; \`for\` is longer than a day.
- **Transaction ids** (PraefectDatabaseWraparound): no forecast. What is left is a sawtooth of autovacuum whose troughs are
  far above the thresholds, so a level that no tooth reaches is the earliest sign that freezing does not work.

Each is tested on steady growth, noise, steps and sawtooth series (\`alerts/tests\`).
`;

/** A test compares them with what a real Alertmanager sends for the alerts of alerts/tests. */
const notifications = `## Notifications

Alertmanager with \`alerts/alertmanager.example.yaml\` and a receiver for Slack that has the name of the alert and the scope
of the incident as title, and summary, description and runbook as text. A dead Gitaly behind Praefect is one page; GitalyDown
of its pod is inhibited, although pod and storage have different names:

\`\`\`
[FIRING] PraefectStorageUnhealthy (production, gitlab, default)
Praefect storage gitaly-1 of default is unhealthy
Repositories that no other storage can serve: 12. Restore its Gitaly: gitlab/gl-gitaly-0.
https://gitaly-exporter.corp.example/runbooks/PraefectStorageUnhealthy.md
\`\`\`

\`\`\`
[FIRING] GitalyOOMKilledRepeatedly (production, gitlab, gitaly-0)
Gitaly gitaly-0 OOM-killed 3 times in 30 minutes
Out of memory: container, pod. Each kill ends requests in flight, and the loop does not end by itself. Find the repository or client that causes it and limit it, or raise the memory limit.
https://gitaly-exporter.corp.example/runbooks/GitalyOOMKilledRepeatedly.md
\`\`\`

A ticket:

\`\`\`
[FIRING] GitalyRequestsDroppedQueueWait (production, gitlab)
Gitaly gitaly-0 drops 3% of an RPC's calls after a wait
RPCs: PostUploadPack. Clients wait for max_queue_wait and then get RESOURCE_EXHAUSTED. Find the repository and client in Gitaly's log (limit.limiting_key).
https://gitaly-exporter.corp.example/runbooks/GitalyRequestsDroppedQueueWait.md
\`\`\`
`;
