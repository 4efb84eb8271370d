/**
 * The replication queue, every 10 s: the jobs by target storage and state, and the jobs that nothing will finish.
 *
 * Two statements in one transaction. The first is the only pass over the queue: there is no index on state or
 * created_at, so each further query of "all jobs that ..." would cost a pass of its own. The second starts from the
 * few locks of jobs in progress and finds their jobs by primary key.
 */
import { anyValue, counter, gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf, single } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { failed } from '../../../scheduler/outcome.ts';
import { collectorNames } from '../collector-names.ts';
import type { DatabaseRow } from '../database.ts';
import { type DatabaseClock, localTimeNote } from '../database-clock.ts';
import {
  columnNumber,
  columnText,
  databaseFailureReasons,
  failedOutcome,
  type QueryContext,
  withVariant,
} from '../query.ts';
import { epochOf, eq, isPresentUtc, jsonText, le, literal, lt, minus } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';
import type { KnownStorages } from './known-storages.ts';
import { createRemovedCounter } from './removed-counter.ts';

/** The enum replication_job_state. */
const jobStates = ['ready', 'in_progress', 'failed', 'completed', 'cancelled', 'dead'] as const;
export type JobState = (typeof jobStates)[number];

/** Jobs in other states are history: no Praefect works on them again. */
const liveStates: readonly JobState[] = ['ready', 'in_progress', 'failed'];

const staleReasons = ['lock_expired', 'lock_missing', 'storage_unknown'] as const;

const perTarget = { virtual_storage: anyValue, storage: anyValue } as const;

export const replicationJobs = gauge('praefect_db_replication_jobs', {
  help: 'Number of jobs in the replication queue by target storage, state and change.',
  details:
    'A healthy cluster has jobs for moments only. A job without attempts left is deleted: replicas that stay behind show in praefect_db_replicas_stuck. completed and dead jobs stay as history up to GitLab 13.3, dead ones up to 14.4.',
  origin: 'replication_queue',
  labels: { ...perTarget, state: jobStates, change: anyValue },
});

export const oldestJob = gauge('praefect_db_replication_oldest_job_timestamp_seconds', {
  help: 'When the oldest job in this state was created.',
  details: `Absent when there is no such job. Times in the future, from before the clock was set back, do not count. ${localTimeNote}`,
  origin: 'replication_queue.created_at',
  unit: 'seconds',
  labels: { ...perTarget, state: jobStates },
});

export const jobsEnqueued = counter('praefect_db_replication_jobs_enqueued_total', {
  help: 'Total number of ids assigned by the replication queue since the database was created.',
  details:
    'Jobs enqueued, plus gaps of rolled-back inserts and crashes of the server (up to 32 per crash). Survives restarts of the exporter, Praefect and PostgreSQL; restoring a database resets it.',
  origin: 'last value of the sequence of replication_queue.id',
});

export const jobsRemoved = counter('praefect_db_replication_jobs_removed_total', {
  help: 'Total number of ids assigned up to the previous read whose job no longer exists.',
  details:
    'Jobs that were finished, given up or deleted, plus the gaps of praefect_db_replication_jobs_enqueued_total. Absent after the first read.',
  origin: 'last value of the sequence of replication_queue.id, less the rows of replication_queue up to it',
});

export const staleJobs = gauge('praefect_db_replication_stale_jobs', {
  help: 'Number of jobs that cannot finish in their current state, each with one reason.',
  details:
    'lock_expired: in progress with a lock that was not refreshed for 60 s, because the Praefect that took it terminated (another one releases it within 90 s), or with a lock from the future. lock_missing: in progress without a lock; nothing releases it. storage_unknown: unfinished, for a storage that no Praefect contacts; absent without heartbeats and configuration.',
  origin: 'replication_queue, replication_queue_job_lock, node_status',
  labels: { ...perTarget, reason: staleReasons },
});

export const queueMetrics = [replicationJobs, oldestJob, jobsEnqueued, jobsRemoved, staleJobs] as const;

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

export interface QueueSnapshot {
  /** Sorted by virtual storage and storage; known storages without jobs are included. */
  readonly targets: readonly TargetQueue[];
  /** Undefined: the role may not read the sequence. */
  readonly enqueued: number | undefined;
  /** Undefined after the first read, too. */
  readonly removed: number | undefined;
}

/** The queue of one target storage. */
export interface TargetQueue {
  readonly virtualStorage: string;
  readonly storage: string;
  readonly jobs: readonly { readonly state: JobState; readonly change: string; readonly count: number }[];
  /** When the oldest job in the state was created, in seconds since 1970; states without jobs are left out. */
  readonly oldest: ReadonlyMap<JobState, number>;
  /** Undefined: unknown, as node_status has no heartbeats or the locks are not readable. */
  readonly stale: Readonly<Record<(typeof staleReasons)[number], number | undefined>>;
}

/**
 * @param databaseClock for the times in `rows`
 * @param finalStates the variant's states in which jobs stay forever
 * @param removed the value of the removed counter after this read
 */
