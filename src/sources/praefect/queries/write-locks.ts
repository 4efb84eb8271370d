/** Locks on the references of repositories, which Praefect holds in the database while a write goes on. */
import { gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import type { DatabaseRow } from '../database.ts';
import { failedOutcome, numberOf, type QueryContext, queryByVariant } from '../query.ts';

export const writeLocks = gauge('praefect_db_reference_write_locks', {
  help: 'Locks on the references of repositories. held: a write is under way, and renews it; expired: its holder is gone, and the next write takes it over. Absent before the schema variant 19.0.',
  origin: 'repository_reference_write_locks.expired_at',
  labels: { state: ['held', 'expired'] },
});

export const writeLocksSql = `
SELECT count(*) FILTER (WHERE expired_at >= now()) AS held,
       count(*) FILTER (WHERE expired_at < now())  AS expired
  FROM repository_reference_write_locks`;

export function writeLocksBlock(row: DatabaseRow): Block {
  return {
    families: [
      samplesOf(writeLocks)
        .set({ state: 'held' }, numberOf(row['held']) ?? 0)
        .set({ state: 'expired' }, numberOf(row['expired']) ?? 0)
        .family(),
    ],
  };
}

export function createWriteLocksCollector(context: QueryContext & { readonly budget: Budget }): Collector {
  return {
    name: 'praefect_write_locks',
    title: 'Locks of writes under way (repository_reference_write_locks)',
    metrics: [writeLocks],
    schedule: {
      kind: 'interval',
      everyMs: 15_000,
      timeoutMs: 5000,
      maxAgeMs: 60_000,
      budget: context.budget,
    },
    async collect({ signal }) {
      const asked = await queryByVariant(
        context,
        { signal, statementTimeoutMs: 4000, purpose: 'the locks of writes' },
        (variant) => (variant.writeLocks ? writeLocksSql : undefined),
      );
      if (!asked.ok) return failedOutcome(asked.failure);
      const row = asked.value?.[0];
      return row === undefined
        ? { kind: 'empty', why: 'no such table before the schema variant 19.0' }
        : { kind: 'data', block: writeLocksBlock(row) };
    },
  };
}
