/** A Praefect's replication workers: one for each virtual storage, which goes round its storages. */

import type { PraefectContext } from './praefect-context.ts';
import { acknowledge, dequeue, type Job, refreshLocks } from './queue.ts';
import type { VirtualStorage } from './topology.ts';

/** `replication.batch_size`. */
const batchSize = 10;

/** Goes once round the healthy storages of a virtual storage. Returns how many jobs it held. */
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

/** One after the other; what became of them is written when the last one is through. */
async function workOn(context: PraefectContext, jobs: readonly Job[]): Promise<void> {
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
  jobs: readonly Job[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(timings.refreshLocks, signal);
    if (signal.aborted) return;
    // A refresh that fails is only a lock that grows old; the batch finds out itself what is wrong.
    await refreshLocks(sql, jobs).catch(() => undefined);
  }
}

/** Copies a repository from source to target, and notes which generation the target has then. */
async function replicate(context: PraefectContext, job: Job): Promise<boolean> {
  const { sql, world } = context;
  const replicas = await sql.query<{ storage: string; generation: number }>(
    'SELECT storage, generation FROM storage_repositories WHERE repository_id = $1 AND storage IN ($2, $3)',
    [job.repositoryId, job.source, job.target],
  );
  const generationOn = (storage: string) => replicas.find((row) => row.storage === storage)?.generation ?? -1;
  const generation = generationOn(job.source);
  if (generation < 0) return false;
  if (generationOn(job.target) >= generation) return true; // an earlier job has copied it already

  if (!(await copy(context, job))) return false;
  if (world.gitaly(job.source).missing.has(job.repositoryId)) {
    await sql.query('DELETE FROM storage_repositories WHERE repository_id = $1 AND storage = $2', [
      job.repositoryId,
      job.source,
    ]);
    return true; // what can't be a source is no replica
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

/** ReplicateRepository on the target. Takes as long as it would, and says whether it worked. */
async function copy(context: PraefectContext, job: Job): Promise<boolean> {
  const { world, timings, clock, signal, random } = context;
  const target = world.gitaly(job.target);
  const fail = async (after: number): Promise<false> => {
    await clock.sleep(after, signal);
    return false;
  };

  if (context.broken.has(job.target)) return fail(timings.refused);
  const begun = clock.monotonic();
  const silent = () => world.contact(context.name, job.target) === 'hangs';
  const hangs = () =>
    target.replication === 'hangs' || (silent() && clock.monotonic() - begun < timings.keepalive);
  const hung = hangs();
  while (!signal.aborted && hangs()) await clock.sleep(100, signal);
  if (silent()) context.broken.add(job.target);
  // Whatever a call waited for, its connection is gone or its reference transaction was rolled back.
  if (hung || world.contact(context.name, job.target) !== 'answers') return fail(timings.refused);
  if (world.contact(context.name, job.source) !== 'answers') return fail(timings.refused);
  if (target.replication === 'refuses' || target.lockedReferences.has(job.repositoryId)) {
    return fail(timings.gitFails);
  }
  const typical = target.replication === 'slow' ? timings.replicateSlowly : timings.replicate;
  await clock.sleep(typical * (0.5 + random.next()), signal);
  return !signal.aborted && world.contact(context.name, job.target) === 'answers';
}