export function queueSnapshot(
  rows: QueueRows,
  known: KnownStorages,
  finalStates: readonly JobState[],
  removed: number | undefined,
  databaseClock: Pick<DatabaseClock, 'local'>,
): QueueSnapshot {
  const targets = new Map(
    [...known.storages, ...rows.jobs].map(({ virtualStorage, storage }) => {
      const target = { virtualStorage, storage };
      return [keyOf(target), target];
    }),
  );
  const jobs = Map.groupBy(rows.jobs, keyOf);
  const locks = new Map((rows.locks ?? []).map((lock) => [keyOf(lock), lock]));
  // These states have a series at 0 even without jobs.
  const expectedStates = [...liveStates, ...finalStates];
  return {
    targets: [...targets]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { virtualStorage, storage }]) => {
        const own = jobs.get(key) ?? [];
        const count = (states: readonly JobState[]) =>
          own.reduce((sum, each) => sum + (states.includes(each.state) ? each.count : 0), 0);
        const isContacted = known.isContacted(virtualStorage, storage);
        const isUnknown = isContacted === false;
        const lock = isUnknown ? undefined : locks.get(key);
        const inProgress = isUnknown ? 0 : count(['in_progress']);
        return {
          virtualStorage,
          storage,
          ...jobsByState(own, expectedStates, databaseClock),
          stale: {
            storage_unknown: isContacted === undefined ? undefined : isUnknown ? count(liveStates) : 0,
            lock_expired: rows.locks && (lock?.expired ?? 0),
            lock_missing: rows.locks && inProgress - (lock?.locked ?? 0),
          },
        };
      }),
    enqueued: rows.newestId,
    removed,
  };
}

function jobsByState(
  rows: QueueRows['jobs'],
  expectedStates: readonly JobState[],
  { local }: Pick<DatabaseClock, 'local'>,
): Pick<TargetQueue, 'jobs' | 'oldest'> {
  const jobs: TargetQueue['jobs'][number][] = [];
  const oldest = new Map<JobState, number>();
  for (const state of jobStates) {
    const inState = rows.filter((row) => row.state === state);
    for (const { change, count } of inState) jobs.push({ state, change, count });
    if (expectedStates.includes(state) && !inState.some(({ change }) => change === 'update'))
      jobs.push({ state, change: 'update', count: 0 });
    const oldestAt = inState.reduce((least, row) => Math.min(least, row.oldestAt ?? Infinity), Infinity);
    if (Number.isFinite(oldestAt)) oldest.set(state, local(oldestAt));
  }
  return { jobs, oldest };
}

const keyOf = ({ virtualStorage, storage }: { virtualStorage: string; storage: string }): string =>
  JSON.stringify([virtualStorage, storage]);

export function queueBlock({ targets, enqueued, removed }: QueueSnapshot): Block {
  const jobs = samplesOf(replicationJobs);
  const oldest = samplesOf(oldestJob);
  const stale = samplesOf(staleJobs);
  for (const { virtualStorage: virtual_storage, storage, ...target } of targets) {
    const labels = { virtual_storage, storage };
    for (const { state, change, count } of target.jobs) jobs.set({ ...labels, state, change }, count);
    for (const [state, createdAt] of target.oldest) oldest.set({ ...labels, state }, createdAt);
    for (const reason of ['storage_unknown', 'lock_expired', 'lock_missing'] as const) {
      const count = target.stale[reason];
      if (count !== undefined) stale.set({ ...labels, reason }, count);
    }
  }
  return {
    families: [
      jobs.family(),
      oldest.family(),
      single(jobsEnqueued, enqueued),
      single(jobsRemoved, removed),
      stale.family(),
    ],
  };
}

interface QueueCollectorOptions extends QueryContext {
  readonly budget: Budget;
  readonly databaseClock: DatabaseClock;
  readonly knownStorages: () => KnownStorages;
}

export function createQueueCollector(options: QueueCollectorOptions): Collector<QueueSnapshot> {
  const removed = createRemovedCounter();
  return {
    name: collectorNames.queue,
    title: 'Replication jobs (replication_queue, replication_queue_job_lock)',
    metrics: queueMetrics,
    failureReasons: databaseFailureReasons,
    schedule: {
      kind: 'interval',
      everyMs: 10_000,
      timeoutMs: 10_000,
      maxAgeMs: 60_000,
      budget: options.budget,
    },
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 8000, purpose: 'the replication queue' };
      const read = await withVariant(options, signal, (variant) =>
        options.database.transaction(limits, async (transaction) => {
          const [sources] = await transaction.rows(queueSourcesSql(variant));
          const jobs = (await transaction.rows(queueSql(variant, removed.settledId()))).map(jobRow);
          const locks =
            sources?.['locks_readable'] === true
              ? (await transaction.rows(locksSql(variant))).map(lockRow)
              : undefined;
          return {
            rows: { jobs, locks, newestId: columnNumber(sources?.['newest_id']) },
            finalStates: variant.finalStates,
          };
        }),
      );
      if (!read.ok) return failedOutcome(read.failure);

      const { rows, finalStates } = read.value;
      const snapshot = queueSnapshot(
        rows,
        options.knownStorages(),
        finalStates,
        removed.after(rows),
        options.databaseClock,
      );
      const block = queueBlock(snapshot);
      const unreadable = [
        ...(rows.locks === undefined ? ['table replication_queue_job_lock'] : []),
        ...(rows.newestId === undefined ? ["the sequence of replication_queue's ids"] : []),
      ];
      return unreadable.length === 0
        ? { kind: 'data', block, snapshot }
        : failed(
            'permission',
            `may not read ${unreadable.join(' and ')}: grant SELECT on it (deploy/sql/role.sql has the statements)`,
            block,
            snapshot,
          );
    },
  };
}
