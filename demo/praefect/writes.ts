/**
 * The database writes of requests through a Praefect. A write elects a primary if needed, holds the repository's
 * write lock while its replicas vote, records in the generations which replicas took part, and queues a job for each
 * of the others.
 */
import type { VirtualStorage } from '../topology.ts';
import { healthyStoragesOf, type PraefectContext, type Sql } from './context.ts';
import { enqueue } from './queue.ts';

export type WriteResult =
  | { readonly ok: true }
  /** The gRPC code that the client receives. */
  | { readonly ok: false; readonly code: 'Internal' | 'NotFound' | 'FailedPrecondition' | 'Unavailable' };

export interface PrimaryChange {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
}

export async function write(
  context: PraefectContext,
  repositoryId: number,
  onPrimaryChange: (change: PrimaryChange) => void,
): Promise<WriteResult> {
  const { sql, world, clock, timings, random, signal } = context;
  const repository = await findPrimary(context, repositoryId, onPrimaryChange);
  if (repository === undefined) return { ok: false, code: 'NotFound' };
  const { virtualStorage, relativePath, primary } = repository;
  if (!context.seesHealthy(primary)) return { ok: false, code: 'Internal' }; // primary gitaly is not healthy
  const primaryGitaly = world.gitaly(primary);
  if (world.contact(context.name, primary) !== 'responds') return { ok: false, code: 'Unavailable' };
  if (primaryGitaly.missing.has(repositoryId)) return { ok: false, code: 'NotFound' };

  const lock = `${virtualStorage}|${relativePath}`;
  const transaction = Math.floor(random.next() * 2 ** 48);
  if (!(await lockReferences(context, lock, transaction))) return { ok: false, code: 'Unavailable' };
  try {
    const replicas = await findReplicas(context, repositoryId);
    const consistent = (storage: string) =>
      replicas.some((replica) => replica.storage === storage && replica.generation === replica.expected);
    if (!consistent(primary)) return { ok: false, code: 'Internal' }; // the repository is read-only
    await clock.sleep(timings.write * (0.5 + random.next()), signal);
    // A primary that cannot take its reference lock aborts the transaction for all, yet its own attempt is recorded.
    const locked = primaryGitaly.lockedReferences.has(repositoryId);
    const votes = (storage: string) => {
      const gitaly = world.gitaly(storage);
      const cannotWrite = gitaly.missing.has(repositoryId) || gitaly.lockedReferences.has(repositoryId);
      return gitaly.votes && !cannotWrite && world.contact(context.name, storage) === 'responds';
    };
    const updated = replicas
      .map(({ storage }) => storage)
      .filter((storage) => storage !== primary && !locked && consistent(storage))
      .filter((storage) => context.seesHealthy(storage) && votes(storage));
    await incrementGeneration(context, repositoryId, [primary, ...updated]);
    for (const { storage } of replicas) {
      if (storage === primary || updated.includes(storage)) continue;
      await enqueue(sql, {
        repositoryId,
        virtualStorage,
        relativePath,
        source: primary,
        target: storage,
        correlationId: transaction.toString(16).padStart(26, '0'),
      });
    }
    return locked ? { ok: false, code: 'FailedPrecondition' } : { ok: true };
  } finally {
    // As Praefect: independent of the request's context. A lock that could not be deleted expires.
    await sql
      .query('DELETE FROM repository_reference_write_locks WHERE lock_id = $1 AND holder_txn_id = $2', [
        lock,
        transaction,
      ])
      .catch(() => undefined);
  }
}

/**
 * The repository's primary. An election happens only here, and only when the primary is not valid while another
 * replica is. The row is read again under its lock, so that of two Praefects the second uses what the first elected.
 */
