/**
 * The replication queue and the workers that process it: replication_queue with its two tables of locks, one row of
 * replication_queue_lock for each replica that ever was a target. All its times are UTC without a time zone.
 */
import type { VirtualStorage } from '../topology.ts';
import type { PraefectContext, Sql } from './context.ts';

/** A job that a worker has taken. The simulation queues only `update`, also for new repositories. */
interface ReplicationJob {
  readonly id: number;
  /** Remaining attempts. */
  readonly attempt: number;
  readonly repositoryId: number;
  readonly source: string;
  readonly target: string;
}

interface NewJob {
  readonly repositoryId: number;
  readonly virtualStorage: string;
  readonly relativePath: string;
  readonly source: string;
  readonly target: string;
  readonly correlationId: string;
}

const utcNow = `timezone('UTC', now())`;

/** Queues a job after a write, unless an equal one is `ready` (since 15.9), which will copy this write as well. */
export async function enqueue(sql: Sql, job: NewJob): Promise<void> {
  await sql.query(
    `WITH lock AS (
       INSERT INTO replication_queue_lock (id) VALUES ($1) ON CONFLICT (id) DO NOTHING
     )
     INSERT INTO replication_queue (lock_id, job, meta)
     SELECT $1, $2::jsonb, $3::jsonb
     WHERE NOT EXISTS (
       SELECT FROM replication_queue
       WHERE state = 'ready' AND job->>'virtual_storage' = $4 AND job->>'relative_path' = $5
         AND job->>'target_node_storage' = $6 AND job->>'change' = 'update' AND job->>'source_node_storage' = $7)`,
    [
      `${job.virtualStorage}|${job.target}|${job.relativePath}`,
      JSON.stringify({
        change: 'update',
        params: null,
        replica_path: '', // resolved when the job runs
        relative_path: job.relativePath,
        repository_id: job.repositoryId,
        virtual_storage: job.virtualStorage,
        source_node_storage: job.source,
        target_node_storage: job.target,
      }),
      JSON.stringify({ correlation_id: job.correlationId }),
      job.virtualStorage,
      job.relativePath,
      job.target,
      job.source,
    ],
  );
}

/**
 * Takes up to `limit` jobs for one target, the oldest of each replica, and uses one attempt of each. The lock rows
 * stay locked to the end of the statement, so that two Praefects never hold jobs for one replica.
 */
async function dequeue(
  sql: Sql,
  virtualStorage: string,
  target: string,
  limit: number,
): Promise<readonly ReplicationJob[]> {
  const jobs = await sql.query<ReplicationJob>(
    `WITH oldest AS MATERIALIZED (
       SELECT lock_id, min(queue.id) AS id
       FROM replication_queue AS queue
       JOIN replication_queue_lock AS lock ON lock.id = lock_id AND NOT lock.acquired
       WHERE job->>'virtual_storage' = $1 AND job->>'target_node_storage' = $2 AND state IN ('ready', 'failed')
       GROUP BY lock_id ORDER BY 2 LIMIT 3 * $3
     ), free AS MATERIALIZED (
       SELECT lock.id FROM replication_queue_lock AS lock JOIN oldest ON oldest.lock_id = lock.id
       WHERE NOT lock.acquired
       ORDER BY oldest.id LIMIT $3 FOR UPDATE OF lock SKIP LOCKED
     ), taken AS (
       UPDATE replication_queue AS queue
       SET state = 'in_progress', updated_at = ${utcNow},
           attempt = CASE WHEN job->>'change' = 'delete_replica' THEN attempt ELSE attempt - 1 END
       FROM oldest JOIN free ON free.id = oldest.lock_id
       WHERE queue.id = oldest.id AND queue.state IN ('ready', 'failed')
       RETURNING queue.id, queue.attempt, queue.job, queue.lock_id
     ), held AS (
       INSERT INTO replication_queue_job_lock (job_id, lock_id, triggered_at)
       SELECT id, lock_id, ${utcNow} FROM taken
     ), acquired AS (
       UPDATE replication_queue_lock SET acquired = true WHERE id IN (SELECT lock_id FROM taken)
     )
     SELECT id, attempt, (job->>'repository_id')::bigint AS "repositoryId",
            job->>'source_node_storage' AS source, job->>'target_node_storage' AS target
     FROM taken`,
    [virtualStorage, target, limit],
  );
  return [...jobs].sort((a, b) => a.id - b.id);
}

