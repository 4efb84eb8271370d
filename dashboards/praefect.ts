/** Praefect cluster: which repositories are affected, which storages are healthy for whom, and its database. */
import { secondsSinceTimestamp } from '../src/monitoring/ages.ts';
import { durationInWords } from '../src/monitoring/durations.ts';
import { clusterLabels, storageLabels, virtualStorageLabels } from '../src/monitoring/labels.ts';
import { praefectDashboard } from '../src/monitoring/links.ts';
import {
  above,
  avgBy,
  increase,
  maxBy,
  minBy,
  multiply,
  or,
  rate,
  subtract,
  sumBy,
} from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { databaseTime, databaseTimeLimit } from '../src/scheduler/self-metrics.ts';
import {
  praefectPodReady,
  praefectPodRestarts,
  praefectPodRotations,
} from '../src/sources/kubernetes/metrics.ts';
import {
  primaries,
  primaryMoves,
  repositories,
  repositoriesAtRisk,
  repositoriesByHealthyReplicas,
  repositoriesLost,
  repositoriesReadOnly,
  repositoriesUnavailable,
  repositoriesWithoutPrimary,
} from '../src/sources/praefect/mirror/metrics.ts';
import {
  blockedBackends,
  connections,
  connectionsLimit,
  longestBlocked,
  longestTransaction,
} from '../src/sources/praefect/queries/connections.ts';
import {
  clockSkew,
  info,
  migrationsApplied,
  migrationsUnknown,
  probeDuration,
  readOnly,
  tls,
  up,
} from '../src/sources/praefect/queries/database.ts';
import {
  heartbeatQuorum,
  heartbeatTimestamp,
  praefectAlive,
  praefectLastContact,
  storageHealthy,
  storageSeenHealthy,
} from '../src/sources/praefect/queries/health.ts';
import {
  shardElected,
  shardPrimary,
  shardReadOnly,
} from '../src/sources/praefect/queries/shard-primaries.ts';
import {
  tableDeadRows,
  tableLiveRows,
  tableSize,
  transactionsToWraparound,
} from '../src/sources/praefect/queries/tables.ts';
import { writeLocks } from '../src/sources/praefect/queries/write-locks.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { barGauge, stat, stateTimeline, table, timeseries } from './panels.ts';
import { rateRange, readByCollector, storageLegend, total, wholeRange } from './queries.ts';
import { praefectCounter, praefectGauge } from './variables.ts';

const healthWords = {
  0: { text: 'unhealthy', color: 'red' },
  1: { text: 'healthy', color: 'blue' },
} as const;
const unavailable = () => maxBy(virtualStorageLabels, praefectGauge(repositoriesUnavailable));

export const praefectCluster = (settings: DashboardSettings): Dashboard =>
  buildDashboard(settings, {
    name: 'praefect',
    uid: praefectDashboard.uid,
    title: 'Praefect: cluster',
    description:
      'Which repositories are unavailable or at risk, which storages are healthy for which Praefect, where the primaries are, and the state of the database.',
    scope: 'praefect',
    rows: [
      overviewRow(settings),
      healthRow(settings),
      impactRow(),
      failoverRow(),
      databaseRow(),
      detailRow(settings),
      legacyRow(),
    ],
  });

const overviewRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 101,
  title: 'Overview',
  panels: [
    stat({
      id: 1,
      title: 'Unavailable',
      description: 'Repositories without a valid primary: users can neither read nor write them.',
      unit: 'short',
      expression: total(unavailable()),
      steps: ['green', [1, 'red']],
      width: 8,
    }),
    stat({
      id: 2,
      title: 'Lost',
      description: 'Repositories without any replica record: no known storage has their data.',
      unit: 'short',
      expression: total(maxBy(virtualStorageLabels, praefectGauge(repositoriesLost))),
      steps: ['green', [1, 'red']],
      width: 8,
    }),
    stat({
      id: 3,
      title: 'One healthy replica',
      description:
        'Repositories with exactly one up-to-date replica on a healthy storage. All of them, with a replication factor of 1.',
      unit: 'short',
      // Counts of 0 are not reported: none is 0 where their collector reports what is unavailable.
      expression: or(
        total(maxBy(virtualStorageLabels, praefectGauge(repositoriesByHealthyReplicas, { replicas: '1' }))),
        multiply(total(unavailable()), 0),
        { on: [] },
      ),
      steps: ['green', [1, 'blue']],
      width: 8,
    }),
    stat({
      id: 4,
      title: 'Storages unhealthy',
      description: 'Storages that fewer than half of the live Praefects saw active in the last 10 s.',
      unit: 'short',
      expression: total(subtract(1, maxBy(storageLabels, praefectGauge(storageHealthy)))),
      steps: ['green', [1, 'red']],
      width: 8,
    }),
    stat({
      id: 5,
      title: 'Praefects alive',
      description:
        'Live Praefects by all that were seen within a day, in the virtual storage where the ratio is lowest.',
      unit: 'percentunit',
      expression: minBy(
        [],
        avgBy(
          virtualStorageLabels,
          maxBy([...virtualStorageLabels, 'praefect'], praefectGauge(praefectAlive)),
        ),
      ),
      steps: ['red', [thresholds.quorumRatio.value, 'orange'], [1, 'green']],
      width: 8,
    }),
    stat({
      id: 6,
      title: 'Database',
      description: "Whether the last probe of Praefect's database succeeded, in every selected cluster.",
      unit: 'none',
      expression: minBy([], maxBy(clusterLabels, praefectGauge(up))),
      words: { 0: 'UNREACHABLE', 1: 'reachable' },
      steps: ['red', [1, 'green']],
      width: 8,
    }),
  ],
});

const healthRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 102,
  title: 'Health',
  panels: [
    stateTimeline({
      id: 11,
      title: 'Storage health as seen by each Praefect',
      description:
        'A storage that only one Praefect sees as unhealthy: that Praefect cannot reach it, and routes requests by its own view.',
      unit: 'none',
      query: {
        expression: maxBy([...storageLabels, 'praefect'], praefectGauge(storageSeenHealthy)),
        legend: '{{praefect}}: {{virtual_storage}} / {{storage}}',
      },
      words: healthWords,
      noValue: 'no Praefect database is configured',
      width: 14,
      height: 9,
    }),
    stateTimeline({
      id: 12,
      title: 'Storage health by consensus',
      description:
        'By at least half of the live Praefects. All storages are unhealthy while no heartbeats are written.',
      unit: 'none',
      query: { expression: maxBy(storageLabels, praefectGauge(storageHealthy)), legend: storageLegend },
      words: healthWords,
      noValue: 'no Praefect database is configured',
      width: 10,
      height: 9,
    }),
    stateTimeline({
      id: 13,
      title: 'Heartbeat quorum',
      description: 'Metrics that depend on health are valid only while the quorum holds.',
      unit: 'none',
      query: {
        expression: maxBy(virtualStorageLabels, praefectGauge(heartbeatQuorum)),
        legend: '{{virtual_storage}}',
      },
      words: { 0: { text: 'lost', color: 'red' }, 1: { text: 'holds', color: 'blue' } },
      noValue: 'no Praefect database is configured',
      width: 5,
      height: 6,
    }),
    timeseries({
      id: 14,
      title: 'Age of the newest heartbeat',
      description: `No Praefect writes heartbeats when it is over 10 s. The line is at ${durationInWords(thresholds.heartbeatStale.value)}.`,
      unit: 's',
      queries: [
        {
          expression: secondsSinceTimestamp(maxBy(virtualStorageLabels, praefectGauge(heartbeatTimestamp))),
          legend: '{{virtual_storage}}',
        },
      ],
      threshold: thresholds.heartbeatStale.value,
      noValue: 'no Praefect has written a heartbeat',
      width: 7,
      height: 6,
    }),
    table({
      id: 15,
      title: 'Praefects',
      description: 'When each Praefect last tried to contact a storage, and whether it counts in the quorum.',
      unit: 'none',
      labels: [
        { label: 'praefect', title: 'Praefect', width: 175 },
        { label: 'virtual_storage', title: 'Virtual storage' },
      ],
      values: [
        {
          title: 'State',
          expression: maxBy(['praefect', 'virtual_storage'], praefectGauge(praefectAlive)),
          unit: 'none',
          words: { 0: { text: 'not alive', color: 'red' }, 1: { text: 'alive', color: 'green' } },
        },
        {
          title: 'Last contact',
          expression: secondsSinceTimestamp(
            maxBy(['praefect', 'virtual_storage'], praefectGauge(praefectLastContact)),
          ),
          unit: 's',
          decimals: 0,
        },
      ],
      noValue: 'no heartbeat within a day',
      width: 12,
      height: 6,
    }),
    stateTimeline({
      id: 16,
      title: 'Praefect pods',
      description: 'Whether the pods of Praefect are Ready.',
      unit: 'none',
      query: {
        expression: maxBy(['cluster', 'namespace', 'pod', 'node'], praefectGauge(praefectPodReady)),
        legend: '{{pod}} {{node}}',
      },
      words: { 0: { text: 'not Ready', color: 'red' }, 1: { text: 'Ready', color: 'blue' } },
      noValue: 'needs kubernetes.enabled',
      width: 12,
      height: 6,
    }),
    table({
      id: 17,
      title: 'Praefect container restarts',
      description: 'In the chosen time.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'reason', title: 'Reason' },
      ],
      values: [
        {
          title: 'Restarts',
          expression: above(
            maxBy(['pod', 'reason'], increase(praefectCounter(praefectPodRestarts), wholeRange)),
            0,
          ),
          unit: 'short',
        },
      ],
      readBy: readByCollector('kubernetes'),
      noValue: 'no restart in this time',
      width: 6,
      height: 6,
    }),
    table({
      id: 18,
      title: 'Praefect pod rotations',
      description: 'Completed rotations in the chosen time, by cause.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'cause', title: 'Cause' },
      ],
      values: [
        {
          title: 'Rotations',
          expression: above(
            maxBy(['pod', 'cause'], increase(praefectCounter(praefectPodRotations), wholeRange)),
            0,
          ),
          unit: 'short',
        },
      ],
      readBy: readByCollector('kubernetes'),
      noValue: 'no rotation in this time',
      width: 6,
      height: 6,
    }),
  ],
});

