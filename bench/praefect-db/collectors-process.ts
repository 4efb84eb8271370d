/**
 * The collectors of Praefect's database in a separate process, so that their memory and event loop are measured alone.
 * index.ts starts it with the server's port and the database's name, and sends it commands.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { DatabaseConnection } from '../../src/config/database-connection.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { Secret } from '../../src/lib/secret.ts';
import { createBudget } from '../../src/scheduler/budget.ts';
import { createEventLog } from '../../src/scheduler/event-log.ts';
import { createDatabase } from '../../src/sources/praefect/connection/create-database.ts';
import { createPraefectSource } from '../../src/sources/praefect/source.ts';
import { measureBlocks } from '../blocks.ts';

export interface RunCommand {
  /** Names of collectors. */
  readonly run: readonly string[] | 'all';
}
export interface RunReport {
  /** Milliseconds by collector. */
  readonly durations: Readonly<Record<string, number>>;
  readonly databaseMs: number;
  readonly residentBytes: number;
  /** By the clock, including other processes of the machine. */
  readonly longestBlockMs: number;
  /** In CPU time. */
  readonly longestCpuMs: number;
  readonly failures: readonly string[];
}

const [port, name, user, password, maxTimeRatio] = process.argv.slice(2);
const connection: DatabaseConnection = {
  host: '127.0.0.1',
  port: Number(port),
  database: String(name),
  user: String(user),
  password: async () => new Secret(String(password)),
  ssl: { mode: 'disable' },
  connectTimeoutMs: 5000,
};
const clock = systemClock;
const budget = createBudget(Number(maxTimeRatio), clock);
const database = createDatabase({ connection, clock, budget });
const source = createPraefectSource({
  database,
  budget,
  clock,
  events: createEventLog(clock),
  configuredStorages: undefined,
  refreshIntervalMs: 15_000,
  maxStalenessMs: 300_000,
  healthIntervalMs: 1000,
  statementTimeoutMs: 30_000,
  stuckThresholdMs: 900_000,
});

const blocks = measureBlocks();

async function run(command: RunCommand): Promise<RunReport> {
  blocks.reset();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const durations: Record<string, number> = {};
  const failures: string[] = [];
  const spent = budget.spentSeconds();
  for (const collector of source.collectors) {
    if (command.run !== 'all' && !command.run.includes(collector.name)) continue;
    const start = performance.now();
    const outcome = await collector.collect({ signal: new AbortController().signal, cause: 'due' });
    durations[collector.name] = performance.now() - start;
    if (outcome.kind === 'failed') failures.push(`${collector.name}: ${outcome.message}`);
  }
  delay.disable();
  const longestCpuMs = blocks.longestMs();
  return {
    durations,
    databaseMs: (budget.spentSeconds() - spent) * 1000,
    residentBytes: process.memoryUsage.rss(),
    longestCpuMs,
    longestBlockMs: Math.max(0, delay.max / 1e6 - 1),
    failures,
  };
}

process.on('message', (command: RunCommand) => {
  run(command).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
