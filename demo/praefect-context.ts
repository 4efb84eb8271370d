/** What every part of a simulated Praefect works with. */
import type { Clock } from '../src/lib/clock.ts';
import type { Random } from './random.ts';
import type { Sql } from './sql.ts';
import type { Timings } from './timings.ts';
import type { Topology } from './topology.ts';
import type { World } from './world.ts';

export interface PraefectContext {
  readonly name: string;
  readonly topology: Topology;
  readonly world: World;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly random: Random;
  readonly timings: Timings;
  /** Aborts when this Praefect's process ends, however it ends. */
  readonly signal: AbortSignal;
  /** What it found at its own last health check; routing and replication rest on that, not on the consensus. */
  seesHealthy(storage: string): boolean;
  /** Storages on whose connection gRPC has given up; a health check that is answered opens it again. */
  readonly broken: Set<string>;
  /** Ids of the replication jobs that its workers hold. */
  readonly held: Set<number>;
}

/** The storages of a virtual storage that this Praefect itself sees healthy. */
export const healthyStoragesOf = (context: PraefectContext, virtualStorage: string): readonly string[] =>
  context.topology.virtualStorages
    .filter(({ name }) => name === virtualStorage)
    .flatMap(({ storages }) => storages)
    .filter((storage) => context.seesHealthy(storage));
