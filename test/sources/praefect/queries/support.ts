/** The real collectors on a real database, one run at a time, and their samples as text. */
import { readFileSync } from 'node:fs';
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import { type Clock, systemClock } from '../../../../src/lib/clock.ts';
import { type Block, emptyBlock } from '../../../../src/metrics/samples.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import { createEventLog, type EventLog } from '../../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../../src/scheduler/outcome.ts';
import { createDatabase } from '../../../../src/sources/praefect/connection/create-database.ts';
import type { Database } from '../../../../src/sources/praefect/database.ts';
import type { PraefectSource, PraefectSourceOptions } from '../../../../src/sources/praefect/source.ts';
import { lintBlock } from '../../../support/lint-block.ts';
import {
  loadCapture,
  praefectCapture,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { praefectSource } from '../../../support/praefect-source.ts';

export const collectorNames = [
  'praefect_database',
  'praefect_health',
  'praefect_queue',
  'praefect_connections',
  'praefect_tables',
  'praefect_shard_primaries',
  'praefect_write_locks',
] as const;
export type CollectorName = (typeof collectorNames)[number];

export interface OpenedCollectors {
  readonly database: Database;
  readonly events: EventLog;
  /** Number of calls of the wake. */
  wakes(): number;
  health: PraefectSource['health'];
  /** One run; its samples are linted. */
  run(name: CollectorName): Promise<Outcome>;
  /** The samples of one run that must return data. */
  samples(name: CollectorName): Promise<Samples>;
  close(): Promise<void>;
}

/** `name{label="value"}` -> value. */
export type Samples = Readonly<Record<string, number>>;

export function openCollectors(
  connection: DatabaseConnection,
  options: Partial<Pick<PraefectSourceOptions, 'configuredStorages' | 'clock'>> & {
    /** The server's time, for a captured database. */
    readonly takenAt?: Date;
  } = {},
): OpenedCollectors {
  const { takenAt } = options;
  const atCapture: Clock | undefined = takenAt && { ...systemClock, now: () => takenAt.getTime() };
  const clock = options.clock ?? atCapture ?? systemClock;
  const budget = createBudget(1, clock);
  const events = createEventLog(clock);
  const real = createDatabase({ connection, clock: systemClock, budget });
  const database = options.takenAt === undefined ? real : asOf(real, options.takenAt);
  const { collectors, health, viewed } = praefectSource({ ...options, database, budget, clock, events });
  let wakes = 0;
  const { schedule } = viewed.repositories;
  if (schedule.kind === 'interval')
    schedule.wake?.subscribe(() => {
      wakes += 1;
    });

  async function run(name: CollectorName): Promise<Outcome> {
    const collector = collectors.find((each) => each.name === name);
    if (collector === undefined) throw new Error(`no collector ${name}`);
    const outcome = await collector.collect({ signal: AbortSignal.timeout(20_000), cause: 'due' });
    const problems = lintBlock(blockOf(outcome), collector.metrics);
    if (problems.length > 0) throw new Error(problems.join('\n'));
    return outcome;
  }

  return {
    database,
    events,
    health,
    wakes: () => wakes,
    run,
    async samples(name) {
      const outcome = await run(name);
      if (outcome.kind !== 'data') throw new Error(`${name}: ${JSON.stringify(outcome)}`);
      return samplesIn(outcome.block);
    },
    close: () => database.close(),
  };
}

export const blockOf = (outcome: Outcome): Block =>
  outcome.kind === 'empty' ? emptyBlock : (outcome.block ?? emptyBlock);

export function samplesIn(block: Block): Samples {
  return Object.fromEntries(
    block.families.flatMap((family) =>
      'samples' in family
        ? family.samples.map(({ labelValues, value }) => {
            const labels = family.metric.labelNames.map((name, i) => `${name}="${labelValues[i]}"`);
            return [
              `${family.metric.name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}`,
              value,
            ] as const;
          })
        : [],
    ),
  );
}

/** The samples whose series contains all of the words. */
export const only = (samples: Samples, ...words: string[]): Samples =>
  Object.fromEntries(
    Object.entries(samples).filter(([series]) => words.every((word) => series.includes(word))),
  );

/** A captured database, and the moment of its capture, at which `openCollectors` can run the exporter's queries. */
export async function databaseAsOf(
  server: TestPostgres,
  name: string,
): Promise<TestDatabase & { readonly takenAt: Date; readonly clock: Clock }> {
  const capture = praefectCapture(name);
  const database = await server.createDatabase();
  const owner = await database.client();
  await loadCapture(owner, capture);
  await owner.end();
  const clock: Clock = { ...systemClock, now: () => capture.takenAt.getTime(), monotonic: () => 0 };
  return { ...database, takenAt: capture.takenAt, clock };
}

/** A Database whose statements use `moment` as the server's time. */
export function asOf(database: Database, moment: Date): Database {
  const at = (sql: string): string =>
    sql.replaceAll(/pg_catalog\.(now|clock_timestamp)\(\)/g, `timestamptz '${moment.toISOString()}'`);
  return {
    ...database,
    query: (sql, options) => database.query(at(sql), options),
    transaction: (options, body) =>
      database.transaction(options, (transaction) =>
        body({
          rows: (sql) => transaction.rows(at(sql)),
          copy: (sql, onChunk) => transaction.copy(at(sql), onChunk),
        }),
      ),
  };
}

/** The samples of a page that Praefect served. */
export function nativeSamples(capture: string, page: string): Samples {
  const lines = readFileSync(praefectCapture(capture).page(page), 'utf8').split('\n');
  return Object.fromEntries(
    lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

export const schemaVersions = [
  '13.3',
  '13.4',
  '13.5',
  '13.6',
  '13.7',
  '13.8',
  '13.10',
  '14.0',
  '14.3',
  '14.4',
  '14.5',
  '14.6',
  '14.8',
  '14.9',
  '14.10',
  '15.0',
  '15.1',
  '16.7',
  '17.2',
  '19.0',
] as const;
