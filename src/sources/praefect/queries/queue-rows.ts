/**
 * What the replication queue's statements return.
 *
 * Two statements in one transaction. The first is the only pass over the queue: there is no index on state or
 * created_at, so each further query of "all jobs that ..." would cost a pass of its own. The second starts from the
 * few locks of jobs in progress and finds their jobs by primary key.
 */
import type { DatabaseRow, ReadTransaction } from '../database.ts';
import { columnNumber, columnText } from '../query.ts';
import { epochOf, eq, isPresentUtc, jsonText, le, literal, lt, minus } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';

/** The enum replication_job_state. */
export const jobStates = ['ready', 'in_progress', 'failed', 'completed', 'cancelled', 'dead'] as const;
export type JobState = (typeof jobStates)[number];

/**
 * Which relations are readable, and the newest id. SELECT on all tables does not include the sequence; the
 * has_..._privilege() functions are used first because a refused read would end the transaction.
 * pg_sequence_last_value() is null before the first id.
 */
const queueSourcesSql = (variant: SchemaVariant): string => {
  const queue = literal(variant.relation('replication_queue'));
  return `
SELECT pg_catalog.has_table_privilege(${literal(variant.relation('replication_queue_job_lock'))}, 'SELECT') AS locks_readable,
       CASE WHEN pg_catalog.has_sequence_privilege(ids, 'SELECT') OR pg_catalog.has_sequence_privilege(ids, 'USAGE')
            THEN coalesce(pg_catalog.pg_sequence_last_value(ids), 0)
       END                                                                  AS newest_id
  FROM (SELECT pg_catalog.to_regclass(pg_catalog.pg_get_serial_sequence(${queue}, 'id'))) AS sequence(ids)`;
};

/**
 * The pass over the queue. created_at is UTC without a time zone, which is how extract(epoch) takes a timestamp.
 *
 * Grouped by one array behind OFFSET 0: for expressions over jsonb the planner assumes that every row has its own
 * values, and sorts the whole queue on disk (20 MB at 400,000 rows, twice the time). Behind the fence it estimates
 * 200 groups and counts them in memory.
 *
 * A time in the future is the age of no job: it does not count for the oldest.
 *
 * @param settledId an id that is known to be committed or rolled back: counts the jobs left up to it
 */
export const queueSql = (variant: SchemaVariant, settledId: number): string => `
SELECT key[1]                                        AS virtual_storage,
       key[2]                                        AS storage,
       key[3]                                        AS state,
       key[4]                                        AS change,
       pg_catalog.count(*)                           AS jobs,
       pg_catalog.count(*) FILTER (WHERE id ${le} ${settledId}) AS settled,
       ${epochOf(`(pg_catalog.min(created_at) FILTER (WHERE ${isPresentUtc('created_at')}))`)} AS oldest
  FROM (SELECT id,
               created_at,
               ARRAY[job ${jsonText} 'virtual_storage', job ${jsonText} 'target_node_storage', pg_catalog.concat(state), job ${jsonText} 'change'] AS key
          FROM ${variant.relation('replication_queue')}
        OFFSET 0) AS jobs
 GROUP BY key`;

/**
 * Jobs in progress with a lock, and those whose lock was not refreshed for 60 s, as in Praefect's stale check (since
 * 13.1); and those whose lock is from the future, which nothing refreshes either: Praefect would have set it back.
 */
// enum_eq() and not its operator: with an implicit cast of the enum to text there would be two of them.
const locksSql = (variant: SchemaVariant): string => `
SELECT queue.job ${jsonText} 'virtual_storage'         AS virtual_storage,
       queue.job ${jsonText} 'target_node_storage'     AS storage,
       pg_catalog.count(DISTINCT queue.id)           AS locked,
       pg_catalog.count(DISTINCT queue.id) FILTER
         (WHERE (lock.triggered_at ${lt} (pg_catalog.timezone('UTC', pg_catalog.now()) ${minus} interval '60 seconds'))
             OR NOT (${isPresentUtc('lock.triggered_at')})) AS expired
  FROM ${variant.relation('replication_queue_job_lock')} AS lock
  JOIN ${variant.relation('replication_queue')} AS queue ON (queue.id ${eq} lock.job_id)
 WHERE pg_catalog.enum_eq(queue.state, 'in_progress'::${variant.jobStateType})
 GROUP BY 1, 2`;

/** What the statements return. */
export interface QueueRows {
  readonly jobs: readonly {
    readonly virtualStorage: string;
    readonly storage: string;
    readonly state: JobState;
    readonly change: string;
    readonly count: number;
    /** Of `count`, the jobs up to the settled id. */
    readonly settled: number;
    /** Seconds since 1970; undefined: all of them are from the future. */
    readonly oldestAt: number | undefined;
  }[];
  /** Undefined: the role may not read the table. */
  readonly locks:
    | readonly {
        readonly virtualStorage: string;
        readonly storage: string;
        readonly locked: number;
        readonly expired: number;
      }[]
    | undefined;
  /** Undefined: the role may not read the sequence. */
  readonly newestId: number | undefined;
}

const jobRow = (row: DatabaseRow): QueueRows['jobs'][number] => ({
  virtualStorage: columnText(row['virtual_storage']),
  storage: columnText(row['storage']),
  state: jobStates.find((state) => state === row['state']) ?? 'dead',
  change: columnText(row['change']),
  count: columnNumber(row['jobs']) ?? 0,
  settled: columnNumber(row['settled']) ?? 0,
  oldestAt: columnNumber(row['oldest']),
});

const lockRow = (row: DatabaseRow): NonNullable<QueueRows['locks']>[number] => ({
  virtualStorage: columnText(row['virtual_storage']),
  storage: columnText(row['storage']),
  locked: columnNumber(row['locked']) ?? 0,
  expired: columnNumber(row['expired']) ?? 0,
});

/** @param settledId see `queueSql` */
export async function readQueue(
  transaction: ReadTransaction,
  variant: SchemaVariant,
  settledId: number,
): Promise<QueueRows> {
  const [sources] = await transaction.rows(queueSourcesSql(variant));
  const jobs = (await transaction.rows(queueSql(variant, settledId))).map(jobRow);
  const isReadable = sources?.['locks_readable'] === true;
  const locks = isReadable ? (await transaction.rows(locksSql(variant))).map(lockRow) : undefined;
  return { jobs, locks, newestId: columnNumber(sources?.['newest_id']) };
}
