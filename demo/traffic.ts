/** The traffic of users: writes, most of them to a few busy repositories, and a few creations and removals. */
import type { Clock } from '../src/lib/clock.ts';
import { isDatabaseFailure, type PraefectContext, type Sql } from './praefect/context.ts';
import type { Praefect } from './praefect/praefect.ts';
import {
  createRepository,
  type PrimaryChange,
  removeRepository,
  type WriteResult,
  write,
} from './praefect/writes.ts';
import type { Topology } from './topology.ts';
import type { Random } from './world.ts';

interface ClusterTrafficOptions {
  readonly topology: Topology;
  readonly praefects: readonly Praefect[];
  readonly clock: Clock;
  readonly random: Random;
  readonly writesPerSecond: number;
  onPrimaryChange(change: PrimaryChange): void;
  onBug(error: unknown): void;
}

export interface ClusterTraffic {
  /** Reads the repositories. Call it once, before the other functions. */
  load(sql: Sql): Promise<void>;
  /** Sends requests until the signal aborts; resolves when the last one has ended. */
  run(signal: AbortSignal): Promise<void>;
  /** One write, through the given Praefect or any running one. */
  write(repositoryId: number, through?: string): Promise<WriteResult>;
  /** Creates a repository, as restoring one from a backup does. */
  create(virtualStorage: string): Promise<void>;
  remove(repositoryId: number): Promise<void>;
  counts(): Readonly<Record<'ok' | 'failed', number>>;
}

/** One request of this many creates or removes a repository. */
const writesPerChange = 75;
/** With this many requests in flight, further ones fail immediately. */
const inFlightLimit = 24;

export function createClusterTraffic(options: ClusterTrafficOptions): ClusterTraffic {
  const { topology, praefects, clock, random } = options;
  const repositories = new Map<string, number[]>(topology.virtualStorages.map(({ name }) => [name, []]));
  const counts = { ok: 0, failed: 0 };
  const inFlight = new Set<Promise<void>>();
  /** Virtual storages that have one more repository than at the start. */
  const grown = new Set<string>();

  const idsOf = (virtualStorage: string): number[] => repositories.get(virtualStorage) ?? [];

  async function through<T>(
    name: string | undefined,
    action: (context: PraefectContext) => Promise<T>,
  ): Promise<T | undefined> {
    const running = praefects.filter((praefect) => praefect.context() !== undefined);
    const chosen =
      name === undefined ? random.pick(running) : running.find((praefect) => praefect.name === name);
    const context = chosen?.context();
    if (context === undefined) return undefined;
    try {
      return await action(context);
    } catch (error) {
      if (!context.signal.aborted && !isDatabaseFailure(error)) options.onBug(error);
      return undefined;
    }
  }

  async function writeOnce(repositoryId: number, name?: string): Promise<WriteResult> {
    const result = (await through(name, (context) =>
      write(context, repositoryId, options.onPrimaryChange),
    )) ?? {
      ok: false,
      code: 'Unavailable',
    };
    counts[result.ok ? 'ok' : 'failed'] += 1;
    return result;
  }

  async function create(virtualStorage: string): Promise<void> {
    const definition = topology.virtualStorages.find(({ name }) => name === virtualStorage);
    if (definition === undefined) return;
    const id = await through(undefined, (context) => createRepository(context, definition));
    if (id !== undefined) idsOf(virtualStorage).push(id);
  }

  async function remove(repositoryId: number): Promise<void> {
    await through(undefined, (context) => removeRepository(context.sql, repositoryId));
    for (const ids of repositories.values()) {
      const index = ids.indexOf(repositoryId);
      if (index >= 0) ids.splice(index, 1);
    }
  }

  /** Picks a virtual storage in proportion to its number of repositories. */
  function pickVirtualStorage(): string | undefined {
    const total = [...repositories.values()].reduce((sum, ids) => sum + ids.length, 0);
    let ticket = random.below(total);
    for (const [name, ids] of repositories) {
      if (ticket < ids.length) return name;
      ticket -= ids.length;
    }
    return undefined;
  }

  async function request(): Promise<void> {
    const virtualStorage = pickVirtualStorage();
    if (virtualStorage === undefined) return;
    const ids = idsOf(virtualStorage);
    if (random.below(writesPerChange) === 0) {
      // Creations and removals alternate, so that the number of repositories is constant. The newest one is removed.
      const newest = ids.at(-1);
      if (newest === undefined || !grown.delete(virtualStorage)) {
        grown.add(virtualStorage);
        return create(virtualStorage);
      }
      return remove(newest);
    }
    // The oldest repositories are the busiest.
    const id = ids[Math.floor(ids.length * random.next() ** 2)];
    if (id !== undefined) await writeOnce(id);
  }

  return {
    write: writeOnce,
    create,
    remove,
    counts: () => ({ ...counts }),
    async load(sql) {
      const rows = await sql.query<{ id: number; virtualStorage: string }>(
        `SELECT repository_id AS id, virtual_storage AS "virtualStorage" FROM repositories ORDER BY repository_id`,
      );
      for (const { id, virtualStorage } of rows) idsOf(virtualStorage).push(id);
    },
    async run(signal) {
      while (!signal.aborted) {
        // Exponential gaps: requests are independent of each other.
        await clock.sleep((-Math.log(1 - random.next()) * 1000) / options.writesPerSecond, signal);
        if (signal.aborted) break;
        if (inFlight.size >= inFlightLimit) {
          counts.failed += 1;
          continue;
        }
        const pending = request().finally(() => inFlight.delete(pending));
        inFlight.add(pending);
      }
      await Promise.all(inFlight);
    },
  };
}