/** Marks the whole batch as still in progress, as Praefect does every 5 s. */
async function refreshLocks(sql: Sql, jobs: readonly ReplicationJob[]): Promise<void> {
  await sql.query(
    `UPDATE replication_queue_job_lock SET triggered_at = ${utcNow} WHERE job_id = ANY($1::bigint[])`,
    [jobs.map(({ id }) => id)],
  );
}

/**
 * Ends a batch. A completed job is deleted together with the equal ones that were queued before it started. A failed
 * job stays as `failed` while it has attempts left; otherwise it is deleted.
 */
async function acknowledge(sql: Sql, completed: readonly number[], failed: readonly number[]): Promise<void> {
  await sql.query(
    `WITH done AS (
       DELETE FROM replication_queue WHERE id = ANY($1::bigint[]) AND state = 'in_progress'
       RETURNING id, lock_id, job, updated_at
     ), same AS (
       DELETE FROM replication_queue AS queue USING done
       WHERE queue.state = 'ready' AND queue.lock_id = done.lock_id AND queue.created_at < done.updated_at
         AND queue.job->>'change' = done.job->>'change'
         AND queue.job->>'source_node_storage' = done.job->>'source_node_storage'
         AND queue.job->>'virtual_storage' = done.job->>'virtual_storage'
         AND queue.job->>'relative_path' = done.job->>'relative_path'
     ), again AS (
       UPDATE replication_queue SET state = 'failed', updated_at = ${utcNow}
       WHERE id = ANY($2::bigint[]) AND state = 'in_progress' AND attempt > 0
       RETURNING id
     ), dead AS (
       DELETE FROM replication_queue WHERE id = ANY($2::bigint[]) AND state = 'in_progress' AND attempt <= 0
       RETURNING id
     ), released AS (
       DELETE FROM replication_queue_job_lock
       WHERE job_id IN (SELECT id FROM done UNION ALL SELECT id FROM again UNION ALL SELECT id FROM dead)
       RETURNING lock_id
     )
     UPDATE replication_queue_lock SET acquired = false WHERE id IN (SELECT lock_id FROM released)`,
    [completed, failed],
  );
}

/** Releases the jobs of a Praefect that died. The attempt stays used and updated_at unchanged. */
export async function releaseStale(sql: Sql, staleAfterMs: number): Promise<number> {
  const released = await sql.query(
    `WITH stale AS (
       DELETE FROM replication_queue_job_lock
       WHERE triggered_at < ${utcNow} - make_interval(secs => $1)
       RETURNING job_id, lock_id
     ), again AS (
       UPDATE replication_queue SET state = 'failed' WHERE id IN (SELECT job_id FROM stale) AND attempt > 0
     ), dead AS (
       DELETE FROM replication_queue WHERE id IN (SELECT job_id FROM stale) AND attempt <= 0
     )
     UPDATE replication_queue_lock SET acquired = false WHERE id IN (SELECT lock_id FROM stale) RETURNING id`,
    [staleAfterMs / 1000],
  );
  return released.length;
}

// --- The workers: one for each virtual storage

/** `replication.batch_size`. */
const batchSize = 10;

/** Takes one batch for each healthy storage of a virtual storage. Returns the number of jobs that ran. */
export async function replicateOnce(
  context: PraefectContext,
  { name, storages }: VirtualStorage,
): Promise<number> {
  let held = 0;
  for (const target of storages) {
    if (!context.seesHealthy(target)) continue;
    const jobs = await dequeue(context.sql, name, target, batchSize);
    if (jobs.length > 0) await workOn(context, jobs);
    held += jobs.length;
  }
  return held;
}

