/**
 * A write through a Praefect: elect a primary if need be, hold the repository's write lock while its replicas
 * vote, note in the generations who took part, and queue a job for whoever did not.
 */

import type { PraefectContext } from './praefect-context.ts';
import { enqueue } from './queue.ts';
import type { Sql } from './sql.ts';

export type WriteResult =
  | { readonly ok: true }
  /** As the client is told it: a gRPC code and a message. */
  | { readonly ok: false; readonly code: 'Internal' | 'NotFound' | 'FailedPrecondition' | 'Unavailable' };

export interface PrimaryMove {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
}

export async function write(
  context: PraefectContext,
  repositoryId: number,
  moved: (move: PrimaryMove) => void,
): Promise<WriteResult> {
  const { sql, world, clock, timings, random, signal } = context;
  const repository = await findPrimary(context, repositoryId, moved);
  if (repository === undefined) return { ok: false, code: 'NotFound' };
  const { virtualStorage, relativePath, primary } = repository;
  if (!context.seesHealthy(primary)) return { ok: false, code: 'Internal' }; // primary gitaly is not healthy
  const primaryGitaly = world.gitaly(primary);
  if (world.contact(context.name, primary) !== 'answers') return { ok: false, code: 'Unavailable' };
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
    // A primary that can't take its reference lock ends the transaction for all, but its own try counts as done.
    const locked = primaryGitaly.lockedReferences.has(repositoryId);
    const votes = (storage: string) => {
      const gitaly = world.gitaly(storage);
      const trouble = gitaly.missing.has(repositoryId) || gitaly.lockedReferences.has(repositoryId);
      return gitaly.votes && !trouble && world.contact(context.name, storage) === 'answers';
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
    // As Praefect: on a context of its own, and a lock that could not be deleted runs out by itself.
    await sql
      .query('DELETE FROM repository_reference_write_locks WHERE lock_id = $1 AND holder_txn_id = $2', [
        lock,
        transaction,
      ])
      .catch(() => undefined);
  }
}

/**
 * The primary, which is elected anew only here, and only when it is no valid one while another replica is. The
 * row is read again under its lock, so that of two Praefects the second takes what the first elected.
 */
async function findPrimary(
  { sql, random }: PraefectContext,
  repositoryId: number,
  moved: (move: PrimaryMove) => void,
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
  if (now !== null) moved({ virtualStorage, from: was, to: now });
  return { virtualStorage, relativePath, primary: now ?? was };
}

interface Replica {
  readonly storage: string;
  /** -1: no record, although assigned. */
  readonly generation: number;
  /** The repository's own. */
  readonly expected: number;
}

/** A row for each storage that the repository is assigned to: all configured ones when it has no assignments. */
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

/** Only replicas that are at the repository's generation move with it. */
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

/** What a Praefect left that died in the midst of a write. */
export async function deleteExpiredWriteLocks(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM repository_reference_write_locks WHERE expired_at < now()');
}

/** `vs|path`, held for 20 s at most. Praefect has it behind a feature flag in the first releases with the table. */
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
