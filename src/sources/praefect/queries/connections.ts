/**
 * Connections to the database and waits for locks, every 15 s.
 *
 * pg_stat_activity lists all sessions for every role, but their states and times only for members of
 * pg_read_all_stats (which pg_monitor includes). pg_locks is visible to all.
 */
import { metricGroup } from '../../../metrics/metric.ts';
import { type Block, createSamples } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { collectorNames } from '../collector-names.ts';
import type { DatabaseRow } from '../database.ts';
import { columnNumber, type DatabaseContext, databaseSchedule, failedOutcome, isFailure } from '../query.ts';
import { eq, ge, le, literal, minus, ne, quotedName, relationOid } from '../sql.ts';

const { gauge, metrics } = metricGroup();

/** pg_stat_activity.state */
const knownStates = [
  'active',
  'idle',
  'idle in transaction',
  'idle in transaction (aborted)',
  'fastpath function call',
  'disabled',
] as const;

export const connections = gauge('praefect_db_connections', {
  help: "Number of client connections to this database by state, including the exporter's own.",
  details:
    'Without pg_read_all_stats the states of other sessions are hidden: all count as unknown, and the other states are absent.',
  origin: 'pg_stat_activity',
  labels: { state: [...knownStates, 'unknown'] },
});

export const connectionsLimit = gauge('praefect_db_connections_limit', {
  help: 'Number of client connections that this database may currently have.',
  details:
    "The server's max_connections less the reserved ones and those to other databases, or the CONNECTION LIMIT of the database or of the role that owns Praefect's tables if that is lower.",
  origin:
    'max_connections, superuser_reserved_connections, reserved_connections, pg_database.datconnlimit, pg_roles.rolconnlimit, pg_stat_activity',
});

export const blockedBackends = gauge('praefect_db_blocked_backends', {
  help: 'Number of sessions of this database that wait for a lock held by another session.',
  origin: 'pg_locks',
});

export const longestBlocked = gauge('praefect_db_longest_blocked_seconds', {
  help: 'Longest time that a session of this database has been waiting for a lock, or 0 if none waits.',
  details:
    'Before PostgreSQL 14 the time since its statement began, which is absent without pg_read_all_stats.',
  origin: 'pg_locks.waitstart; pg_stat_activity.query_start before PostgreSQL 14',
});

export const longestTransaction = gauge('praefect_db_longest_transaction_seconds', {
  help: "Age of the oldest open client transaction on this database without the exporter's own, or 0 if there is none.",
  details:
    'Absent without pg_read_all_stats, or when all of them began in the future, before the clock was set back.',
  origin: 'pg_stat_activity.xact_start',
});

export const connectionMetrics = metrics;

/** Backends start their transactions and waits by the same clock; a later start is from before it was set back. */
const isPast = (time: string): string => `${time} ${le} pg_catalog.clock_timestamp()`;
const sinceOldest = (time: string, filter: string): string =>
  `extract(epoch FROM (pg_catalog.clock_timestamp() ${minus} (pg_catalog.min(${time}) FILTER (WHERE ${filter}))))::pg_catalog.float8`;

/**
 * One row. backend_type is hidden like the state, so coalesce() keeps hidden sessions and drops those that are known
 * not to be clients (parallel and autovacuum workers, replication). Settings are text, converted by the reader.
 */
const connectionsSql = (schemaOid: number | undefined): string => {
  const inState = (state: string): string =>
    `pg_catalog.count(*) FILTER (WHERE is_here AND (state ${eq} ${literal(state)})) AS ${quotedName(state)}`;
  const others = `is_here AND (pid ${ne} pg_catalog.pg_backend_pid())`;
  return `
WITH here AS (
  SELECT d.oid, d.datconnlimit, r.rolconnlimit
    FROM pg_catalog.pg_database d
    LEFT JOIN pg_catalog.pg_class c ON (c.oid ${eq} (${relationOid(schemaOid, 'replication_queue')}))
    LEFT JOIN pg_catalog.pg_roles r ON (r.oid ${eq} c.relowner)
   WHERE d.datname ${eq} pg_catalog.current_database()
), session AS (
  SELECT (a.datid ${eq} here.oid) AS is_here, a.pid, a.state, a.xact_start
    FROM pg_catalog.pg_stat_activity a
   CROSS JOIN here
   WHERE a.datid IS NOT NULL AND (coalesce(a.backend_type, 'client backend') ${eq} 'client backend')
)
SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       pg_catalog.count(*) FILTER (WHERE is_here)                        AS here,
       ${knownStates.map(inState).join(',\n       ')},
       CASE WHEN pg_catalog.count(xact_start) FILTER (WHERE ${others}) ${eq} 0 THEN 0
            ELSE ${sinceOldest('xact_start', `${others} AND (${isPast('xact_start')})`)} END AS longest_transaction,
       pg_catalog.current_setting('max_connections')                     AS max_connections,
       pg_catalog.current_setting('superuser_reserved_connections')      AS superuser_reserved,
       pg_catalog.current_setting('reserved_connections', true)          AS reserved,
       pg_catalog.current_setting('rds.rds_superuser_reserved_connections', true) AS rds_reserved,
       pg_catalog.count(*) FILTER (WHERE NOT is_here)                    AS elsewhere,
       (SELECT datconnlimit FROM here WHERE datconnlimit ${ge} 0)        AS database_limit,
       (SELECT rolconnlimit FROM here WHERE rolconnlimit ${ge} 0)        AS role_limit
  FROM session`;
};

