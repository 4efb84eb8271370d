/** The replication queue, every 10 s: the jobs by target storage and state, and the jobs that nothing will finish. */
import { anyValue, counter, gauge } from '../../../metrics/metric.ts';
import { type Block, createSamples } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { failed } from '../../../scheduler/outcome.ts';
import { collectorNames } from '../collector-names.ts';
import { type DatabaseClock, localTimeNote } from '../database-clock.ts';
import { type DatabaseContext, databaseSchedule, failedOutcome, withVariant } from '../query.ts';
import type { KnownStorages } from './known-storages.ts';
import { type JobState, jobStates, type QueueRows, readQueue } from './queue-rows.ts';

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
  const samples = createSamples(queueMetrics);
  for (const { virtualStorage: virtual_storage, storage, jobs, oldest, stale } of targets) {
    const labels = { virtual_storage, storage };
    for (const { state, change, count } of jobs)
      samples.set(replicationJobs, { ...labels, state, change }, count);
    for (const [state, createdAt] of oldest) samples.set(oldestJob, { ...labels, state }, createdAt);
    for (const reason of ['storage_unknown', 'lock_expired', 'lock_missing'] as const)
      samples.set(staleJobs, { ...labels, reason }, stale[reason]);
  }
  samples.set(jobsEnqueued, {}, enqueued);
  samples.set(jobsRemoved, {}, removed);
  return { families: samples.families() };
}

/** How many jobs the queue has lost, as a counter that never falls and needs no storage of its own. */
interface RemovedCounter {
  /** Pass it to `queueSql` of the next read. */
  settledId(): number;
  /** The value after a read, or undefined while it is unknown. */
  after(rows: Pick<QueueRows, 'jobs' | 'newestId'>): number | undefined;
}

/**
 * Removed jobs are the ids assigned less the jobs left, but not simply those of now: a sequence includes ids of
 * inserts that are not committed yet, so the difference would rise and fall, and Prometheus takes a falling counter
 * for a reset of all it ever counted. So the count ends at the newest id of the previous read, whose inserts have
 * ended since. An insert that takes longer than two reads holds the counter until it is caught up.
 */
export function createRemovedCounter(): RemovedCounter {
  let settledId: number | undefined;
  let highest = 0;
  return {
    settledId: () => settledId ?? 0,
    after({ jobs, newestId }) {
      const upTo = settledId;
      settledId = newestId;
      if (upTo === undefined || newestId === undefined) return undefined;
      // The sequence went back: another database, or a restored one.
      if (newestId < upTo) {
        highest = 0;
        return undefined;
      }
      highest = Math.max(highest, upTo - jobs.reduce((sum, { settled }) => sum + settled, 0));
      return highest;
    },
  };
}

interface QueueCollectorOptions extends DatabaseContext {
  readonly knownStorages: () => KnownStorages;
}

export function createQueueCollector(options: QueueCollectorOptions): Collector<QueueSnapshot> {
  const removed = createRemovedCounter();
  return {
    name: collectorNames.queue,
    title: 'Replication jobs (replication_queue, replication_queue_job_lock)',
    metrics: queueMetrics,
    ...databaseSchedule(options, { everyMs: 10_000, timeoutMs: 10_000, maxAgeMs: 60_000 }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 8000, purpose: 'the replication queue' };
      const read = await withVariant(options, signal, (variant) =>
        options.database.transaction(limits, async (transaction) => ({
          rows: await readQueue(transaction, variant, removed.settledId()),
          finalStates: variant.finalStates,
        })),
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