const impactRow = (): DashboardRow => ({
  id: 103,
  title: 'Impact',
  panels: [
    timeseries({
      id: 21,
      title: 'Unavailable, lost, read-only repositories',
      description:
        'Lost: no storage has a replica. Read-only: only in GitLab 13, after a failover with data loss.',
      unit: 'short',
      queries: [
        { expression: unavailable(), legend: '{{virtual_storage}} unavailable' },
        {
          expression: maxBy(virtualStorageLabels, praefectGauge(repositoriesLost)),
          legend: '{{virtual_storage}} lost',
        },
        {
          expression: maxBy(virtualStorageLabels, praefectGauge(repositoriesReadOnly)),
          legend: '{{virtual_storage}} read-only',
        },
        {
          expression: maxBy(virtualStorageLabels, praefectGauge(repositoriesWithoutPrimary)),
          legend: '{{virtual_storage}} without a recorded primary',
        },
      ],
      legend: 'table',
      threshold: 1,
      noValue: 'no repository in this selection',
      width: 8,
    }),
    timeseries({
      id: 22,
      title: 'Repositories by healthy replicas',
      description:
        'Repositories by the number of up-to-date replicas on healthy storages. 0: unavailable. 1: the next failure makes them unavailable.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            [...virtualStorageLabels, 'replicas'],
            praefectGauge(repositoriesByHealthyReplicas),
          ),
          legend: '{{virtual_storage}}: {{replicas}}',
        },
      ],
      draw: 'stacked',
      noValue: 'no repository in this selection',
      width: 8,
    }),
    barGauge({
      id: 23,
      title: 'Repositories at risk by storage',
      description: 'Repositories that would become unavailable if this storage, and no other, failed.',
      unit: 'short',
      queries: [
        { expression: maxBy(storageLabels, praefectGauge(repositoriesAtRisk)), legend: storageLegend },
      ],
      steps: ['blue'],
      noValue: 'no storage in this selection',
      width: 8,
    }),
  ],
});

const failoverRow = (): DashboardRow => ({
  id: 104,
  title: 'Primaries and failovers',
  panels: [
    barGauge({
      id: 26,
      title: 'Primaries by storage',
      description:
        'Repositories whose primary is on the storage. Primaries do not move back by themselves, so a rollout leaves them unevenly distributed.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, praefectGauge(primaries)), legend: storageLegend }],
      steps: ['blue'],
      noValue: 'no storage in this selection',
      width: 6,
      height: 9,
    }),
    timeseries({
      id: 24,
      title: 'Primaries over time',
      description: 'Where the primaries are: a step is a failover.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, praefectGauge(primaries)), legend: storageLegend }],
      draw: 'stacked',
      legend: 'table',
      noValue: 'no storage in this selection',
      width: 6,
    }),
    table({
      id: 25,
      title: 'Moved primaries',
      description:
        'Primaries that moved in the chosen time. Cause "unhealthy": the storage that they left was unhealthy.',
      unit: 'none',
      labels: [
        { label: 'virtual_storage', title: 'Virtual storage', width: 138 },
        { label: 'from_storage', title: 'From' },
        { label: 'to_storage', title: 'To' },
        { label: 'cause', title: 'Cause' },
      ],
      values: [
        {
          title: 'Repositories',
          expression: above(
            maxBy(
              ['virtual_storage', 'from_storage', 'to_storage', 'cause'],
              increase(praefectCounter(primaryMoves), wholeRange),
            ),
            0,
          ),
          unit: 'short',
        },
      ],
      sort: { by: 'Repositories', descending: true },
      readBy: readByCollector('praefect_repositories'),
      noValue: 'no primary moved in this time',
      width: 12,
    }),
  ],
});

