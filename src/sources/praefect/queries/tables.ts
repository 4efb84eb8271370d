/** Praefect's own tables: rows, dead rows, size on disk; and how far the server is from the end of its transaction ids. */
import { gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf, single } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import type { DatabaseRow } from '../database.ts';
import { failedOutcome, numberOf, type QueryContext, queryByVariant } from '../query.ts';
import { praefectTables } from '../variant.ts';

const perTable = { table: praefectTables } as const;

export const tableLiveRows = gauge('praefect_db_table_live_rows', {
  help: "Estimated rows of the table: the server's running count, or that of the last ANALYZE where the running count was lost (after a crash or a failover). Absent on a standby.",
  origin: 'pg_stat_user_tables.n_live_tup, pg_class.reltuples',
  labels: perTable,
});

export const tableDeadRows = gauge('praefect_db_table_dead_rows', {
  help: 'Estimated rows that were updated or deleted and wait for VACUUM, counted since the statistics of the server were last reset. Absent on a standby.',
  origin: 'pg_stat_user_tables.n_dead_tup',
  labels: perTable,
});

export const tableSize = gauge('praefect_db_table_size_bytes', {
  help: 'Size of the table on disk with its indexes.',
  origin: 'pg_total_relation_size()',
  unit: 'bytes',
  labels: perTable,
});

export const transactionsToWraparound = gauge('praefect_db_transactions_to_wraparound', {
  help: 'Transactions until the ids run out, of the database of this server that is nearest to it. The server refuses all writes when 3 million are left (1 million before PostgreSQL 14).',
  origin: 'pg_database.datfrozenxid',
});

export const tableMetrics = [tableLiveRows, tableDeadRows, tableSize, transactionsToWraparound] as const;

/**
 * Needs no privilege on the tables. pg_total_relation_size() waits for a table that is locked exclusively, which
 * the lock timeout of every question ends. reltuples is -1 (before PostgreSQL 14: 0) until the first ANALYZE.
 */
export const tablesSql = `
SELECT s.relname::text                                                 AS "table",
       pg_is_in_recovery()                                             AS standby,
       CASE WHEN coalesce(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze) IS NULL
            THEN greatest(s.n_live_tup, c.reltuples::bigint)
            ELSE s.n_live_tup
       END                                                             AS live,
       s.n_dead_tup                                                    AS dead,
       pg_total_relation_size(s.relid)                                 AS size
  FROM pg_catalog.pg_stat_user_tables s
  JOIN pg_catalog.pg_class c ON c.oid = s.relid
 WHERE s.relname IN (${praefectTables.map((table) => `'${table}'`).join(', ')})
   AND pg_table_is_visible(s.relid)
 ORDER BY s.relname`;

/** Of all databases, since the first to run out stops the whole server. */
export const wraparoundSql = `
SELECT 2147483647 - max(age(datfrozenxid)) AS left FROM pg_catalog.pg_database`;

export function tablesBlock(rows: readonly DatabaseRow[], wraparound: DatabaseRow): Block {
  const live = samplesOf(tableLiveRows);
  const dead = samplesOf(tableDeadRows);
  const size = samplesOf(tableSize);
  for (const row of rows) {
    const table = praefectTables.find((name) => name === row['table']);
    if (table === undefined) continue;
    const bytes = numberOf(row['size']);
    if (bytes !== undefined) size.set({ table }, bytes);
    if (row['standby'] === true) continue;
    live.set({ table }, numberOf(row['live']) ?? 0);
    dead.set({ table }, numberOf(row['dead']) ?? 0);
  }
  return {
    families: [
      live.family(),
      dead.family(),
      size.family(),
      single(transactionsToWraparound, numberOf(wraparound['left'])),
    ],
  };
}

export function createTablesCollector(context: QueryContext & { readonly budget: Budget }): Collector {
  return {
    name: 'praefect_tables',
    title: "Size and upkeep of Praefect's tables (pg_stat_user_tables)",
    metrics: tableMetrics,
    schedule: {
      kind: 'interval',
      everyMs: 60_000,
      timeoutMs: 5000,
      maxAgeMs: 300_000,
      budget: context.budget,
    },
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: "the size of Praefect's tables" };
      const asked = await queryByVariant(context, limits, () => tablesSql);
      if (!asked.ok) return failedOutcome(asked.failure);
      const wraparound = await context.database.query(wraparoundSql, limits);
      if (!wraparound.ok) return failedOutcome(wraparound.failure);
      return { kind: 'data', block: tablesBlock(asked.value ?? [], wraparound.value[0] ?? {}) };
    },
  };
}
