/** One simulated Praefect: a process that can be started and killed, with its background tasks. */
import type { Clock } from '../../src/lib/clock.ts';
import { praefectName, type Timings, type Topology } from '../topology.ts';
import type { Random, World } from '../world.ts';
import { reconcile, releaseExpiredLeases, verifyOnce } from './background.ts';
import { isDatabaseFailure, openPool, type PraefectContext, type SqlTarget } from './context.ts';
import { releaseStale, replicateOnce } from './queue.ts';
import { deleteExpiredWriteLocks } from './writes.ts';

interface PraefectOptions {
  readonly name: string;
  readonly topology: Topology;
  readonly world: World;
  readonly database: SqlTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly timings: Timings;
  /** Logs one line on the terminal. */
  log(line: string): void;
  /** Called with an error that the database did not cause: an internal error of the simulation. */
  onBug(error: unknown): void;
}

export interface Praefect {
  readonly name: string;
  /** Undefined while it is dead. */
  context(): PraefectContext | undefined;
  start(): void;
  /** As SIGKILL: its jobs and locks stay in the database. */
  kill(): void;
  /** Kills it and waits until its tasks have ended. */
  stop(): Promise<void>;
}

export function createPraefect(options: PraefectOptions): Praefect {
  let process: { readonly context: PraefectContext; end(): void; readonly ended: Promise<void> } | undefined;
  const past = new Set<Promise<void>>();

  function kill(): void {
    process?.end();
    process = undefined;
  }

  return {
    name: options.name,
    context: () => process?.context,
    start() {
      if (process !== undefined) return;
      const begun = startProcess(options);
      process = begun;
      past.add(begun.ended);
      void begun.ended.then(() => past.delete(begun.ended));
    },
    kill,
    async stop() {
      kill();
      await Promise.all(past);
    },
  };
}

function startProcess(options: PraefectOptions) {
  const { name, topology, world, clock, random, timings, log } = options;
  const killed = new AbortController();
  const { signal } = killed;
  const pool = openPool(options.database, name, signal);
  let healthy: ReadonlySet<string> = new Set();
  const context: PraefectContext = {
    name,
    topology,
    world,
    sql: pool,
    clock,
    random,
    timings,
    signal,
    seesHealthy: (storage) => healthy.has(storage),
    broken: new Set(),
    held: new Set(),
  };

  /** Repeats a round, which returns the wait before the next one. A database failure ends only the current round. */
  async function loop(firstAfter: number, round: () => Promise<number>): Promise<void> {
    let wait = firstAfter;
    while (!signal.aborted) {
      await clock.sleep(wait, signal);
      if (signal.aborted) return;
      try {
        wait = await round();
      } catch (error) {
        if (signal.aborted) return;
        if (!isDatabaseFailure(error)) options.onBug(error);
        wait = timings.poll;
      }
    }
  }
  const every = (ms: number, action: () => Promise<unknown>, firstAfter = ms) =>
    loop(firstAfter, async () => {
      await action();
      return ms;
    });

  const loops = [
    every(
      timings.probe,
      () =>
        checkHealth(context, (found) => {
          healthy = found;
          for (const storage of found) context.broken.delete(storage);
        }),
      0,
    ),
    ...topology.virtualStorages.map((virtualStorage) => {
      let idle = 0;
      return loop(timings.poll, async () => {
        // An idle worker backs off: 1, 2, then 4 poll intervals.
        idle = (await replicateOnce(context, virtualStorage)) === 0 ? Math.min(idle + 1, 3) : 0;
        return idle === 0 ? 0 : Math.min(2 ** (idle - 1), 5) * timings.poll;
      });
    }),
    every(timings.checkStale, async () => {
      const released = await releaseStale(pool, timings.staleAfter);
      if (released > 0) log(`${name} released ${released} replication locks that were no longer refreshed`);
    }),
    every(
      timings.reconcile,
      async () => {
        const queued = await reconcile(context);
        if (queued > 0)
          log(`${name}'s reconciler queued ${queued} replication job${queued === 1 ? '' : 's'}`);
      },
      // Processes do not start at the same time, so their rounds are spread as well.
      timings.reconcile * (0.4 + 0.6 * random.next()),
    ),
    every(timings.verify, async () => {
      const lost = await verifyOnce(context);
      const storages = [...new Set(lost.map(({ storage }) => storage))].join(', ');
      const records = lost.length === 1 ? 'the record of a replica' : `${lost.length} records of replicas`;
      if (lost.length > 0) log(`${name}'s verifier deleted ${records} missing on ${storages}`);
    }),
    every(timings.verificationLease, () => releaseExpiredLeases(context)),
    every(timings.cleanWriteLocks, () => deleteExpiredWriteLocks(pool)),
  ];

  return {
    context,
    end: () => killed.abort(new Error(`${name} was killed`)),
    ended: Promise.all(loops).then(() => pool.close()),
  };
}

/**
 * Checks every Gitaly once, then writes all results in one statement, so that a Praefect's rows have one timestamp.
 * `onResult` runs before the database write, as routing in Praefect changes before it.
 */
async function checkHealth(
  context: PraefectContext,
  onResult: (healthy: ReadonlySet<string>) => void,
): Promise<void> {
  const { topology, world, clock, sql, signal } = context;
  const results = topology.virtualStorages.flatMap(({ name, storages }) =>
    storages.map((storage) => ({
      virtualStorage: name,
      storage,
      response: world.contact(context.name, storage),
    })),
  );
  if (results.some(({ response }) => response === 'hangs')) await clock.sleep(context.timings.probe, signal);
  onResult(new Set(results.filter(({ response }) => response === 'responds').map(({ storage }) => storage)));
  await sql.query(
    `INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
     SELECT $1, shard_name, node_name, now(), CASE WHEN healthy THEN now() END
     FROM unnest($2::text[], $3::text[], $4::bool[]) AS check_result (shard_name, node_name, healthy)
     ON CONFLICT (praefect_name, shard_name, node_name) DO UPDATE
     SET last_contact_attempt_at = EXCLUDED.last_contact_attempt_at,
         last_seen_active_at = coalesce(EXCLUDED.last_seen_active_at, node_status.last_seen_active_at)`,
    [
      praefectName(context.name),
      results.map(({ virtualStorage }) => virtualStorage),
      results.map(({ storage }) => storage),
      results.map(({ response }) => response === 'responds'),
    ],
  );
}
