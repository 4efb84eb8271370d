/** Locks on repository references, which Praefect holds in the database during a write. Every 15 s. */
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
import { ge, le, plus } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';

export const writeLocks = gauge('praefect_db_reference_write_locks', {
  help: 'Number of locks on repository references.',
  details:
    'held: a write is in progress and renews it. expired: its holder terminated, and the next write takes it over; or it ends over 60 s from now, which no holder writes. Absent before the schema variant 19.0.',
  origin: 'repository_reference_write_locks.expired_at',
  labels: { state: ['held', 'expired'] },
});

/** Praefect takes a lock for 20 s and renews it: a longer one was taken before the clock was set back. */
const maxLease = "interval '60 seconds'";

const writeLocksSql = (variant: SchemaVariant): string => {
  const held = `(expired_at ${ge} pg_catalog.now()) AND (expired_at ${le} (pg_catalog.now() ${plus} ${maxLease}))`;
  return `
SELECT pg_catalog.count(*) FILTER (WHERE ${held})       AS held,
       pg_catalog.count(*) FILTER (WHERE NOT (${held})) AS expired
  FROM ${variant.relation('repository_reference_write_locks')}`;
};

function writeLocksBlock(row: DatabaseRow): Block {
  const samples = createSamples();
  for (const state of ['held', 'expired'] as const)
    samples.set(writeLocks, { state }, columnNumber(row[state]) ?? 0);
  return { families: samples.families() };
}

export function createWriteLocksCollector(context: DatabaseContext): Collector {
  return {
    name: collectorNames.writeLocks,
    title: 'Locks of writes in progress (repository_reference_write_locks)',
    metrics: [writeLocks],
    ...databaseSchedule(context, { everyMs: 15_000, timeoutMs: 5000, maxAgeMs: 60_000 }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: 'the locks of writes' };
      const read = await queryVariant(context, limits, (variant) =>
        variant.tables.has('repository_reference_write_locks') ? writeLocksSql(variant) : undefined,
      );
      if (!read.ok) return failedOutcome(read.failure);
      const row = read.value?.[0];
      return row === undefined
        ? { kind: 'empty', why: 'no such table before the schema variant 19.0' }
        : { kind: 'data', block: writeLocksBlock(row) };
    },
  };
}
