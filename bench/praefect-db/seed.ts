/** Fills a Praefect database with repositories x 3 replicas, all up to date and on healthy storages. */
import type pg from 'pg';

export async function seed(client: pg.Client, repositories: number): Promise<void> {
  // As a replica: Praefect's NOTIFY triggers fail on statements of this size, as their payload is limited.
  await client.query(`SET session_replication_role = replica; SET search_path = public`);
  await client.query(`
    INSERT INTO repositories (virtual_storage, relative_path, generation, "primary", replica_path)
    SELECT 'default', path, n % 50, 'gitaly-' || 1 + n % 3, '@cluster/repositories/' || left(hash, 2) || '/' || substr(hash, 3, 2) || '/' || n
    FROM generate_series(1, ${repositories}) n, LATERAL (SELECT md5(n::text) || md5((-n)::text)) h (hash),
         LATERAL (SELECT '@hashed/' || left(hash, 2) || '/' || substr(hash, 3, 2) || '/' || hash || '.git') p (path)`);
  await client.query(`
    INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id, verified_at)
    SELECT virtual_storage, relative_path, 'gitaly-' || s, generation, repository_id, now() - random() * interval '7 days'
    FROM repositories, generate_series(1, 3) s`);
  await client.query(`
    INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
    SELECT 'praefect-' || p, 'default', 'gitaly-' || s, now(), now() FROM generate_series(1, 3) p, generate_series(1, 3) s`);
  await client.query('VACUUM ANALYZE');
}

/** What Praefects write every second; without it, every storage is unhealthy after 10 s. */
export const heartbeat =
  'UPDATE node_status SET last_contact_attempt_at = now(), last_seen_active_at = now()';

/** Writes to `count` repositories, spread over the table; the replicas of every tenth one on gitaly-3 stay behind. */
export async function write(client: pg.Client, count: number, repositories: number): Promise<void> {
  const step = Math.max(1, Math.floor(repositories / Math.max(1, count)));
  await client.query(`UPDATE repositories SET generation = generation + 1
    WHERE repository_id % ${step} = 0 AND repository_id <= ${step * count}`);
  await client.query(`UPDATE storage_repositories s SET generation = r.generation FROM repositories r
    WHERE r.repository_id = s.repository_id AND r.repository_id % ${step} = 0 AND r.repository_id <= ${step * count}
      AND NOT (s.storage = 'gitaly-3' AND r.repository_id % ${step * 10} = 0)`);
  await reportWrites(client);
}

/** A session reports what it wrote up to 10 s late; a refresh that relies on the counters would not come before that. */
export const reportWrites = (client: pg.Client) => client.query('SELECT pg_stat_force_next_flush()');

/** Praefect's own query for unavailable repositories: those without a row in its view. */
export const nativeQuery = `SELECT virtual_storage, count(*) FROM repositories
  WHERE NOT EXISTS (SELECT FROM valid_primaries WHERE valid_primaries.repository_id = repositories.repository_id)
  GROUP BY virtual_storage`;
