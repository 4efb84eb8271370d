/** Praefect's own tables, every minute: rows, dead rows, size on disk; and the distance to transaction id wraparound. */
import { gauge } from '../../../metrics/metric.ts';
import { type Block, createSamples } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { collectorNames } from '../collector-names.ts';
import type { DatabaseRow } from '../database.ts';
import {
  columnNumber,
  type DatabaseContext,
  databaseSchedule,
  failedOutcome,
  queryVariant,
} from '../query.ts';
import { praefectTables } from '../relations.ts';
import { eq, minus, nameArray } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';

const perTable = { table: praefectTables } as const;

export const tableLiveRows = gauge('praefect_db_table_live_rows', {
  help: 'Estimated number of live rows in the table.',
  details:
    "The server's running count, or the count of the last ANALYZE if the running count was lost in a crash or failover. Absent on a standby.",
  origin: 'pg_stat_user_tables.n_live_tup, pg_class.reltuples',
  labels: perTable,
});

export const tableDeadRows = gauge('praefect_db_table_dead_rows', {
  help: 'Estimated number of updated or deleted rows that wait for VACUUM.',
  details: "Counted since the last reset of the server's statistics. Absent on a standby.",
  origin: 'pg_stat_user_tables.n_dead_tup',
  labels: perTable,
});

export const tableSize = gauge('praefect_db_table_size_bytes', {
  help: 'Size of the table on disk including its indexes.',
  origin: 'pg_total_relation_size()',
  labels: perTable,
});

export const transactionsToWraparound = gauge('praefect_db_transactions_to_wraparound', {
  help: "Number of transactions until transaction id wraparound in the server's oldest database.",
  details: 'The server rejects all writes when 3 million are left (1 million before PostgreSQL 14).',
  origin: 'pg_database.datfrozenxid',
});

export const tableMetrics = [tableLiveRows, tableDeadRows, tableSize, transactionsToWraparound] as const;

/**
 * Needs no privilege on the tables. pg_total_relation_size() waits for a table that is locked exclusively, until the
 * lock timeout of every query. reltuples is -1 (0 before PostgreSQL 14) until the first ANALYZE.
 */
const tablesSql = (variant: SchemaVariant): string => `
SELECT s.relname                                                       AS "table",
       pg_catalog.pg_is_in_recovery()                                  AS standby,
       CASE WHEN coalesce(s.last_vacuum, s.last_autovacuum, s.last_analyze, s.last_autoanalyze) IS NULL
            THEN greatest(s.n_live_tup, c.reltuples::pg_catalog.int8)
            ELSE s.n_live_tup
       END                                                             AS live,
       s.n_dead_tup                                                    AS dead,
       pg_catalog.pg_total_relation_size(s.relid)                      AS size
  FROM pg_catalog.pg_stat_user_tables s
  JOIN pg_catalog.pg_class c ON (c.oid ${eq} s.relid)
 WHERE (s.relname ${eq} ANY (${nameArray([...variant.tables])}))
   AND (c.relnamespace ${eq} ${variant.schemaOid})
 ORDER BY s.relname`;

/** Over all databases, since the first one at the limit stops the whole server. */
const wraparoundSql = `
SELECT 2147483647 ${minus} pg_catalog.max(pg_catalog.age(datfrozenxid)) AS left FROM pg_catalog.pg_database`;

/** A standby does not count rows. */
function tablesBlock(rows: readonly DatabaseRow[], wraparound: DatabaseRow): Block {
  const samples = createSamples(tableMetrics);
  for (const row of rows) {
    const table = praefectTables.find((name) => name === row['table']);
    if (table === undefined) continue;
    samples.set(tableSize, { table }, columnNumber(row['size']));
    if (row['standby'] === true) continue;
    samples.set(tableLiveRows, { table }, columnNumber(row['live']) ?? 0);
    samples.set(tableDeadRows, { table }, columnNumber(row['dead']) ?? 0);
  }
  samples.set(transactionsToWraparound, {}, columnNumber(wraparound['left']));
  return { families: samples.families() };
}

export function createTablesCollector(context: DatabaseContext): Collector {
  return {
    name: collectorNames.tables,
    title: "Size and maintenance of Praefect's tables (pg_stat_user_tables)",
    metrics: tableMetrics,
    ...databaseSchedule(context, { everyMs: 60_000, timeoutMs: 5000, maxAgeMs: 300_000 }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: "the size of Praefect's tables" };
      const read = await queryVariant(context, limits, tablesSql);
      if (!read.ok) return failedOutcome(read.failure);
      const wraparound = await context.database.query(wraparoundSql, limits);
      if (!wraparound.ok) return failedOutcome(wraparound.failure);
      return { kind: 'data', block: tablesBlock(read.value, wraparound.value[0] ?? {}) };
    },
  };
}
