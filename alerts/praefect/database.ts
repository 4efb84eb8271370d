/** Praefect's database: every request of Gitaly Cluster needs it. */
import { durationInWords } from '../../src/monitoring/durations.ts';
import { clusterLabels } from '../../src/monitoring/labels.ts';
import { praefectDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  absoluteValue,
  add,
  below,
  divide,
  equals,
  maxBy,
  select,
  sumBy,
} from '../../src/monitoring/promql/index.ts';
import { highest, recorded, sustained } from '../../src/monitoring/recording.ts';
import { databaseUp, readOnlyReasons, wraparoundLeft } from '../../src/monitoring/recordings/praefect.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { count, hour, minute, ratio, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import {
  connections,
  connectionsLimit,
  longestBlocked,
  longestTransaction,
} from '../../src/sources/praefect/queries/connections.ts';
import { clockSkew, migrationsUnknown, up } from '../../src/sources/praefect/queries/database.ts';
import { tableDeadRows, tableLiveRows } from '../../src/sources/praefect/queries/tables.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { unreported } from '../conditions.ts';
import { percent, withoutProblem } from '../texts.ts';

const panel = { dashboard: praefectDashboard, title: 'Database' };

export const databaseThresholds = {
  databaseUnreported: seconds(
    15 * minute,
    'No exporter reports praefect_db_up. Longer than a rollout of the exporter or of Prometheus.',
  ),
  connectionsNearLimit: ratio(0.9, 'Connections by limit: new ones of Praefect fail soon.'),
  connectionsNearLimitFor: seconds(
    10 * minute,
    'Longer than a rollout of Praefect, which doubles its connections.',
  ),
  queryBlocked: seconds(
    minute,
    'How long a session waits for a lock. Praefect holds locks for milliseconds.',
  ),
  queryBlockedFor: seconds(5 * minute, 'Longer than a migration of a large table.'),
  deadRowsRatio: ratio(0.8, 'Dead rows by all rows of a table. Autovacuum starts at 0.2.'),
  deadRowsMinimum: count(10_000, 'Dead rows of a table: small tables are rewritten all the time.'),
  deadRowsFor: seconds(hour, 'Autovacuum runs every minute: for an hour it did not keep up.'),
  schemaUnknownFor: seconds(hour, 'Longer than an upgrade of GitLab that includes the exporter.'),
} satisfies ThresholdTable;

export const databaseAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  unreachable(thresholds),
  notReported(thresholds),
  readOnlyDatabase(thresholds),
  connectionsNearLimit(thresholds),
  blockedQueries(thresholds),
  oldTransaction(thresholds),
  bloat(thresholds),
  wraparound(thresholds, 'warning'),
  wraparound(thresholds, 'critical'),
  skewedClock(thresholds),
  unknownSchema(thresholds),
];

function unreachable(thresholds: AlertThresholds): Alert {
  const { databaseUnreachable, keepFiring } = thresholds;
  return alert({
    ...judgedWithPage('PraefectDatabaseUnreachable', thresholds),
    expression: equals(recorded(databaseUp), 0),
    keepFiringForSeconds: keepFiring.value,
    panel,
    firesWhen: `no exporter of the cluster reached the database for ${durationInWords(databaseUnreachable.value)}`,
    summary: () => "No exporter can query Praefect's database",
    description: () =>
      "If Praefect cannot either, every read and write of Gitaly Cluster fails; if only the exporter's login is rejected, none does. The exporter's page shows the reason; run praefect sql-ping on a Praefect host.",
  });
}

function notReported(thresholds: AlertThresholds): Alert {
  const { databaseUnreported } = thresholds;
  return alert({
    name: 'PraefectMetricsMissing',
    severity: 'warning',
    expression: unreported(thresholds, select(up)),
    forSeconds: sustained(thresholds, databaseUnreported.value),
    noProblem: withoutProblem.noPage,
    panel,
    firesWhen: `praefect_db_up, which exists while an exporter with a database runs, has been absent for ${durationInWords(databaseUnreported.value)}, or was never scraped`,
    summary: () => "No exporter reports on Praefect's database",
    description: () =>
      'praefect_db_up is absent: the exporter is down, is not scraped, or has no database configured. Alerts on Praefect cannot fire; critical ones that fired before keep firing. Check the targets in Prometheus.',
  });
}

