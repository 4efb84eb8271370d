/**
 * The replication queue: what waits, since when, and what nothing will ever finish. Every 10 s.
 *
 * Two statements of one instant. The first is the only pass over the queue: there is no index on state or
 * created_at, so each further question about "all jobs that ..." would cost a pass of its own. The second starts
 * from the few locks of jobs in progress and finds their jobs by primary key.
 */
import { anyValue, counter, gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf, single } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { failed } from '../../../scheduler/outcome.ts';
import type { DatabaseRow } from '../database.ts';
import type { HealthView } from '../health.ts';
import { failedOutcome, numberOf, type QueryContext, textOf, transactionByVariant } from '../query.ts';
import { type ConfiguredStorages, type KnownStorages, knownStorages } from './known-storages.ts';
import { createRemovedCounter } from './removed-counter.ts';

/** The enum replication_job_state. */
export const jobStates = ['ready', 'in_progress', 'failed', 'completed', 'cancelled', 'dead'] as const;
export type JobState = (typeof jobStates)[number];

/** A job in another state is history: nobody will touch it again. */
const liveStates = ['ready', 'in_progress', 'failed'] as const satisfies readonly JobState[];

export const staleReasons = ['lock_expired', 'lock_missing', 'storage_unknown'] as const;

const perTarget = { virtual_storage: anyValue, storage: anyValue } as const;

export const replicationJobs = gauge('praefect_db_replication_jobs', {
  help: 'Jobs in the replication queue by target storage. A healthy cluster has none for more than moments, and a job that has used up its attempts leaves no trace here: a replica that stays behind is seen in praefect_db_replicas_stuck. completed and dead jobs stay only up to GitLab 13.3, dead ones also up to 14.4, where they are history.',
  origin: 'replication_queue',
  labels: { ...perTarget, state: jobStates, change: anyValue },
});

export const oldestJob = gauge('praefect_db_replication_oldest_job_timestamp_seconds', {
  help: "When the oldest job of that state was created, by the database's clock. Absent when there is none.",
  origin: 'replication_queue.created_at',
  unit: 'seconds',
  labels: { ...perTarget, state: jobStates },
});

export const jobsEnqueued = counter('praefect_db_replication_jobs_enqueued_total', {
  help: 'Ids that the queue has given out since the database was made: jobs enqueued, and the gaps that rolled back inserts and crashes of the server leave (a crash up to 32 at once). It survives restarts of everything; a restored database resets it.',
  origin: 'last value of the sequence of replication_queue.id',
});

export const jobsRemoved = counter('praefect_db_replication_jobs_removed_total', {
  help: 'Ids given out up to the look before this one of which no job is left: finished, given up or deleted, and the gaps of praefect_db_replication_jobs_enqueued_total. Absent at the first look.',
  origin: 'last value of the sequence of replication_queue.id, less the rows of replication_queue up to it',
});

export const staleJobs = gauge('praefect_db_replication_stale_jobs', {
  help: 'Jobs that nothing finishes as they are; each counts once. lock_expired: in progress, its lock not refreshed for 60 s, because the Praefect that took it is gone (another one releases it within 90 s, if any runs). lock_missing: in progress without a lock, which nothing ever releases. storage_unknown: not finished, and for a storage that no Praefect contacts; absent where there are no heartbeats and no configuration to tell.',
  origin: 'replication_queue, replication_queue_job_lock, node_status',
  labels: { ...perTarget, reason: staleReasons },
});

export const queueMetrics = [replicationJobs, oldestJob, jobsEnqueued, jobsRemoved, staleJobs] as const;

/**
 * What the other statements may rest on, and the newest id. The sequence may be read only by who has a privilege
 * on it, which SELECT on all tables does not include; has_...() asks before, since a refusal would end the look.
 * pg_sequence_last_value() is null before the first id.
 */
export const queueSourcesSql = `
SELECT has_table_privilege('replication_queue_job_lock', 'SELECT')          AS locks_readable,
       CASE WHEN has_sequence_privilege(ids, 'SELECT') OR has_sequence_privilege(ids, 'USAGE')
            THEN coalesce(pg_sequence_last_value(ids), 0)
       END                                                                  AS newest_id
  FROM (SELECT pg_get_serial_sequence('replication_queue', 'id')::regclass) AS sequence(ids)`;

/**
 * The pass over the queue. created_at is UTC without a zone, which is how extract(epoch) takes a timestamp.
 *
 * Grouped by one array behind OFFSET 0: of expressions over jsonb the planner believes that every row has values
 * of its own, and sorts the whole queue on disk (20 MB at 400,000 rows, twice the time). Behind the fence it
 * guesses 200 groups, and counts them in memory.
 *
 * @param settledId an id known to be committed or rolled back by now: how many jobs are left up to there
 */
