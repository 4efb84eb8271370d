/**
 * Asking by schema variant: what every small question shares. The variant is detected once, kept, detected anew
 * by the probe, and at once when a question fails as it would if the tables had changed under it.
 */
import type { EventLog } from '../../scheduler/event-log.ts';
import { type Failure, failed, type Outcome } from '../../scheduler/outcome.ts';
import type { Database, DatabaseRow, QueryOptions, QueryResult, ReadTransaction } from './database.ts';
import { type SchemaVariant, variantOf, variantSql } from './variant.ts';

/** Who knows the form of the schema; one for all questions to a database. */
export interface VariantSource {
  /** The variant last detected, or a detection now. */
  current(signal: AbortSignal): Promise<SchemaVariant | Failure>;
  /** A detection now; what it finds is what `current` says from then on, until one succeeds again. */
  detect(signal: AbortSignal): Promise<SchemaVariant | Failure>;
}

/** The catalog is read within milliseconds, or something is wrong with the server. */
const detectTimeoutMs = 3000;

export function createVariantSource(database: Database, events: EventLog): VariantSource {
  let known: SchemaVariant | undefined;

  async function detect(signal: AbortSignal): Promise<SchemaVariant | Failure> {
    const answer = await database.query(variantSql, {
      signal,
      statementTimeoutMs: detectTimeoutMs,
      purpose: "the form of Praefect's schema",
    });
    // A database that does not answer says nothing about its schema: what was known stays known.
    if (!answer.ok) return answer.failure;
    const found = variantOf(answer.value);
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

/**
 * Asks `sqlOf(variant)` and maps the rows. `sqlOf` gives undefined for a variant without such a table: the
 * answer is then undefined as well. When the question fails and the schema turns out to have changed, it is
 * asked once more, in the new variant's words.
 */
export function queryByVariant(
  context: QueryContext,
  options: QueryOptions,
  sqlOf: (variant: SchemaVariant) => string | undefined,
): Promise<QueryResult<readonly DatabaseRow[] | undefined>> {
  return byVariant(context, options, (variant) => {
    const sql = sqlOf(variant);
    return sql === undefined ? undefined : context.database.query(sql, options);
  });
}

/** The same for several statements that must see one instant. */
export function transactionByVariant<T>(
  context: QueryContext,
  options: QueryOptions,
  body: (look: ReadTransaction, variant: SchemaVariant) => Promise<T>,
): Promise<QueryResult<T | undefined>> {
  return byVariant(context, options, (variant) =>
    context.database.transaction(options, (look) => body(look, variant)),
  );
}

async function byVariant<T>(
  { variants }: QueryContext,
  { signal }: QueryOptions,
  attempt: (variant: SchemaVariant) => Promise<QueryResult<T>> | undefined,
): Promise<QueryResult<T | undefined>> {
  const before = await variants.current(signal);
  if (isFailure(before)) return { ok: false, failure: before };
  const first = await attempt(before);
  if (first === undefined) return absent;
  if (first.ok || !mayMeanAnotherSchema(first.failure)) return first;

  const after = await variants.detect(signal);
  if (isFailure(after)) return { ok: false, failure: after };
  if (after.fingerprint === before.fingerprint) return first;
  return (await attempt(after)) ?? absent;
}

const absent = { ok: true, value: undefined, elapsedMs: 0 } as const;

/** An undefined table or column, a changed type; not a refused connection or a missing privilege. */
const mayMeanAnotherSchema = ({ reason }: Failure): boolean =>
  reason === 'missing_schema' || reason === 'unsupported_schema' || reason === 'query';

/** A failed answer as a collector's outcome. */
export const failedOutcome = ({ reason, message }: Failure): Outcome<never> => failed(reason, message);

export const isFailure = (value: object): value is Failure => 'reason' in value && 'message' in value;

/** An int8, float8 or numeric column as a number; undefined for null. Counts stay below 2^53. */
export const numberOf = (value: unknown): number | undefined =>
  value === null || value === undefined ? undefined : Number(value);

export const textOf = (value: unknown): string =>
  value === null || value === undefined ? '' : String(value);
