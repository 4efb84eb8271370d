/** What users do to the cluster: writes, most to a few busy repositories, and now and then a new or removed one. */
import type { Clock } from '../src/lib/clock.ts';
import type { Praefect } from './praefect.ts';
import type { PraefectContext } from './praefect-context.ts';
import type { Random } from './random.ts';
import { createRepository, removeRepository } from './repositories.ts';
import { isDatabaseTrouble, type Sql } from './sql.ts';
import type { Topology } from './topology.ts';
import { type PrimaryMove, type WriteResult, write } from './write.ts';

export interface TrafficOptions {
  readonly topology: Topology;
  readonly praefects: readonly Praefect[];
  readonly clock: Clock;
  readonly random: Random;
  readonly writesPerSecond: number;
  moved(move: PrimaryMove): void;
  onBug(error: unknown): void;
}

export interface Traffic {
  /** Reads which repositories there are; once, before anything else. */
  load(sql: Sql): Promise<void>;
  /** Until the signal aborts; resolves when what was under way has ended. */
  run(signal: AbortSignal): Promise<void>;
  /** One write, through that Praefect or any that lives. */
  write(repositoryId: number, through?: string): Promise<WriteResult>;
  /** A new repository, as when one is restored from a backup. */
  create(virtualStorage: string): Promise<void>;
  remove(repositoryId: number): Promise<void>;
  counts(): Readonly<Record<'ok' | 'failed', number>>;
}

/** One of so many requests creates a repository or removes one. */
const writesPerChange = 75;
/** A client gives up rather than wait behind so many others. */
const inFlightLimit = 24;

export function createTraffic(options: TrafficOptions): Traffic {
  const { topology, praefects, clock, random } = options;
  const repositories = new Map<string, number[]>(topology.virtualStorages.map(({ name }) => [name, []]));
  const counts = { ok: 0, failed: 0 };
  const inFlight = new Set<Promise<void>>();
  /** Virtual storages that have a repository more than at the start. */
  const grown = new Set<string>();

  const idsOf = (virtualStorage: string): number[] => repositories.get(virtualStorage) ?? [];

  async function through<T>(
    name: string | undefined,
    action: (context: PraefectContext) => Promise<T>,
  ): Promise<T | undefined> {
    const living = praefects.filter((praefect) => praefect.context() !== undefined);
    const chosen =
      name === undefined ? random.pick(living) : living.find((praefect) => praefect.name === name);
    const context = chosen?.context();
    if (context === undefined) return undefined;
    try {
      return await action(context);
    } catch (error) {
      if (!context.signal.aborted && !isDatabaseTrouble(error)) options.onBug(error);
      return undefined;
    }
  }

  async function writeOnce(repositoryId: number, name?: string): Promise<WriteResult> {
    const result = (await through(name, (context) => write(context, repositoryId, options.moved))) ?? {
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

  /** A virtual storage gets as many requests as it has repositories. */
  function busyVirtualStorage(): string | undefined {
    const total = [...repositories.values()].reduce((sum, ids) => sum + ids.length, 0);
    let ticket = random.below(total);
    for (const [name, ids] of repositories) {
      if (ticket < ids.length) return name;
      ticket -= ids.length;
    }
    return undefined;
  }

  async function request(): Promise<void> {
    const virtualStorage = busyVirtualStorage();
    if (virtualStorage === undefined) return;
    const ids = idsOf(virtualStorage);
    if (random.below(writesPerChange) === 0) {
      // In turn, so that their number stays. The newest ones are tried and thrown away.
      const newest = ids.at(-1);
      if (newest === undefined || !grown.delete(virtualStorage)) {
        grown.add(virtualStorage);
        return create(virtualStorage);
      }
      return remove(newest);
    }
    // The oldest repositories are the busy ones.
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
        // Exponential gaps: requests come as they come.
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
