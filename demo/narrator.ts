/** Tells people what an operator of the cluster would hear of: one line for each notable change, no more. */
import type { Clock } from '../src/lib/clock.ts';
import { isDatabaseTrouble, type Sql } from './sql.ts';
import { storagesOf, type Topology } from './topology.ts';
import type { PrimaryMove } from './write.ts';

export interface Narrator {
  primaryMoved(move: PrimaryMove): void;
  run(signal: AbortSignal): Promise<void>;
}

export interface NarratorOptions {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly topology: Topology;
  say(line: string): void;
}

const lookEveryMs = 1000;
/** Primaries move one write at a time: what moves within this span is told in one line. */
const gatherMovesMs = 5000;
/** Below this a queue is the ordinary coming and going. */
const queueWorthTelling = 10;

export function createNarrator({ sql, clock, topology, say }: NarratorOptions): Narrator {
  let healthy = new Set(storagesOf(topology));
  let reachable = true;
  /** Target -> the depth at which it was last told. */
  const told = new Map<string, number>();
  const moves = new Map<string, number>();
  let movesSince = 0;

  async function look(): Promise<void> {
    const [health, queue] = await Promise.all([
      sql.query<{ storage: string }>('SELECT storage FROM healthy_storages'),
      sql.query<{ target: string; jobs: number }>(
        `SELECT job->>'target_node_storage' AS target, count(*) AS jobs FROM replication_queue GROUP BY 1`,
      ),
    ]);
    if (!reachable) say('the database answers again');
    reachable = true;
    tellHealth(new Set(health.map(({ storage }) => storage)));
    tellQueue(new Map(queue.map(({ target, jobs }) => [target, jobs])));
  }

  function tellHealth(now: Set<string>): void {
    const lost = [...healthy].filter((storage) => !now.has(storage));
    const back = [...now].filter((storage) => !healthy.has(storage));
    if (lost.length > 0) say(`unhealthy by consensus of the Praefects: ${lost.join(', ')}`);
    if (back.length > 0) say(`healthy again: ${back.join(', ')}`);
    healthy = now;
  }

  function tellQueue(now: ReadonlyMap<string, number>): void {
    for (const target of storagesOf(topology)) {
      const jobs = now.get(target) ?? 0;
      const before = told.get(target) ?? 0;
      // Told when it doubles, and when it is empty.
      if (jobs >= Math.max(queueWorthTelling, 2 * before)) {
        say(`${jobs} replication jobs wait for ${target}`);
        told.set(target, jobs);
      } else if (jobs === 0 && before > 0) {
        say(`the queue for ${target} is empty`);
        told.delete(target);
      }
    }
  }

  function tellMoves(): void {
    if (moves.size === 0 || clock.monotonic() - movesSince < gatherMovesMs) return;
    const list = [...moves].map(([route, count]) => `${count} ${route}`);
    say(`primaries moved: ${list.join(', ')}`);
    moves.clear();
  }

  return {
    primaryMoved({ from, to }) {
      if (moves.size === 0) movesSince = clock.monotonic();
      const route = `${from} -> ${to}`;
      moves.set(route, (moves.get(route) ?? 0) + 1);
    },
    async run(signal) {
      while (!signal.aborted) {
        await look().catch((error: unknown) => {
          if (signal.aborted) return;
          if (!isDatabaseTrouble(error)) throw error;
          if (reachable) say('the database does not answer');
          reachable = false;
        });
        tellMoves();
        await clock.sleep(lookEveryMs, signal);
      }
    },
  };
}
