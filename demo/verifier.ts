/** A Praefect's verifier: asks Gitaly whether the replicas of which it has a record are on its disk. */
import type { PraefectContext } from './praefect-context.ts';
import { storagesOf } from './topology.ts';

const batchSize = 25;

/**
 * Takes the 25 replicas whose verification is oldest, when it is due, and looks. A record without a replica is
 * deleted; that of the repository stays, so that the loss of all its replicas can be seen.
 * Returns the replicas that were lost.
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

  const looked = leased.map((replica) => {
    const answered = world.contact(context.name, replica.storage) === 'answers';
    const exists = !world.gitaly(replica.storage).missing.has(replica.repositoryId);
    return { ...replica, answered, lost: answered && !exists };
  });
  await sql.query(
    `WITH looked AS (
       SELECT * FROM unnest($1::bigint[], $2::text[], $3::bool[], $4::bool[])
         AS looked (repository_id, storage, answered, lost)
     ), released AS (
       UPDATE storage_repositories AS replica
       SET verification_leased_until = NULL, verified_at = CASE WHEN answered THEN now() ELSE verified_at END
       FROM looked
       WHERE replica.repository_id = looked.repository_id AND replica.storage = looked.storage AND NOT lost
     )
     DELETE FROM storage_repositories AS replica USING looked
     WHERE replica.repository_id = looked.repository_id AND replica.storage = looked.storage AND lost`,
    [
      looked.map(({ repositoryId }) => repositoryId),
      looked.map(({ storage }) => storage),
      looked.map(({ answered }) => answered),
      looked.map(({ lost }) => lost),
    ],
  );
  return looked.filter(({ lost }) => lost);
}

/** Frees leases that ran out a whole lease ago: whoever held them is gone. */
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
