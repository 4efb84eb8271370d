/** The simulated cluster: Praefects, Gitalys and users on one database. */
import type { Clock } from '../src/lib/clock.ts';
import { isDatabaseFailure, openPool, type Sql, type SqlTarget } from './praefect/context.ts';
import { createPraefect, type Praefect } from './praefect/praefect.ts';
import type { PrimaryChange } from './praefect/writes.ts';
import { storagesOf, type Timings, type Topology } from './topology.ts';
import { type ClusterTraffic, createClusterTraffic } from './traffic.ts';
import { createRandom, createWorld, type World } from './world.ts';

interface ClusterOptions {
  readonly topology: Topology;
  /** Has Praefect's tables, seeded. The user owns them and is not a superuser, as in production. */
  readonly database: SqlTarget;
  readonly clock: Clock;
  readonly seed: number;
  readonly timings: Timings;
  readonly writesPerSecond: number;
  /** Logs a notable change. */
  log(line: string): void;
}

export interface SimulatedCluster {
  readonly topology: Topology;
  readonly timings: Timings;
  readonly clock: Clock;
  readonly world: World;
  readonly traffic: ClusterTraffic;
  praefect(name: string): Praefect;
  /** Errors that the database did not cause: internal errors of the simulation. Tests expect none. */
  bugs(): readonly unknown[];
  /** Stops everything, also after a partial start. */
  stop(): Promise<void>;
}

/** Starts all Praefects, waits until each sees every Gitaly as healthy, then starts the users' traffic. */
export async function startCluster(options: ClusterOptions): Promise<SimulatedCluster> {
  const { topology, clock, timings, log } = options;
  const world = createWorld(topology);
  /** Keyed by message, as an error may repeat every second. */
  const bugs = new Map<string, unknown>();
  const ending = new AbortController();
  const onBug = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    if (!bugs.has(message)) log(`bug in the simulation: ${message}`);
    bugs.set(message, error);
  };

  const praefects = topology.praefects.map((name, index) =>
    createPraefect({
      ...options,
      name,
      world,
      random: createRandom(options.seed + index + 1),
      onBug,
    }),
  );
  const observer = openPool(options.database, 'demo', ending.signal);
  const changes = createChangeLog({ sql: observer, clock, topology, log });
  const traffic = createClusterTraffic({
    topology,
    praefects,
    clock,
    random: createRandom(options.seed),
    writesPerSecond: options.writesPerSecond,
    onPrimaryChange: changes.primaryChanged,
    onBug,
  });

  const running: Promise<void>[] = [];
  const cluster: SimulatedCluster = {
    topology,
    timings,
    clock,
    world,
    traffic,
    praefect(name) {
      const found = praefects.find((praefect) => praefect.name === name);
      if (found === undefined) throw new RangeError(`no Praefect ${name}`);
      return found;
    },
    bugs: () => [...bugs.values()],
    async stop() {
      ending.abort(new Error('the cluster is stopping'));
      await Promise.all([...praefects.map((praefect) => praefect.stop()), ...running]);
      await observer.close();
    },
  };

  try {
    await traffic.load(observer);
    // A short delay between the starts, so that their health checks are spread.
    for (const praefect of praefects) {
      praefect.start();
      await clock.sleep(timings.probe / 10);
    }
    await untilAllHealthy(praefects, storagesOf(topology), clock);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  running.push(traffic.run(ending.signal), changes.run(ending.signal));
  return cluster;
}

async function untilAllHealthy(
  praefects: readonly Praefect[],
  storages: readonly string[],
  clock: Clock,
): Promise<void> {
  const deadline = clock.monotonic() + 10_000;
  const seesAll = (praefect: Praefect) =>
    storages.every((storage) => praefect.context()?.seesHealthy(storage) === true);
  while (!praefects.every(seesAll)) {
    if (clock.monotonic() > deadline) throw new Error('the Praefects did not start within 10 s');
    await clock.sleep(20);
  }
}

/** Logs what an operator of the cluster would see: one line per notable change. */
interface ChangeLog {
  primaryChanged(change: PrimaryChange): void;
  run(signal: AbortSignal): Promise<void>;
}

interface ChangeLogOptions {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly topology: Topology;
  log(line: string): void;
}

const readEveryMs = 1000;
/** Primaries change with single writes: the changes in this time are one line. */
const groupMovesMs = 5000;
/** Below this, a queue is normal. */
const notableQueueDepth = 10;

function createChangeLog({ sql, clock, topology, log }: ChangeLogOptions): ChangeLog {
  let healthy = new Set(storagesOf(topology));
  let reachable = true;
  /** Target -> the depth that was last logged. */
  const loggedDepths = new Map<string, number>();
  const moves = new Map<string, number>();
  let movesSince = 0;

  async function read(): Promise<void> {
    const [health, queue] = await Promise.all([
      sql.query<{ storage: string }>('SELECT storage FROM healthy_storages'),
      sql.query<{ target: string; jobs: number }>(
        `SELECT job->>'target_node_storage' AS target, count(*) AS jobs FROM replication_queue GROUP BY 1`,
      ),
    ]);
    if (!reachable) log('the database responds again');
    reachable = true;
    logHealth(new Set(health.map(({ storage }) => storage)));
    logQueue(new Map(queue.map(({ target, jobs }) => [target, jobs])));
  }

  function logHealth(now: Set<string>): void {
    const lost = [...healthy].filter((storage) => !now.has(storage));
    const back = [...now].filter((storage) => !healthy.has(storage));
    if (lost.length > 0) log(`unhealthy by consensus: ${lost.join(', ')}`);
    if (back.length > 0) log(`healthy again: ${back.join(', ')}`);
    healthy = now;
  }

  function logQueue(now: ReadonlyMap<string, number>): void {
    for (const target of storagesOf(topology)) {
      const jobs = now.get(target) ?? 0;
      const before = loggedDepths.get(target) ?? 0;
      // Logged when it doubles, and when it is empty.
      if (jobs >= Math.max(notableQueueDepth, 2 * before)) {
        log(`${jobs} replication jobs are queued for ${target}`);
        loggedDepths.set(target, jobs);
      } else if (jobs === 0 && before > 0) {
        log(`the replication queue for ${target} is empty`);
        loggedDepths.delete(target);
      }
    }
  }

  function logMoves(): void {
    if (moves.size === 0 || clock.monotonic() - movesSince < groupMovesMs) return;
    const list = [...moves].map(([route, count]) => `${count} ${route}`);
    log(`primaries moved: ${list.join(', ')}`);
    moves.clear();
  }

  return {
    primaryChanged({ from, to }) {
      if (moves.size === 0) movesSince = clock.monotonic();
      const route = `${from} -> ${to}`;
      moves.set(route, (moves.get(route) ?? 0) + 1);
    },
    async run(signal) {
      while (!signal.aborted) {
        await read().catch((error: unknown) => {
          if (signal.aborted) return;
          if (!isDatabaseFailure(error)) throw error;
          if (reachable) log('the database does not respond');
          reachable = false;
        });
        logMoves();
        await clock.sleep(readEveryMs, signal);
      }
    },
  };
}