function readOnlyDatabase(thresholds: AlertThresholds): Alert {
  const { databaseReadOnly, keepFiring } = thresholds;
  return alert({
    ...judgedWithPage('PraefectDatabaseReadOnly', thresholds),
    expression: above(recorded(readOnlyReasons), 0),
    keepFiringForSeconds: keepFiring.value,
    panel,
    firesWhen: `the database has rejected writes for ${durationInWords(databaseReadOnly.value)}, because it is a standby or default_transaction_read_only is on`,
    summary: ({ label }) => `Praefect's database is read-only (${label('reason')})`,
    description: ({ by }) =>
      `${by('reason', {
        recovery: 'The server is a standby: if heartbeats are current, only the exporter is connected to it.',
        setting: 'default_transaction_read_only is on.',
      })} Writes to all repositories fail, and without heartbeats Praefect considers all storages unhealthy. Connect Praefect to the primary server, or reset the setting.`,
  });
}

function connectionsNearLimit(thresholds: AlertThresholds): Alert {
  const { connectionsNearLimit: nearLimit, connectionsNearLimitFor } = thresholds;
  const used = sumBy(clusterLabels, highest(thresholds, [...clusterLabels, 'state'], select(connections)));
  return alert({
    name: 'PraefectDatabaseConnectionsNearLimit',
    severity: 'warning',
    expression: above(
      divide(used, highest(thresholds, clusterLabels, select(connectionsLimit)), { on: clusterLabels }),
      nearLimit.value,
    ),
    forSeconds: sustained(thresholds, connectionsNearLimitFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Connections and their limit' },
    firesWhen: `over ${percent(nearLimit.value)} of the connections that Praefect's database may have were in use for ${durationInWords(connectionsNearLimitFor.value)}`,
    summary: ({ value }) => `Praefect's database uses ${value('percent')} of its connections`,
    description: ({ list, same }) =>
      `Connections by state: ${list(
        above(maxBy(['state'], select(connections, same(...clusterLabels))), 0),
        'state',
        'unknown',
      )}. When none is left, new connections of Praefect fail and with them its requests. Find out what holds them in pg_stat_activity.`,
  });
}

function blockedQueries(thresholds: AlertThresholds): Alert {
  const { queryBlocked, queryBlockedFor } = thresholds;
  return alert({
    name: 'PraefectDatabaseQueriesBlocked',
    severity: 'warning',
    expression: above(highest(thresholds, clusterLabels, select(longestBlocked)), queryBlocked.value),
    forSeconds: sustained(thresholds, queryBlockedFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Blocked sessions' },
    firesWhen: `for ${durationInWords(queryBlockedFor.value)}, some session of the database waited over ${durationInWords(queryBlocked.value)} for a lock`,
    summary: ({ value }) => `A query of Praefect's database has been blocked for ${value('duration')}`,
    description: () =>
      'A session waits for a lock that another one holds. Requests that need the same rows wait too. Find the blocking session with pg_blocking_pids().',
  });
}

function oldTransaction(thresholds: AlertThresholds): Alert {
  const { longTransaction } = thresholds;
  return alert({
    name: 'PraefectDatabaseLongTransaction',
    severity: 'warning',
    expression: above(highest(thresholds, clusterLabels, select(longestTransaction)), longTransaction.value),
    forSeconds: 0,
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Longest transaction or wait' },
    firesWhen: `a transaction has been open for over ${durationInWords(longTransaction.value)}`,
    summary: ({ value }) => `A transaction on Praefect's database has been open for ${value('duration')}`,
    description: () =>
      'Until it ends, VACUUM removes no row that was deleted since it began: the replication queue and the heartbeats bloat, and queries slow down. Find it in pg_stat_activity by xact_start.',
  });
}

function bloat(thresholds: AlertThresholds): Alert {
  const { deadRowsFor, deadRowsMinimum, deadRowsRatio } = thresholds;
  const by = [...clusterLabels, 'table'] as const;
  const dead = highest(thresholds, by, select(tableDeadRows));
  const live = highest(thresholds, by, select(tableLiveRows));
  return alert({
    name: 'PraefectDatabaseBloat',
    severity: 'warning',
    expression: above(
      divide(above(dead, deadRowsMinimum.value), add(dead, live, { on: by }), { on: by }),
      deadRowsRatio.value,
    ),
    forSeconds: sustained(thresholds, deadRowsFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Tables' },
    firesWhen: `for ${durationInWords(deadRowsFor.value)}, over ${percent(deadRowsRatio.value)} of the rows of a table were dead, and over ${deadRowsMinimum.value.toLocaleString('en')}`,
    summary: ({ label, value }) => `${value('percent')} of the rows of table ${label('table')} are dead`,
    description: ({ label }) =>
      `VACUUM does not keep up with ${label('table')} in Praefect's database, so every query on it reads dead rows. Check for a long transaction or a stale replication slot, then run VACUUM on the table.`,
  });
}

function wraparound(thresholds: AlertThresholds, severity: 'warning' | 'critical'): Alert {
  const { keepFiring, wraparoundCritical, wraparoundWarning } = thresholds;
  const limit = severity === 'critical' ? wraparoundCritical : wraparoundWarning;
  return alert({
    name: 'PraefectDatabaseWraparound',
    severity,
    expression: below(recorded(wraparoundLeft), limit.value),
    forSeconds: 0,
    noProblem: withoutProblem.shownAsValue,
    keepFiringForSeconds: severity === 'critical' ? keepFiring.value : 0,
    panel,
    firesWhen: `fewer than ${limit.value / 1e6} million transactions are left until transaction id wraparound`,
    summary: ({ value }) => `Praefect's database: ${value('count')} transactions left until wraparound`,
    description: () =>
      'The server rejects all writes when 3 million are left. Something keeps autovacuum from freezing rows: a long transaction, a prepared transaction or a stale replication slot.',
  });
}

function skewedClock(thresholds: AlertThresholds): Alert {
  const { clockSkew: skew, clockSkewFor } = thresholds;
  return alert({
    ...judgedWithPage('PraefectDatabaseClockSkew', thresholds),
    expression: above(absoluteValue(highest(thresholds, clusterLabels, select(clockSkew))), skew.value),
    panel,
    firesWhen: `for ${durationInWords(clockSkewFor.value)}, the clocks of the database and the exporter differed by over ${durationInWords(skew.value)}`,
    summary: ({ value }) => `The clock of Praefect's database is off by ${value('duration')}`,
    description: () =>
      'The exporter corrects times of the database by the difference. A step of its clock makes heartbeats look old and storages unhealthy, until Praefect has written new ones. Check NTP on the server of the database and on that of the exporter.',
  });
}

function unknownSchema(thresholds: AlertThresholds): Alert {
  const { schemaUnknownFor } = thresholds;
  const by = clusterLabels;
  return alert({
    name: 'PraefectSchemaUnknown',
    severity: 'warning',
    expression: above(highest(thresholds, by, select(migrationsUnknown)), 0),
    forSeconds: sustained(thresholds, schemaUnknownFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel,
    firesWhen: `for ${durationInWords(schemaUnknownFor.value)}, Praefect had applied migrations that this version of the exporter does not know`,
    summary: ({ count }) =>
      `Praefect is newer than the exporter (${count('unknown migration', 'unknown migrations')})`,
    description: () =>
      'The exporter was not tested with this version of Praefect. Its queries may fail or miss new states. Upgrade gitaly-exporter.',
  });
}