/** Runs the jobs one after the other and writes all outcomes when the last one has finished. */
async function workOn(context: PraefectContext, jobs: readonly ReplicationJob[]): Promise<void> {
  const batch = new AbortController();
  const refreshing = keepRefreshing(context, jobs, AbortSignal.any([context.signal, batch.signal]));
  for (const { id } of jobs) context.held.add(id);
  try {
    const completed: number[] = [];
    const failed: number[] = [];
    for (const job of jobs) ((await replicate(context, job)) ? completed : failed).push(job.id);
    await acknowledge(context.sql, completed, failed);
  } finally {
    for (const { id } of jobs) context.held.delete(id);
    batch.abort();
    await refreshing;
  }
}

async function keepRefreshing(
  { clock, timings, sql }: PraefectContext,
  jobs: readonly ReplicationJob[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(timings.refreshLocks, signal);
    if (signal.aborted) return;
    // A failed refresh only lets the lock age; the batch reports the error itself.
    await refreshLocks(sql, jobs).catch(() => undefined);
  }
}

/** Copies a repository from source to target and records the target's new generation. */
async function replicate(context: PraefectContext, job: ReplicationJob): Promise<boolean> {
  const { sql, world } = context;
  const replicas = await sql.query<{ storage: string; generation: number }>(
    'SELECT storage, generation FROM storage_repositories WHERE repository_id = $1 AND storage IN ($2, $3)',
    [job.repositoryId, job.source, job.target],
  );
  const generationOn = (storage: string) => replicas.find((row) => row.storage === storage)?.generation ?? -1;
  const generation = generationOn(job.source);
  if (generation < 0) return false;
  if (generationOn(job.target) >= generation) return true; // an earlier job has copied it

  if (!(await copy(context, job))) return false;
  if (world.gitaly(job.source).missing.has(job.repositoryId)) {
    await sql.query('DELETE FROM storage_repositories WHERE repository_id = $1 AND storage = $2', [
      job.repositoryId,
      job.source,
    ]);
    return true; // a replica that is missing on disk cannot be a source
  }
  world.gitaly(job.target).missing.delete(job.repositoryId);
  await sql.query(
    `INSERT INTO storage_repositories (repository_id, virtual_storage, relative_path, storage, generation)
     SELECT repository_id, virtual_storage, relative_path, $2, $3 FROM repositories WHERE repository_id = $1
     ON CONFLICT (repository_id, storage) DO UPDATE SET generation = EXCLUDED.generation`,
    [job.repositoryId, job.target, generation],
  );
  return true;
}

/** ReplicateRepository on the target, with its duration. Resolves with whether it succeeded. */
async function copy(context: PraefectContext, job: ReplicationJob): Promise<boolean> {
  const { world, timings, clock, signal, random } = context;
  const target = world.gitaly(job.target);
  const fail = async (after: number): Promise<false> => {
    await clock.sleep(after, signal);
    return false;
  };

  if (context.broken.has(job.target)) return fail(timings.refused);
  const begun = clock.monotonic();
  const isSilent = () => world.contact(context.name, job.target) === 'hangs';
  const hangs = () =>
    target.replication === 'hangs' || (isSilent() && clock.monotonic() - begun < timings.keepalive);
  const hung = hangs();
  while (!signal.aborted && hangs()) await clock.sleep(100, signal);
  if (isSilent()) context.broken.add(job.target);
  // A call that hung has lost its connection, or its reference transaction was rolled back.
  if (hung || world.contact(context.name, job.target) !== 'responds') return fail(timings.refused);
  if (world.contact(context.name, job.source) !== 'responds') return fail(timings.refused);
  if (target.replication === 'refuses' || target.lockedReferences.has(job.repositoryId)) {
    return fail(timings.gitFails);
  }
  const typical = target.replication === 'slow' ? timings.replicateSlowly : timings.replicate;
  await clock.sleep(typical * (0.5 + random.next()), signal);
  return !signal.aborted && world.contact(context.name, job.target) === 'responds';
}
