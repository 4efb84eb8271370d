/** The living cluster: Praefects, Gitalys and users around one database. */
import type { Clock } from '../src/lib/clock.ts';
import { createNarrator } from './narrator.ts';
import { createPraefect, type Praefect } from './praefect.ts';
import { createRandom } from './random.ts';
import { openPool, type SqlTarget } from './sql.ts';
import type { Timings } from './timings.ts';
import { storagesOf, type Topology } from './topology.ts';
import { createTraffic, type Traffic } from './traffic.ts';
import { createWorld, type World } from './world.ts';

export interface ClusterOptions {
  readonly topology: Topology;
  /** Holds Praefect's tables, seeded. The user owns them and is no superuser, as Praefect's is. */
  readonly database: SqlTarget;
  readonly clock: Clock;
  readonly seed: number;
  readonly timings: Timings;
  readonly writesPerSecond: number;
  /** One line for people about something notable. */
  say(line: string): void;
}

export interface Cluster {
  readonly topology: Topology;
  readonly timings: Timings;
  readonly clock: Clock;
  readonly world: World;
  readonly traffic: Traffic;
  praefect(name: string): Praefect;
  /** Errors that are no trouble of the database's: faults of the simulation. Empty, or a test fails. */
  bugs(): readonly unknown[];
  /** Ends everything, however far it had come. */
  stop(): Promise<void>;
}

/** Starts all Praefects, waits until each has seen every Gitaly, then lets the users in. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { topology, clock, timings, say } = options;
  const world = createWorld(topology);
  /** By message: a fault comes back every second. */
  const bugs = new Map<string, unknown>();
  const end = new AbortController();
  const onBug = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error);
    if (!bugs.has(message)) say(`a fault in the simulation: ${message}`);
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
  const observer = openPool(options.database, 'demo', end.signal);
  const narrator = createNarrator({ sql: observer, clock, topology, say });
  const traffic = createTraffic({
    topology,
    praefects,
    clock,
    random: createRandom(options.seed),
    writesPerSecond: options.writesPerSecond,
    moved: narrator.primaryMoved,
    onBug,
  });

  const running: Promise<void>[] = [];
  const cluster: Cluster = {
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
      end.abort(new Error('the cluster stops'));
      await Promise.all([...praefects.map((praefect) => praefect.stop()), ...running]);
      await observer.close();
    },
  };

  try {
    await traffic.load(observer);
    // A moment between one and the next, so that their health checks do not fall together.
    for (const praefect of praefects) {
      praefect.start();
      await clock.sleep(timings.probe / 10);
    }
    await untilAllSeen(praefects, storagesOf(topology), clock);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  running.push(traffic.run(end.signal), narrator.run(end.signal));
  return cluster;
}

async function untilAllSeen(
  praefects: readonly Praefect[],
  storages: readonly string[],
  clock: Clock,
): Promise<void> {
  const deadline = clock.monotonic() + 10_000;
  const seen = (praefect: Praefect) =>
    storages.every((storage) => praefect.context()?.seesHealthy(storage) === true);
  while (!praefects.every(seen)) {
    if (clock.monotonic() > deadline) throw new Error('the Praefects did not come up within 10 s');
    await clock.sleep(20);
  }
}
