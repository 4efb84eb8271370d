/** A Praefect's reconciler: queues a job for each assigned replica that is behind or missing and has none. */
import { healthyStoragesOf, type PraefectContext } from './praefect-context.ts';

/** pg_try_advisory_xact_lock keeps the Praefects from doing it twice; the number is only theirs. */
const advisoryLock = 1;

/** Returns how many jobs it queued. Leaves alone what its Praefect itself can't reach. */
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
