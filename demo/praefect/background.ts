/** A Praefect's background work on replicas: the reconciler queues missing copies, the verifier detects lost ones. */
import { storagesOf } from '../topology.ts';
import { healthyStoragesOf, type PraefectContext } from './context.ts';

/** pg_try_advisory_xact_lock keeps two Praefects from reconciling at the same time. */
const advisoryLock = 1;

/**
 * Queues a job for each assigned replica that is outdated or missing and has none, and returns how many. Skips
 * storages that its own Praefect sees as unhealthy.
 */
export async function reconcile(context: PraefectContext): Promise<number> {
  const healthy = context.topology.virtualStorages.flatMap(({ name }) => {
    const storages = healthyStoragesOf(context, name);
    return storages.length < 2 ? [] : storages.map((storage) => ({ virtualStorage: name, storage }));
  });
  if (healthy.length === 0) return 0;
  const queued = await context.sql.query(
    `WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS mine),
     healthy AS MATERIALIZED (
       SELECT * FROM unnest($2::text[], $3::text[]) AS healthy (virtual_storage, storage)
     ), behind AS (
       SELECT repositories.repository_id, repositories.virtual_storage, repositories.relative_path,
              repositories.generation, healthy.storage AS target
       FROM repositories
       JOIN healthy USING (virtual_storage)
       LEFT JOIN storage_repositories AS replica
         ON replica.repository_id = repositories.repository_id AND replica.storage = healthy.storage
       WHERE replica.generation IS DISTINCT FROM repositories.generation
         AND (NOT EXISTS (SELECT FROM repository_assignments AS a WHERE a.repository_id = repositories.repository_id)
              OR EXISTS (SELECT FROM repository_assignments AS a
                         WHERE a.repository_id = repositories.repository_id AND a.storage = healthy.storage))
         AND NOT EXISTS (
           SELECT FROM replication_queue
           WHERE state NOT IN ('completed', 'cancelled', 'dead') AND job->>'change' = 'update'
             AND job->>'virtual_storage' = repositories.virtual_storage
             AND job->>'relative_path' = repositories.relative_path
             AND job->>'target_node_storage' = healthy.storage)
     ), job AS (
       SELECT behind.*, source.storage AS source
       FROM behind, LATERAL (
         SELECT storage FROM storage_repositories AS replica JOIN healthy USING (virtual_storage, storage)
         WHERE replica.repository_id = behind.repository_id AND replica.generation = behind.generation
         ORDER BY random() LIMIT 1
       ) AS source
       WHERE (SELECT mine FROM turn)
     ), locks AS (
       INSERT INTO replication_queue_lock (id)
       SELECT concat_ws('|', virtual_storage, target, relative_path) FROM job ON CONFLICT (id) DO NOTHING
     )
     INSERT INTO replication_queue (lock_id, job, meta)
     SELECT concat_ws('|', virtual_storage, target, relative_path),
            jsonb_build_object(
              'change', 'update', 'repository_id', repository_id, 'virtual_storage', virtual_storage,
              'relative_path', relative_path, 'source_node_storage', source, 'target_node_storage', target),
            jsonb_build_object('correlation_id', encode(random()::text::bytea, 'base64'))
     FROM job RETURNING id`,
    [
      advisoryLock,
      healthy.map(({ virtualStorage }) => virtualStorage),
      healthy.map(({ storage }) => storage),
    ],
  );
  return queued.length;
}

const batchSize = 25;

/**
 * Checks on the Gitalys' disks the 25 replicas whose verification is oldest and due. The record of a missing replica
 * is deleted; that of the repository stays, so that the loss of all replicas remains visible.
 * Returns the replicas that are missing.
 */
export async function verifyOnce(
  context: PraefectContext,
): Promise<readonly { readonly repositoryId: number; readonly storage: string }[]> {
  const { sql, timings, world } = context;
  const healthy = storagesOf(context.topology).filter((storage) => context.seesHealthy(storage));
  const leased = await sql.query<{ repositoryId: number; storage: string }>(
    `UPDATE storage_repositories AS replica
     SET verification_leased_until = now() + make_interval(secs => $2)
     FROM (
       SELECT repository_id, storage FROM storage_repositories
       WHERE (verified_at IS NULL OR verified_at < now() - make_interval(secs => $1))
         AND verification_leased_until IS NULL AND storage = ANY($3::text[])
       ORDER BY verified_at NULLS FIRST LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
     ) AS due
     WHERE replica.repository_id = due.repository_id AND replica.storage = due.storage
     RETURNING replica.repository_id AS "repositoryId", replica.storage`,
    [timings.verificationInterval / 1000, timings.verificationLease / 1000, healthy, batchSize],
  );
  if (leased.length === 0) return [];

  const checked = leased.map((replica) => {
    const responded = world.contact(context.name, replica.storage) === 'responds';
    const exists = !world.gitaly(replica.storage).missing.has(replica.repositoryId);
    return { ...replica, responded, lost: responded && !exists };
  });
  await sql.query(
    `WITH checked AS (
       SELECT * FROM unnest($1::bigint[], $2::text[], $3::bool[], $4::bool[])
         AS checked (repository_id, storage, responded, lost)
     ), released AS (
       UPDATE storage_repositories AS replica
       SET verification_leased_until = NULL, verified_at = CASE WHEN responded THEN now() ELSE verified_at END
       FROM checked
       WHERE replica.repository_id = checked.repository_id AND replica.storage = checked.storage AND NOT lost
     )
     DELETE FROM storage_repositories AS replica USING checked
     WHERE replica.repository_id = checked.repository_id AND replica.storage = checked.storage AND lost`,
    [
      checked.map(({ repositoryId }) => repositoryId),
      checked.map(({ storage }) => storage),
      checked.map(({ responded }) => responded),
      checked.map(({ lost }) => lost),
    ],
  );
  return checked.filter(({ lost }) => lost);
}

/** Releases leases that expired more than one lease duration ago: their Praefect has died. */
export async function releaseExpiredLeases({ sql, timings }: PraefectContext): Promise<void> {
  await sql.query(
    `UPDATE storage_repositories AS replica SET verification_leased_until = NULL
     FROM (SELECT repository_id, storage FROM storage_repositories
           WHERE verification_leased_until < now() - make_interval(secs => $1)
           LIMIT 25 FOR NO KEY UPDATE SKIP LOCKED) AS expired
     WHERE replica.repository_id = expired.repository_id AND replica.storage = expired.storage`,
    [timings.verificationLease / 1000],
  );
}