const waiting = `
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON (a.pid ${eq} l.pid)
 WHERE NOT l.granted AND (a.datname ${eq} pg_catalog.current_database())`;

/** PostgreSQL 14 and later: waitstart is the start of the wait, and null for a moment at its beginning. */
const blockedSql = `
SELECT pg_catalog.count(DISTINCT l.pid) AS blocked,
       CASE WHEN pg_catalog.count(l.waitstart) ${eq} 0 THEN 0
            ELSE ${sinceOldest('l.waitstart', isPast('l.waitstart'))} END AS longest${waiting}`;

/** PostgreSQL 11 to 13: no wait is older than its statement. query_start is null where it is hidden. */
export const blockedSqlBefore14 = `
SELECT pg_catalog.count(DISTINCT l.pid) AS blocked,
       CASE WHEN pg_catalog.count(*) ${eq} 0 THEN 0
            WHEN pg_catalog.count(*) ${eq} pg_catalog.count(a.query_start)
            THEN ${sinceOldest('a.query_start', isPast('a.query_start'))} END AS longest${waiting}`;

/** States that are hidden from the exporter are absent. */
function connectionsBlock(row: DatabaseRow, blocked: DatabaseRow): Block {
  const number = (column: string) => columnNumber(row[column]);
  const seesAll = row['sees_all'] === true;
  const samples = createSamples(connectionMetrics);
  // All sessions if their states are hidden, otherwise those that are starting and have no state yet.
  let unknown = number('here') ?? 0;
  for (const state of seesAll ? knownStates : []) {
    const count = number(state) ?? 0;
    samples.set(connections, { state }, count);
    unknown -= count;
  }
  // reserved_connections exists since PostgreSQL 16, the other one on Amazon RDS; an empty text counts as 0.
  const serverLimit =
    (number('max_connections') ?? Number.NaN) -
    (number('superuser_reserved') ?? 0) -
    (number('reserved') ?? 0) -
    (number('rds_reserved') ?? 0) -
    (number('elsewhere') ?? 0);
  const limit = Math.min(serverLimit, number('database_limit') ?? Infinity, number('role_limit') ?? Infinity);
  samples.set(connections, { state: 'unknown' }, unknown);
  samples.set(connectionsLimit, {}, Math.max(0, limit));
  samples.set(blockedBackends, {}, columnNumber(blocked['blocked']));
  samples.set(longestBlocked, {}, columnNumber(blocked['longest']));
  samples.set(longestTransaction, {}, seesAll ? number('longest_transaction') : undefined);
  return { families: samples.families() };
}

export function createConnectionsCollector(context: DatabaseContext): Collector {
  const { database, variants } = context;
  return {
    name: collectorNames.connections,
    title: 'Connections and locks (pg_stat_activity, pg_locks)',
    metrics: connectionMetrics,
    ...databaseSchedule(context, { everyMs: 15_000, timeoutMs: 5000, maxAgeMs: 60_000 }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: 'connections and locks' };
      // Only the limit of the owner's role depends on the tables, which need not exist.
      const variant = await variants.current(signal);
      const schemaOid = isFailure(variant) ? undefined : variant.schemaOid;
      const read = await database.query(connectionsSql(schemaOid), limits);
      if (!read.ok) return failedOutcome(read.failure);
      const major = Number.parseInt(database.connection()?.serverVersion ?? '', 10);
      const blocked = await database.query(major < 14 ? blockedSqlBefore14 : blockedSql, limits);
      if (!blocked.ok) return failedOutcome(blocked.failure);
      return { kind: 'data', block: connectionsBlock(read.value[0] ?? {}, blocked.value[0] ?? {}) };
    },
  };
}
