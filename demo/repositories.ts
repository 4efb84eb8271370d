/** Repositories come and go: what Praefect writes when one is created, removed, or given up for lost. */

import { healthyStoragesOf, type PraefectContext } from './praefect-context.ts';
import { enqueue } from './queue.ts';
import type { Sql } from './sql.ts';
import type { VirtualStorage } from './topology.ts';

/**
 * Creates a repository on a healthy primary. Healthy secondaries take part; the others get a job, which is queued
 * as `update`. Returns its id, or undefined when no storage is healthy.
 */
export async function createRepository(
  context: PraefectContext,
  virtualStorage: VirtualStorage,
): Promise<number | undefined> {
  const { sql, random } = context;
  const healthy = healthyStoragesOf(context, virtualStorage.name);
  const primary = random.pick(healthy);
  if (primary === undefined) return undefined;
  const { replicationFactor } = virtualStorage;
  const others = virtualStorage.storages.filter((storage) => storage !== primary);
  const secondaries = replicationFactor === undefined ? others : others.slice(0, replicationFactor - 1);
  const [created] = await sql.query<{ repositoryId: number; relativePath: string }>(
    `WITH id AS MATERIALIZED (
       SELECT nextval('repositories_repository_id_seq') AS id
     ), path AS (
       SELECT id, encode(sha256(('project ' || id)::bytea), 'hex') AS project, encode(sha256(id::text::bytea), 'hex') AS hash
       FROM id
     ), repository AS (
       INSERT INTO repositories (virtual_storage, relative_path, generation, "primary", repository_id, replica_path)
       SELECT $1, format('@hashed/%s/%s/%s.git', left(project, 2), substr(project, 3, 2), project), 0, $2, id,
              format('@cluster/repositories/%s/%s/%s', left(hash, 2), substr(hash, 3, 2), id)
       FROM path RETURNING repository_id, relative_path
     ), replicas AS (
       INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id, verified_at)
       SELECT $1, relative_path, storage, 0, repository_id, now() FROM repository, unnest($3::text[]) AS replica (storage)
     ), assignments AS (
       INSERT INTO repository_assignments (virtual_storage, relative_path, storage, repository_id)
       SELECT $1, relative_path, storage, repository_id FROM repository, unnest($4::text[]) AS assigned (storage)
     )
     SELECT repository_id AS "repositoryId", relative_path AS "relativePath" FROM repository`,
    [
      virtualStorage.name,
      primary,
      [primary, ...secondaries.filter((storage) => healthy.includes(storage))],
      replicationFactor === undefined ? [] : [primary, ...secondaries],
    ],
  );
  if (created === undefined) return undefined;
  for (const target of secondaries.filter((storage) => !healthy.includes(storage))) {
    await enqueue(sql, {
      ...created,
      virtualStorage: virtualStorage.name,
      source: primary,
      target,
      correlationId: `create-${created.repositoryId}`,
    });
  }
  return created.repositoryId;
}

/** Deletes a repository with all records of it, as RemoveRepository and `praefect remove-repository` do. */
export async function removeRepository(sql: Sql, repositoryId: number): Promise<void> {
  await sql.query('DELETE FROM repositories WHERE repository_id = $1', [repositoryId]);
}
