/**
 * Connections to the database, and who waits for whom. Every 15 s.
 *
 * pg_stat_activity shows everybody's sessions to everybody, but their states and times only to members of
 * pg_read_all_stats (pg_monitor has it). pg_locks shows all to all.
 */
import { gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf, single } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import type { Database, DatabaseRow } from '../database.ts';
import { failedOutcome, numberOf } from '../query.ts';

/** pg_stat_activity.state; `unknown` where we may not see it. */
export const connectionStates = [
  'active',
  'idle',
  'idle in transaction',
  'idle in transaction (aborted)',
  'fastpath function call',
  'disabled',
  'unknown',
] as const;

export const connections = gauge('praefect_db_connections', {
  help: "Clients' connections to this database by state, the exporter's own included. Without pg_monitor (or pg_read_all_stats) the states of others are hidden: then all count as unknown, and the other states are absent.",
  origin: 'pg_stat_activity',
  labels: { state: connectionStates },
});

export const connectionsLimit = gauge('praefect_db_connections_limit', {
  help: "How many connections this database may have at this moment: the server's max_connections less the reserved ones and less those to other databases, or the CONNECTION LIMIT of the database or of the role that owns Praefect's tables where that is lower.",
  origin:
    'max_connections, superuser_reserved_connections, reserved_connections, pg_database.datconnlimit, pg_roles.rolconnlimit, pg_stat_activity',
});

export const blockedBackends = gauge('praefect_db_blocked_backends', {
  help: 'Sessions of this database that wait for a lock which another session holds.',
  origin: 'pg_locks',
});

export const longestBlocked = gauge('praefect_db_longest_blocked_seconds', {
  help: 'How long the session that waits longest has been waiting for a lock; 0 when none waits. Before PostgreSQL 14 the time since its statement began, and absent there without pg_monitor.',
  origin: 'pg_locks.waitstart; pg_stat_activity.query_start before PostgreSQL 14',
  unit: 'seconds',
});

export const longestTransaction = gauge('praefect_db_longest_transaction_seconds', {
  help: "Age of the oldest open transaction of a client of this database, the exporter's own left out; 0 when there is none. Absent without pg_monitor.",
  origin: 'pg_stat_activity.xact_start',
  unit: 'seconds',
});

export const connectionMetrics = [
  connections,
  connectionsLimit,
  blockedBackends,
  longestBlocked,
  longestTransaction,
] as const;

/**
 * One row. backend_type is hidden with the rest, so `IS DISTINCT FROM` keeps hidden sessions and drops what is
 * known not to be a client (parallel and autovacuum workers, replication).
 */
export const connectionsSql = `
WITH here AS (
  SELECT d.oid, d.datconnlimit, r.rolconnlimit
    FROM pg_catalog.pg_database d
    LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass('replication_queue')
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
   WHERE d.datname = current_database()
), session AS (
  SELECT a.datid = here.oid AS is_here, a.pid, a.state, a.xact_start
    FROM pg_catalog.pg_stat_activity a
   CROSS JOIN here
   WHERE a.datid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend'
)
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')                            AS sees_all,
       count(*) FILTER (WHERE is_here)                                                    AS here,
       count(*) FILTER (WHERE is_here AND state = 'active')                               AS active,
       count(*) FILTER (WHERE is_here AND state = 'idle')                                 AS idle,
       count(*) FILTER (WHERE is_here AND state = 'idle in transaction')                  AS "idle in transaction",
       count(*) FILTER (WHERE is_here AND state = 'idle in transaction (aborted)')        AS "idle in transaction (aborted)",
       count(*) FILTER (WHERE is_here AND state = 'fastpath function call')               AS "fastpath function call",
       count(*) FILTER (WHERE is_here AND state = 'disabled')                             AS disabled,
       coalesce(extract(epoch FROM clock_timestamp()
                  - min(xact_start) FILTER (WHERE is_here AND pid <> pg_backend_pid()))::float8, 0) AS longest_transaction,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0)
         - coalesce(nullif(current_setting('rds.rds_superuser_reserved_connections', true), '')::int, 0)
         - count(*) FILTER (WHERE NOT is_here)                                            AS server_limit,
       (SELECT datconnlimit FROM here WHERE datconnlimit >= 0)                            AS database_limit,
       (SELECT rolconnlimit FROM here WHERE rolconnlimit >= 0)                            AS role_limit
  FROM session`;

/** PostgreSQL 14 and later say when a wait began; for a moment at its start the time is null. */
export const blockedSql = `
SELECT count(DISTINCT l.pid)                                                              AS blocked,
       coalesce(extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8, 0)      AS longest
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE NOT l.granted AND a.datname = current_database()`;

/** PostgreSQL 11 to 13: no wait is older than its statement. query_start is null where it is hidden from us. */
export const blockedSqlBefore14 = `
SELECT count(DISTINCT l.pid)                                                              AS blocked,
       CASE WHEN count(*) = count(a.query_start)
            THEN coalesce(extract(epoch FROM clock_timestamp() - min(a.query_start))::float8, 0)
       END                                                                                AS longest
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE NOT l.granted AND a.datname = current_database()`;

export function connectionsBlock(row: DatabaseRow, blocked: DatabaseRow): Block {
  const number = (column: string) => numberOf(row[column]);
  const all = number('here') ?? 0;
  const byState = samplesOf(connections);
  if (row['sees_all'] === true) {
    let seen = 0;
    for (const state of connectionStates) {
      if (state === 'unknown') continue;
      const count = number(state) ?? 0;
      byState.set({ state }, count);
      seen += count;
    }
    // A session that is just starting has no state yet.
    byState.set({ state: 'unknown' }, all - seen);
  } else byState.set({ state: 'unknown' }, all);

  const limits = [number('server_limit'), number('database_limit'), number('role_limit')].filter(
    (limit) => limit !== undefined,
  );
  return {
    families: [
      byState.family(),
      single(connectionsLimit, Math.max(0, Math.min(...limits))),
      single(blockedBackends, numberOf(blocked['blocked'])),
      single(longestBlocked, numberOf(blocked['longest'])),
      single(longestTransaction, row['sees_all'] === true ? number('longest_transaction') : undefined),
    ],
  };
}

export function createConnectionsCollector({
  budget,
  database,
}: {
  readonly database: Database;
  readonly budget: Budget;
}): Collector {
  return {
    name: 'praefect_connections',
    title: 'Connections and locks (pg_stat_activity, pg_locks)',
    metrics: connectionMetrics,
    schedule: { kind: 'interval', everyMs: 15_000, timeoutMs: 5000, maxAgeMs: 60_000, budget },
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: 'connections and locks' };
      const asked = await database.query(connectionsSql, limits);
      if (!asked.ok) return failedOutcome(asked.failure);
      const major = Number.parseInt(database.connection()?.serverVersion ?? '', 10);
      const blocked = await database.query(major < 14 ? blockedSqlBefore14 : blockedSql, limits);
      if (!blocked.ok) return failedOutcome(blocked.failure);
      return { kind: 'data', block: connectionsBlock(asked.value[0] ?? {}, blocked.value[0] ?? {}) };
    },
  };
}
