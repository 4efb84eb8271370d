/** One simulated Praefect: a process that can be started and killed, with all that Praefect does by itself. */
import type { Clock } from '../src/lib/clock.ts';
import { checkHealth } from './health.ts';
import type { PraefectContext } from './praefect-context.ts';
import { releaseStale } from './queue.ts';
import type { Random } from './random.ts';
import { reconcile } from './reconciler.ts';
import { replicateOnce } from './replicator.ts';
import { isDatabaseTrouble, openPool, type SqlTarget } from './sql.ts';
import type { Timings } from './timings.ts';
import type { Topology } from './topology.ts';
import { releaseExpiredLeases, verifyOnce } from './verifier.ts';
import type { World } from './world.ts';
import { deleteExpiredWriteLocks } from './write.ts';

export interface PraefectOptions {
  readonly name: string;
  readonly topology: Topology;
  readonly world: World;
  readonly database: SqlTarget;
  readonly clock: Clock;
  readonly random: Random;
  readonly timings: Timings;
  /** One line for people. */
  say(line: string): void;
  /** An error that is no trouble of the database's: a fault in the simulation. */
  onBug(error: unknown): void;
}

export interface Praefect {
  readonly name: string;
  /** What requests through it work with; undefined while it is dead. */
  context(): PraefectContext | undefined;
  start(): void;
  /** SIGKILL: what it held stays as it is in the database. */
  kill(): void;
  /** Kills it, and waits for what was under way. */
  stop(): Promise<void>;
}

export function createPraefect(options: PraefectOptions): Praefect {
  let life: { readonly context: PraefectContext; end(): void; readonly ended: Promise<void> } | undefined;
  const past = new Set<Promise<void>>();

  function kill(): void {
    life?.end();
    life = undefined;
  }

  return {
    name: options.name,
    context: () => life?.context,
    start() {
      if (life !== undefined) return;
      const begun = live(options);
      life = begun;
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

function live(options: PraefectOptions) {
  const { name, topology, world, clock, random, timings, say } = options;
  const death = new AbortController();
  const signal = death.signal;
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

  /** Again and again; a round says how long to wait for the next one. Trouble with the database ends a round only. */
  async function loop(firstAfter: number, round: () => Promise<number>): Promise<void> {
    let wait = firstAfter;
    while (!signal.aborted) {
      await clock.sleep(wait, signal);
      if (signal.aborted) return;
      try {
        wait = await round();
      } catch (error) {
        if (signal.aborted) return;
        if (!isDatabaseTrouble(error)) options.onBug(error);
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
        // An idle worker looks less and less often, at least every fifth time.
        idle = (await replicateOnce(context, virtualStorage)) === 0 ? Math.min(idle + 1, 3) : 0;
        return idle === 0 ? 0 : Math.min(2 ** (idle - 1), 5) * timings.poll;
      });
    }),
    every(timings.checkStale, async () => {
      const released = await releaseStale(pool, timings.staleAfter);
      if (released > 0) say(`${name} released ${released} replication locks that nobody had refreshed`);
    }),
    every(
      timings.reconcile,
      async () => {
        const queued = await reconcile(context);
        if (queued > 0)
          say(`${name}'s reconciler queued ${queued} replication job${queued === 1 ? '' : 's'} anew`);
      },
      // Processes never start at the same instant, and neither do their rounds.
      timings.reconcile * (0.4 + 0.6 * random.next()),
    ),
    every(timings.verify, async () => {
      const lost = await verifyOnce(context);
      const storages = [...new Set(lost.map(({ storage }) => storage))].join(', ');
      const records = lost.length === 1 ? 'the record of a replica' : `${lost.length} records of replicas`;
      if (lost.length > 0) say(`${name}'s verifier deleted ${records} lost on ${storages}`);
    }),
    every(timings.verificationLease, () => releaseExpiredLeases(context)),
    every(timings.cleanWriteLocks, () => deleteExpiredWriteLocks(pool)),
  ];

  return {
    context,
    end: () => death.abort(new Error(`${name} is dead`)),
    ended: Promise.all(loops).then(() => pool.close()),
  };
}
