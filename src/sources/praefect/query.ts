/**
 * Queries that depend on the schema variant. The variant is detected once and kept. It is detected again by the
 * probe of the database, and when a query fails as it would after a change of the tables.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Budget } from '../../scheduler/budget.ts';
import type { IntervalSchedule } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { type Failure, failed, type Outcome } from '../../scheduler/outcome.ts';
import {
  type Database,
  type DatabaseRow,
  type QueryOptions,
  type QueryResult,
  UnacceptableRows,
} from './database.ts';
import type { DatabaseClock } from './database-clock.ts';
import { variantSql } from './relations.ts';
import { type SchemaVariant, variantOf } from './variant.ts';

/** The schema variant of one database, shared by all its queries. */
export interface VariantSource {
  /** The variant last detected; detects it if there is none. */
  current(signal: AbortSignal): Promise<SchemaVariant | Failure>;
  /** Detects the variant now; `current` returns it from then on. */
  detect(signal: AbortSignal): Promise<SchemaVariant | Failure>;
}

/** Why a read of the database can fail. */
export const databaseFailureReasons = [
  ...(['refused', 'timeout', 'tls', 'authentication', 'permission'] as const),
  ...(['missing_schema', 'unsupported_schema', 'query', 'too_large', 'internal'] as const),
];

/** Reading the catalog takes milliseconds unless something is wrong with the server. */
const detectTimeoutMs = 3000;

export function createVariantSource(database: Database, events: EventLog): VariantSource {
  let known: SchemaVariant | undefined;

  async function detect(signal: AbortSignal): Promise<SchemaVariant | Failure> {
    const read = await database.query(variantSql, {
      signal,
      statementTimeoutMs: detectTimeoutMs,
      purpose: "Praefect's schema",
    });
    // An unreachable database says nothing about its schema: the known variant stays.
    if (!read.ok) return read.failure;
    const found = variantOf(read.value);
    if (isFailure(found)) {
      known = undefined;
      return found;
    }
    if (known !== undefined && known.name !== found.name)
      events.add('schema_changed', `Praefect's schema changed from ${known.name} to ${found.name}`, {
        from: known.name,
        to: found.name,
      });
    known = found;
    return found;
  }

  return { detect, current: async (signal) => known ?? detect(signal) };
}

export interface QueryContext {
  readonly database: Database;
  readonly variants: VariantSource;
}

/** What every collector of the database has. */
export interface DatabaseContext extends QueryContext {
  /** For the schedules; the database charges it. */
  readonly budget: Budget;
  readonly clock: Clock;
  readonly databaseClock: DatabaseClock;
}

/**
 * Reads with the statements of the current variant. If that fails and the schema turns out to have changed, reads
 * again with the statements of the new variant.
 */
export async function withVariant<T>(
  { variants }: QueryContext,
  signal: AbortSignal,
  read: (variant: SchemaVariant) => Promise<QueryResult<T>>,
): Promise<QueryResult<T>> {
  const before = await variants.current(signal);
  if (isFailure(before)) return { ok: false, failure: before };
  const first = await read(before);
  if (first.ok || !mayMeanAnotherSchema(first.failure)) return first;

  const after = await variants.detect(signal);
  if (isFailure(after)) return { ok: false, failure: after };
  return after.fingerprint === before.fingerprint ? first : read(after);
}

/**
 * The rows of one statement of the current variant, as `withVariant` reads it.
 *
 * @param sqlOf undefined for a variant without the table: then the rows are undefined, too
 */
export const queryVariant = <Sql extends string | undefined>(
  context: QueryContext,
  options: QueryOptions,
  sqlOf: (variant: SchemaVariant) => Sql,
): Promise<QueryResult<readonly DatabaseRow[] | Exclude<Sql, string>>> =>
  withVariant<readonly DatabaseRow[] | Exclude<Sql, string>>(context, options.signal, async (variant) => {
    const sql = sqlOf(variant);
    return typeof sql === 'string'
      ? context.database.query(sql, options)
      : { ok: true, value: sql as Exclude<Sql, string>, elapsedMs: 0 };
  });

/** What all collectors of the database share: when they run, and why they can fail. */
export const databaseSchedule = (
  { budget }: DatabaseContext,
  schedule: Omit<IntervalSchedule, 'kind' | 'budget'>,
) => ({
  failureReasons: databaseFailureReasons,
  schedule: { kind: 'interval', budget, ...schedule } as const,
});

/** An undefined table or column, a changed type; not a refused connection or a missing privilege. */
const mayMeanAnotherSchema = ({ reason }: Failure): boolean =>
  reason === 'missing_schema' || reason === 'unsupported_schema' || reason === 'query';

/** The failure of a query as a collector's outcome. */
export const failedOutcome = ({ reason, message }: Failure): Outcome<never> => failed(reason, message);

export const isFailure = (value: object): value is Failure => 'reason' in value && 'message' in value;

/**
 * An int8, float8 or numeric column as a number; undefined for null. Counts stay below 2^53. Throws for text that is
 * not a number, which only another server than PostgreSQL returns.
 */
export function columnNumber(value: unknown): number | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  const number = Number(value);
  if (Number.isNaN(number))
    throw new UnacceptableRows('parse', 'the server returned text in place of a number');
  return number;
}

export const columnText = (value: unknown): string =>
  value === null || value === undefined ? '' : String(value);