const databaseRow = (): DashboardRow => ({
  id: 105,
  title: 'Database',
  panels: [
    timeseries({
      id: 45,
      title: 'Probe duration',
      description: 'Round trip of the cheapest query: network and server.',
      unit: 's',
      queries: [
        {
          expression: maxBy(clusterLabels, praefectGauge(probeDuration)),
          legend: '{{cluster}} {{namespace}}',
        },
      ],
      noValue: 'the probe fails',
      width: 12,
    }),
    timeseries({
      id: 41,
      title: 'Connections and their limit',
      description: "Client connections by state. At the limit, Praefect's new connections fail.",
      unit: 'short',
      queries: [
        {
          expression: sumBy(['state'], maxBy([...clusterLabels, 'state'], praefectGauge(connections))),
          legend: '{{state}}',
        },
        { expression: total(maxBy(clusterLabels, praefectGauge(connectionsLimit))), legend: 'limit' },
      ],
      legend: 'table',
      noValue: 'not readable with the rights of the database user',
      width: 12,
    }),
    timeseries({
      id: 42,
      title: 'Blocked sessions',
      description: 'Sessions that wait for a lock of another session.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(clusterLabels, praefectGauge(blockedBackends)),
          legend: '{{cluster}} {{namespace}}',
        },
      ],
      legend: 'hidden',
      noValue: 'not readable with the rights of the database user',
      width: 12,
    }),
    timeseries({
      id: 43,
      title: 'Longest transaction or wait',
      description: 'A long transaction keeps VACUUM from removing dead rows.',
      unit: 's',
      queries: [
        { expression: maxBy([], praefectGauge(longestTransaction)), legend: 'transaction' },
        { expression: maxBy([], praefectGauge(longestBlocked)), legend: 'lock wait' },
      ],
      noValue: 'needs the role pg_read_all_stats',
      width: 12,
    }),
    table({
      id: 44,
      title: 'Tables',
      description: 'Dead rows far above live ones mean that VACUUM does not keep up.',
      unit: 'none',
      labels: [{ label: 'table', title: 'Table', width: 228 }],
      values: [
        {
          title: 'Size',
          expression: maxBy(['table'], praefectGauge(tableSize)),
          unit: 'bytes',
          bar: {},
          steps: ['blue'],
        },
        { title: 'Live rows', expression: maxBy(['table'], praefectGauge(tableLiveRows)), unit: 'short' },
        { title: 'Dead rows', expression: maxBy(['table'], praefectGauge(tableDeadRows)), unit: 'short' },
      ],
      sort: { by: 'Size', descending: true },
      noValue: 'not read yet (once per minute)',
      width: 12,
    }),
    table({
      id: 46,
      title: 'Servers',
      description: 'Versions and settings of each database.',
      unit: 'none',
      labels: [
        { label: 'cluster', title: 'Cluster' },
        { label: 'namespace', title: 'Namespace' },
        { label: 'server_version', title: 'PostgreSQL' },
        { label: 'schema_variant', title: 'Schema' },
        { label: 'pooler', title: 'Pooler' },
      ],
      values: [
        {
          title: 'Info',
          expression: maxBy(
            [...clusterLabels, 'server_version', 'schema_variant', 'pooler'],
            praefectGauge(info),
          ),
          unit: 'none',
          decimals: 0,
        },
      ],
      hide: ['Value'],
      noValue: 'no database is connected',
      width: 12,
    }),
  ],
});

/** One value per cluster. */
const perCluster = (of: Parameters<typeof praefectGauge>[0]) => maxBy(clusterLabels, praefectGauge(of));

const detailRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 106,
  title: 'Database details',
  collapsed: true,
  panels: [
    table({
      id: 51,
      title: 'State of the database by cluster',
      description:
        'Read-only: Praefect cannot write. Unknown migrations: Praefect is newer than this exporter was tested with.',
      unit: 'none',
      labels: [
        { label: 'cluster', title: 'Cluster' },
        { label: 'namespace', title: 'Namespace' },
      ],
      values: [
        {
          title: 'Writable',
          expression: maxBy(clusterLabels, praefectGauge(readOnly)),
          unit: 'none',
          words: { 0: { text: 'writable', color: 'green' }, 1: { text: 'READ-ONLY', color: 'red' } },
        },
        { title: 'TLS', expression: perCluster(tls), unit: 'none', words: { 0: 'off', 1: 'on' } },
        { title: 'Clock skew', expression: perCluster(clockSkew), unit: 's', decimals: 3 },
        { title: 'Migrations', expression: perCluster(migrationsApplied), unit: 'short' },
        {
          title: 'Unknown migrations',
          expression: perCluster(migrationsUnknown),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
        {
          title: 'Transactions to wraparound',
          expression: perCluster(transactionsToWraparound),
          unit: 'short',
          steps: [
            'red',
            [thresholds.wraparoundCritical.value, 'orange'],
            [thresholds.wraparoundWarning.value, 'green'],
          ],
        },
      ],
      noValue: 'no database is connected',
      width: 24,
      height: 6,
    }),
    timeseries({
      id: 52,
      title: "Exporter's share of the database's time",
      description:
        'Time of all queries of the exporter per second, and its limit: due queries wait while it is exceeded.',
      unit: 'percentunit',
      queries: [
        {
          expression: maxBy(['instance'], rate(praefectCounter(databaseTime), rateRange)),
          legend: '{{instance}}',
        },
        { expression: maxBy([], praefectGauge(databaseTimeLimit)), legend: 'limit' },
      ],
      noValue: 'no database is configured',
      width: 8,
    }),
    timeseries({
      id: 53,
      title: 'Reference write locks',
      description: 'Expired: the next write takes the lock over. From the schema of GitLab 19.0 on.',
      unit: 'short',
      queries: [
        {
          expression: sumBy(['state'], maxBy([...clusterLabels, 'state'], praefectGauge(writeLocks))),
          legend: '{{state}}',
        },
      ],
      noValue: 'not in this version of the schema',
      width: 8,
    }),
    timeseries({
      id: 54,
      title: 'Repositories',
      description: "Repositories in Praefect's database.",
      unit: 'short',
      queries: [
        {
          expression: maxBy(virtualStorageLabels, praefectGauge(repositories)),
          legend: '{{virtual_storage}}',
        },
      ],
      noValue: 'no repository in this selection',
      width: 8,
    }),
  ],
});

const legacyRow = (): DashboardRow => ({
  id: 107,
  title: 'Legacy sql elector (GitLab 13)',
  collapsed: true,
  panels: [
    table({
      id: 61,
      title: 'Elected primaries',
      description: 'The primary of each virtual storage, and when it was elected.',
      unit: 'none',
      labels: [
        { label: 'virtual_storage', title: 'Virtual storage' },
        { label: 'storage', title: 'Storage' },
      ],
      values: [
        {
          title: 'Role',
          expression: maxBy(['virtual_storage', 'storage'], praefectGauge(shardPrimary)),
          unit: 'none',
          words: { 0: 'secondary', 1: 'primary' },
        },
      ],
      noValue: 'only with the sql elector (GitLab 13)',
      width: 12,
    }),
    table({
      id: 62,
      title: 'Elections',
      description: 'Whether a virtual storage rejects writes, and the time since its last election.',
      unit: 'none',
      labels: [{ label: 'virtual_storage', title: 'Virtual storage' }],
      values: [
        {
          title: 'Writes',
          expression: maxBy(['virtual_storage'], praefectGauge(shardReadOnly)),
          unit: 'none',
          words: { 0: { text: 'accepted', color: 'green' }, 1: { text: 'REJECTED', color: 'red' } },
        },
        {
          title: 'Elected',
          expression: secondsSinceTimestamp(maxBy(['virtual_storage'], praefectGauge(shardElected))),
          unit: 's',
          decimals: 0,
        },
      ],
      noValue: 'only with the sql elector (GitLab 13)',
      width: 12,
    }),
  ],
});