export const queueSql = (settledId: number): string => `
SELECT key[1]                                        AS virtual_storage,
       key[2]                                        AS storage,
       key[3]                                        AS state,
       key[4]                                        AS change,
       count(*)                                      AS jobs,
       count(*) FILTER (WHERE id <= ${settledId})    AS settled,
       extract(epoch FROM min(created_at))::float8   AS oldest
  FROM (SELECT id,
               created_at,
               ARRAY[job ->> 'virtual_storage', job ->> 'target_node_storage', state::text, job ->> 'change'] AS key
          FROM replication_queue
        OFFSET 0) AS jobs
 GROUP BY key`;

/** Jobs in progress that have a lock, and those whose lock is old: 60 s, as Praefect's stale check (since 13.1). */
export const locksSql = `
SELECT queue.job ->> 'virtual_storage'               AS virtual_storage,
       queue.job ->> 'target_node_storage'           AS storage,
       count(DISTINCT queue.id)                      AS locked,
       count(DISTINCT queue.id) FILTER
         (WHERE lock.triggered_at < timezone('UTC', now()) - interval '60 seconds') AS expired
  FROM replication_queue_job_lock AS lock
  JOIN replication_queue AS queue ON queue.id = lock.job_id
 WHERE queue.state = 'in_progress'
 GROUP BY 1, 2`;

export interface JobGroup {
  readonly virtual_storage: string;
  readonly storage: string;
  readonly state: JobState;
  readonly change: string;
  readonly jobs: number;
  readonly settled: number;
  /** Seconds since 1970. */
  readonly oldest: number;
}

export interface LockGroup {
  readonly virtual_storage: string;
  readonly storage: string;
  readonly locked: number;
  readonly expired: number;
}

export interface QueueLook {
  readonly groups: readonly JobGroup[];
  /** Undefined: the table of locks may not be read. */
  readonly locks: readonly LockGroup[] | undefined;
  /** Undefined: the sequence may not be read. */
  readonly newestId: number | undefined;
}

const jobGroupOf = (row: DatabaseRow): JobGroup => ({
  virtual_storage: textOf(row['virtual_storage']),
  storage: textOf(row['storage']),
  state: jobStates.find((state) => state === row['state']) ?? 'dead',
  change: textOf(row['change']),
  jobs: numberOf(row['jobs']) ?? 0,
  settled: numberOf(row['settled']) ?? 0,
  oldest: numberOf(row['oldest']) ?? Number.NaN,
});

const lockGroupOf = (row: DatabaseRow): LockGroup => ({
  virtual_storage: textOf(row['virtual_storage']),
  storage: textOf(row['storage']),
  locked: numberOf(row['locked']) ?? 0,
  expired: numberOf(row['expired']) ?? 0,
});

/** The queue of one target storage. */
export interface TargetQueue {
  readonly virtualStorage: string;
  readonly storage: string;
  readonly jobs: readonly { readonly state: JobState; readonly change: string; readonly count: number }[];
  /** When the oldest job of the state was created, in seconds since 1970; states without a job are left out. */
  readonly oldest: ReadonlyMap<JobState, number>;
  /** Undefined: not known, as node_status has no heartbeats or the locks may not be read. */
  readonly stale: Readonly<Record<(typeof staleReasons)[number], number | undefined>>;
}

export interface QueueSnapshot {
  /** Sorted by virtual storage and storage; known storages without jobs included. */
  readonly targets: readonly TargetQueue[];
  /** Undefined: the sequence may not be read. */
  readonly enqueued: number | undefined;
  /** Undefined before the second read, too. */
  readonly removed: number | undefined;
}

/**
 * @param keptStates states in which this variant leaves jobs for good, besides the live ones
 * @param removed what `createRemovedCounter` made of this read
 */