async function findPrimary(
  { sql, random }: PraefectContext,
  repositoryId: number,
  onPrimaryChange: (change: PrimaryChange) => void,
): Promise<{ virtualStorage: string; relativePath: string; primary: string } | undefined> {
  const [row] = await sql.query<{
    virtualStorage: string;
    relativePath: string;
    was: string;
    now: string | null;
  }>(
    `WITH valid AS MATERIALIZED (
       SELECT storage FROM valid_primaries WHERE repository_id = $1
     ), reread AS MATERIALIZED (
       SELECT "primary" FROM repositories
       WHERE repository_id = $1 AND EXISTS (SELECT FROM valid)
         AND "primary" NOT IN (SELECT storage FROM valid)
       FOR NO KEY UPDATE
     ), elected AS (
       UPDATE repositories
       SET "primary" = (SELECT storage FROM valid ORDER BY md5(storage || $2) LIMIT 1)
       FROM reread
       WHERE repository_id = $1 AND reread."primary" NOT IN (SELECT storage FROM valid)
       RETURNING repositories."primary"
     )
     SELECT virtual_storage AS "virtualStorage", relative_path AS "relativePath",
            coalesce((SELECT "primary" FROM reread), "primary") AS was, (SELECT "primary" FROM elected) AS now
     FROM repositories WHERE repository_id = $1`,
    [repositoryId, String(random.next())],
  );
  if (row === undefined) return undefined;
  const { virtualStorage, relativePath, was, now } = row;
  if (now !== null) onPrimaryChange({ virtualStorage, from: was, to: now });
  return { virtualStorage, relativePath, primary: now ?? was };
}

interface Replica {
  readonly storage: string;
  /** -1 for an assigned replica without a record. */
  readonly generation: number;
  /** The repository's own. */
  readonly expected: number;
}

/** One row for each assigned storage: all configured ones when the repository has no assignments. */
function findReplicas({ sql, topology }: PraefectContext, repositoryId: number): Promise<readonly Replica[]> {
  const configured = topology.virtualStorages.flatMap(({ name, storages }) =>
    storages.map((storage) => ({ name, storage })),
  );
  return sql.query<Replica>(
    `SELECT configured.storage, coalesce(replica.generation, -1) AS generation, repositories.generation AS expected
     FROM repositories
     JOIN unnest($2::text[], $3::text[]) AS configured (virtual_storage, storage) USING (virtual_storage)
     LEFT JOIN storage_repositories AS replica
       ON replica.repository_id = repositories.repository_id AND replica.storage = configured.storage
     WHERE repositories.repository_id = $1
       AND (NOT EXISTS (SELECT FROM repository_assignments WHERE repository_id = $1)
            OR EXISTS (SELECT FROM repository_assignments AS a
                       WHERE a.repository_id = $1 AND a.storage = configured.storage))`,
    [repositoryId, configured.map(({ name }) => name), configured.map(({ storage }) => storage)],
  );
}

/** Increments only the replicas that are at the repository's generation. */
async function incrementGeneration(
  { sql }: PraefectContext,
  repositoryId: number,
  storages: readonly string[],
): Promise<void> {
  await sql.query(
    `WITH updated AS (
       UPDATE storage_repositories AS replica SET generation = replica.generation + 1
       FROM (SELECT repository_id, generation FROM repositories WHERE repository_id = $1 FOR NO KEY UPDATE) AS repository
       WHERE replica.repository_id = $1 AND replica.storage = ANY($2::text[])
         AND replica.generation = repository.generation
       RETURNING replica.repository_id
     )
     UPDATE repositories SET generation = generation + 1
     WHERE repository_id = $1 AND EXISTS (SELECT FROM updated)`,
    [repositoryId, storages],
  );
}

/** Removes the locks of Praefects that died during a write. */
export async function deleteExpiredWriteLocks(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM repository_reference_write_locks WHERE expired_at < now()');
}

/** Locks `vs|path` for at most 20 s. In the first releases with this table it is behind a feature flag. */
async function lockReferences({ sql }: PraefectContext, lock: string, transaction: number): Promise<boolean> {
  const held = await sql.query(
    `INSERT INTO repository_reference_write_locks AS lock (lock_id, holder_txn_id, expired_at)
     VALUES ($1, $2, now() + interval '20 seconds')
     ON CONFLICT (lock_id) DO UPDATE
     SET holder_txn_id = EXCLUDED.holder_txn_id, expired_at = EXCLUDED.expired_at
     WHERE lock.expired_at < now() OR lock.holder_txn_id = EXCLUDED.holder_txn_id
     RETURNING lock_id`,
    [lock, transaction],
  );
  return held.length > 0;
}

// --- Repositories are created and removed

/**
 * Creates a repository on a healthy primary and the healthy secondaries; the others get an `update` job.
 * Returns its id, or undefined when no storage is healthy.
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

/** Deletes a repository with all its records, as RemoveRepository and `praefect remove-repository` do. */
export async function removeRepository(sql: Sql, repositoryId: number): Promise<void> {
  await sql.query('DELETE FROM repositories WHERE repository_id = $1', [repositoryId]);
}
