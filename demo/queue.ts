/**
 * The replication queue: replication_queue with its two tables of locks, one row of replication_queue_lock for
 * each replica that ever was a target. All times in it are UTC without a zone.
 */
import type { Sql } from './sql.ts';

/** A job as a worker holds it. Only `update` is made here; a `create` is queued as one, too. */
export interface Job {
  readonly id: number;
  /** Attempts that are left. */
  readonly attempt: number;
  readonly repositoryId: number;
  readonly source: string;
  readonly target: string;
}

export interface NewJob {
  readonly repositoryId: number;
  readonly virtualStorage: string;
  readonly relativePath: string;
  readonly source: string;
  readonly target: string;
  readonly correlationId: string;
}

const utcNow = `timezone('UTC', now())`;

/** Queues a job after a write, unless an equal one is `ready` already (since 15.9): it will copy this write, too. */
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
        replica_path: '', // looked up when the job is carried out
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
 * Takes up to `limit` jobs to one target, the oldest of each replica, and an attempt from each. The lock rows stay
 * locked to the end of the statement, so two Praefects never hold jobs for one replica.
 */
export async function dequeue(
  sql: Sql,
  virtualStorage: string,
  target: string,
  limit: number,
): Promise<readonly Job[]> {
  const jobs = await sql.query<Job>(
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

/** Shows that the jobs are still worked on; Praefect does so every 5 s, for the whole batch. */
export async function refreshLocks(sql: Sql, jobs: readonly Job[]): Promise<void> {
  await sql.query(
    `UPDATE replication_queue_job_lock SET triggered_at = ${utcNow} WHERE job_id = ANY($1::bigint[])`,
    [jobs.map(({ id }) => id)],
  );
}

/**
 * Ends a batch. A job that is done goes, and with it the equal ones that were queued before it was taken. A failed
 * one stays as `failed` when it has an attempt left, and else goes without a trace.
 */
export async function acknowledge(
  sql: Sql,
  completed: readonly number[],
  failed: readonly number[],
): Promise<void> {
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

/** Releases what a Praefect held that is gone. The attempt stays spent, and updated_at as it was. */
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