export function queueSnapshot(
  look: QueueLook,
  known: KnownStorages,
  keptStates: readonly JobState[],
  removed: number | undefined,
): QueueSnapshot {
  const places = new Map<string, KnownStorages['places'][number]>();
  for (const { virtual_storage, storage } of [...known.places, ...look.groups])
    places.set(keyOf({ virtual_storage, storage }), { virtual_storage, storage });
  const groups = Map.groupBy(look.groups, keyOf);
  const locks = new Map((look.locks ?? []).map((group) => [keyOf(group), group]));
  const isKept = (state: JobState): boolean =>
    liveStates.some((live) => live === state) || keptStates.includes(state);

  const targets = [...places]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { virtual_storage: virtualStorage, storage }]): TargetQueue => {
      const here = groups.get(key) ?? [];
      const jobs: TargetQueue['jobs'][number][] = [];
      const oldest = new Map<JobState, number>();
      for (const state of jobStates) {
        const inState = here.filter((group) => group.state === state);
        for (const { change, jobs: count } of inState) jobs.push({ state, change, count });
        if (isKept(state) && !inState.some(({ change }) => change === 'update'))
          jobs.push({ state, change: 'update', count: 0 });
        if (inState.length > 0) oldest.set(state, Math.min(...inState.map((each) => each.oldest)));
      }
      const count = (states: readonly JobState[]) =>
        here.reduce((sum, group) => sum + (states.includes(group.state) ? group.jobs : 0), 0);
      const contacted = known.contacted(virtualStorage, storage);
      const lock = contacted === false ? undefined : locks.get(key);
      const inProgress = contacted === false ? 0 : count(['in_progress']);
      const locksKnown = look.locks !== undefined;
      return {
        virtualStorage,
        storage,
        jobs,
        oldest,
        stale: {
          storage_unknown: contacted === undefined ? undefined : contacted ? 0 : count(liveStates),
          lock_expired: locksKnown ? (lock?.expired ?? 0) : undefined,
          lock_missing: locksKnown ? inProgress - (lock?.locked ?? 0) : undefined,
        },
      };
    });
  return { targets, enqueued: look.newestId, removed };
}

export function queueBlock({ targets, enqueued, removed }: QueueSnapshot): Block {
  const jobs = samplesOf(replicationJobs);
  const oldest = samplesOf(oldestJob);
  const stale = samplesOf(staleJobs);
  for (const { virtualStorage: virtual_storage, storage, ...target } of targets) {
    const place = { virtual_storage, storage };
    for (const { state, change, count } of target.jobs) jobs.set({ ...place, state, change }, count);
    for (const [state, createdAt] of target.oldest) oldest.set({ ...place, state }, createdAt);
    for (const reason of ['storage_unknown', 'lock_expired', 'lock_missing'] as const) {
      const count = target.stale[reason];
      if (count !== undefined) stale.set({ ...place, reason }, count);
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

const keyOf = ({ virtual_storage, storage }: { virtual_storage: string; storage: string }): string =>
  JSON.stringify([virtual_storage, storage]);

export interface QueueCollectorOptions extends QueryContext {
  readonly budget: Budget;
  readonly configuredStorages: ConfiguredStorages | undefined;
  /** The newest health, or undefined while there is none. */
  readonly health: () => HealthView | undefined;
}

export function createQueueCollector(options: QueueCollectorOptions): Collector<QueueSnapshot> {
  const removed = createRemovedCounter();
  return {
    name: 'praefect_queue',
    title: 'Replication jobs (replication_queue, replication_queue_job_lock)',
    metrics: queueMetrics,
    schedule: {
      kind: 'interval',
      everyMs: 10_000,
      timeoutMs: 10_000,
      maxAgeMs: 60_000,
      budget: options.budget,
    },
    async collect({ signal }) {
      const asked = await transactionByVariant(
        options,
        { signal, statementTimeoutMs: 8000, purpose: 'the replication queue' },
        async (look, variant) => {
          const [sources] = await look.rows(queueSourcesSql);
          const groups = (await look.rows(queueSql(removed.settledId()))).map(jobGroupOf);
          const locks =
            sources?.['locks_readable'] === true ? (await look.rows(locksSql)).map(lockGroupOf) : undefined;
          return { groups, locks, newestId: numberOf(sources?.['newest_id']), kept: variant.finalStates };
        },
      );
      if (!asked.ok) return failedOutcome(asked.failure);
      if (asked.value === undefined) return { kind: 'empty', why: 'this schema has no replication queue' };

      const { kept, ...look } = asked.value;
      const known = knownStorages(options.configuredStorages, options.health());
      const snapshot = queueSnapshot(look, known, kept, removed.after(look));
      const block = queueBlock(snapshot);
      const unreadable = [
        ...(look.locks === undefined ? ['table replication_queue_job_lock'] : []),
        ...(look.newestId === undefined ? ["the sequence of replication_queue's ids"] : []),
      ];
      return unreadable.length === 0
        ? { kind: 'data', block, snapshot }
        : failed(
            'permission',
            `may not read ${unreadable.join(' and ')}: grant SELECT on it (deploy/sql has the statements)`,
            block,
            snapshot,
          );
    },
  };
}
