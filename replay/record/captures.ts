/**
 * Records the captured incidents of real clusters: their databases, moment after moment, in a real PostgreSQL that
 * the exporter reads. A captured moment lasts seconds; here each lasts ten minutes, because alerts wait for minutes.
 */
import type { Collection } from '../../src/app/collectors.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { expositionText } from '../../src/metrics/exposition.ts';
import type { TestDatabase, TestPostgres } from '../../test/support/postgres.ts';
import { loadCapture, praefectCapture, reloadCapture } from '../../test/support/praefect-fixtures.ts';
import { startCollection } from '../collection.ts';
import type { Happening, RecordedScrapes } from '../recording.ts';
import { isTime, seriesIn, withTarget } from '../series.ts';
import type { Value } from '../values.ts';
import type { CapturedIncident, CapturedMoment } from './captured-incidents.ts';

const stepSeconds = 15;
const momentMinutes = 10;
/** Ordinary operation before, and after if the last moment is healthy. */
const quietMinutes = 5;
/** How long the exporter reads each moment; the threshold for stuck replicas is reduced in proportion. */
const readMs = 4000;
const stuckMs = Math.round((readMs * 15) / momentMinutes);
const ageMs = 500;
/** A timestamp that is younger at a moment advances; an older one is constant. */
const liveSeconds = 12;
const target = { job: 'gitaly-exporter', instance: 'exporter:9656' } as const;

type DatabaseClient = Awaited<ReturnType<TestDatabase['client']>>;

/** What the exporter exposed at a moment. */
interface Scraped {
  readonly moment: CapturedMoment;
  /** Seconds since 1970: the exporter's clock. */
  readonly at: number;
  readonly series: ReadonlyMap<string, number>;
}

/** @throws Error when the database does not start or the exporter cannot read it within its time */
export async function recordCapturedIncident(
  incident: CapturedIncident,
  server: TestPostgres,
  signal: AbortSignal,
): Promise<RecordedScrapes> {
  const [first, ...others] = incident.moments;
  if (first === undefined) throw new Error(`${incident.name} has no moments`);
  const database = await server.createDatabase();
  const client = await database.client();
  await loadCapture(client, praefectCapture(`${incident.captures}/${first.name}`), 'now');
  const collection = await collectionOf(database, incident);
  const scraped: Scraped[] = [];
  try {
    const read = async (moment: CapturedMoment): Promise<void> => {
      const stopAging = new AbortController();
      const aging = moment.agedSeconds === undefined ? keepAge(client, stopAging.signal) : undefined;
      await systemClock.sleep((moment.agedSeconds ?? 0) * 1000 + readMs, signal);
      signal.throwIfAborted();
      const text = expositionText(await collection.runner.blocks({ signal }));
      scraped.push({ moment, at: systemClock.now() / 1000, series: seriesIn(text) });
      stopAging.abort();
      await aging;
    };
    await read(first);
    for (const moment of others) {
      await reloadCapture(client, praefectCapture(`${incident.captures}/${moment.name}`));
      await setReadOnly(client, moment.isReadOnly === true);
      await read(moment);
    }
  } finally {
    await collection.stop();
    await client.end();
  }
  return recordingOf(incident, scraped);
}

/** Applies to new sessions; the exporter's sessions, which keep the old value, are ended. */
async function setReadOnly(client: DatabaseClient, isReadOnly: boolean): Promise<void> {
  const { rows } = await client.query<{ statement: string }>(
    `SELECT format('ALTER DATABASE %I SET default_transaction_read_only = %s', current_database(), $1::text) AS statement`,
    [isReadOnly ? 'on' : 'off'],
  );
  for (const { statement } of rows) await client.query(statement);
  await client.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );
}

/** Moves all times in the database with the clock, so that their ages stay those of the moment. */
async function keepAge(client: DatabaseClient, signal: AbortSignal): Promise<void> {
  const { rows } = await client.query<{ statement: string }>(`
    SELECT format('UPDATE public.%I SET %s', table_name,
                  string_agg(format('%1$I = %1$I + $1::interval', column_name), ', ')) AS statement
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type LIKE 'timestamp%'
      AND table_name IN ('node_status', 'replication_queue_job_lock', 'replication_queue', 'shard_primaries')
    GROUP BY table_name`);
  let before = systemClock.monotonic();
  while (!signal.aborted) {
    await systemClock.sleep(ageMs, signal);
    const now = systemClock.monotonic();
    for (const { statement } of rows) await client.query(statement, [`${now - before} milliseconds`]);
    before = now;
  }
}

const collectionOf = (
  { connection }: TestDatabase,
  { virtualStorages }: CapturedIncident,
): Promise<Collection> =>
  startCollection({ database: connection, configuredStorages: virtualStorages }, (settings) => ({
    ...settings,
    praefect: {
      ...settings.praefect,
      stuckThreshold: stuckMs,
      database: { ...settings.praefect.database, refreshInterval: 1000, maxTimeRatio: 1 },
    },
  }));

/** Each moment in turn, from the ordinary operation before to that after. */
function recordingOf(incident: CapturedIncident, scraped: readonly Scraped[]): RecordedScrapes {
  const steps = (minutes: number): number => (minutes * 60) / stepSeconds;
  const spans = scraped.map((each, i) => ({
    ...each,
    steps: steps(
      i === 0 || (i === scraped.length - 1 && incident.endsHealthy)
        ? quietMinutes
        : (incident.momentMinutes ?? momentMinutes),
    ),
  }));
  const scrapes = spans.reduce((sum, span) => sum + span.steps, 0);
  const startedAt = scraped[0]?.at ?? 0;
  const series = new Map<string, Value[]>();
  const frozen = new Map<string, { readonly raw: number; readonly placed: number }>();
  const truth: Happening[] = [];
  let begin = 0;
  for (const { moment, at, series: samples, steps: count } of spans) {
    truth.push({ at: begin * stepSeconds, what: moment.what });
    const put = (name: string, valueAt: (i: number) => number): void => {
      const values = series.get(name) ?? [];
      while (values.length < begin) values.push(undefined);
      for (let i = 0; i < count; i += 1) values.push(valueAt(i));
      series.set(name, values);
    };
    for (const [name, value] of samples) {
      const age = at - value;
      const beginsAt = startedAt + begin * stepSeconds;
      if (!isTime(name)) put(withTarget(name, target), () => value);
      else if (age < liveSeconds) put(withTarget(name, target), (i) => beginsAt + i * stepSeconds - age);
      else {
        const known = frozen.get(name);
        // It has been constant since an earlier moment.
        const placed = known !== undefined && Math.abs(known.raw - value) < 1 ? known.placed : beginsAt - age;
        frozen.set(name, { raw: value, placed });
        put(withTarget(name, target), () => placed);
      }
    }
    put(withTarget('up', target), () => 1);
    for (const storage of incident.gitalys)
      put(withTarget('up', { job: 'gitaly', instance: `${storage}:9236` }), () =>
        moment.down?.includes(storage) === true ? 0 : 1,
      );
    begin += count;
  }
  for (const values of series.values()) while (values.length < scrapes) values.push(undefined);
  const began = steps(quietMinutes) * stepSeconds;
  const end = incident.endsHealthy ? scrapes - steps(quietMinutes) : scrapes;
  return {
    ...{
      name: incident.name,
      source: incident.source,
      startedAt,
      stepSeconds,
      scrapes,
      began,
      truth,
      series,
    },
    ended: end * stepSeconds,
  };
}
