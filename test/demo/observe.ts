/** What a test sees of the demo's database: the same as the captures' timelines, by plain SQL, of one instant. */
import pg from 'pg';
import { type Demo, defaultDemoSettings, type ExporterRequest, startDemo } from '../../src/demo/demo.ts';
import type { Timings } from '../../src/demo/timings.ts';

export interface Observation {
  readonly healthy: readonly string[];
  /** 'gitaly-1 ready 3': target, state, attempts left. */
  readonly queue: Readonly<Record<string, number>>;
  /** Storage -> replicas below their repository's generation. */
  readonly behind: Readonly<Record<string, number>>;
  readonly primaries: Readonly<Record<string, number>>;
  readonly unavailable: Readonly<Record<string, number>>;
  /** Repositories of `default` by how many replica records they have. */
  readonly records: Readonly<Record<string, number>>;
  readonly newestHeartbeatAge: number;
  /** 'praefect-3 gitaly-2' -> seconds since that Praefect saw it, where over 10 s while it still asks. */
  readonly unseen: Readonly<Record<string, number>>;
  readonly oldestJobLockAge: number | null;
  readonly expiredWriteLocks: number;
}

const question = `
  SELECT
    (SELECT coalesce(json_agg(storage), '[]') FROM healthy_storages) AS healthy,
    (SELECT coalesce(json_object_agg(key, n), '{}') FROM (
       SELECT format('%s %s %s', job->>'target_node_storage', state, attempt) AS key, count(*) AS n
       FROM replication_queue GROUP BY 1) AS counted) AS queue,
    (SELECT coalesce(json_object_agg(storage, n), '{}') FROM (
       SELECT storage, count(*) AS n
       FROM storage_repositories AS replica JOIN repositories USING (repository_id)
       WHERE replica.generation < repositories.generation GROUP BY 1) AS counted) AS behind,
    (SELECT json_object_agg(coalesce("primary", 'none'), n) FROM (
       SELECT "primary", count(*) AS n FROM repositories GROUP BY 1) AS counted) AS primaries,
    (SELECT coalesce(json_object_agg(virtual_storage, n), '{}') FROM (
       SELECT virtual_storage, count(*) AS n FROM repositories
       WHERE NOT EXISTS (SELECT FROM valid_primaries AS v WHERE v.repository_id = repositories.repository_id)
       GROUP BY 1) AS counted) AS unavailable,
    (SELECT json_object_agg(n, repositories) FROM (
       SELECT n, count(*) AS repositories FROM (
         SELECT (SELECT count(*) FROM storage_repositories AS r WHERE r.repository_id = repositories.repository_id) AS n
         FROM repositories WHERE virtual_storage = 'default') AS each GROUP BY 1) AS counted) AS records,
    (SELECT extract(epoch FROM now() - max(last_contact_attempt_at))::float8 FROM node_status) AS "newestHeartbeatAge",
    (SELECT coalesce(json_object_agg(format('%s %s', split_part(praefect_name, ':', 1), node_name), age), '{}') FROM (
       SELECT praefect_name, node_name, extract(epoch FROM now() - last_seen_active_at)::float8 AS age
       FROM node_status
       WHERE last_seen_active_at < now() - interval '10 s' AND last_contact_attempt_at > now() - interval '4 s'
     ) AS unseen) AS unseen,
    (SELECT max(extract(epoch FROM timezone('UTC', now()) - triggered_at))::float8
     FROM replication_queue_job_lock) AS "oldestJobLockAge",
    (SELECT count(*)::int FROM repository_reference_write_locks WHERE expired_at < now()) AS "expiredWriteLocks"`;

export interface Watched {
  readonly demo: Demo;
  /** What the demo said, newest last. */
  readonly lines: readonly string[];
  readonly request: ExporterRequest;
  look(): Promise<Observation>;
  rows<Row extends object>(sql: string): Promise<readonly Row[]>;
  /** Looks until it holds. Throws with the last look when it does not within the limit. */
  until(what: string, holds: (seen: Observation) => boolean, withinMs?: number): Promise<Observation>;
  start(incident: string): Promise<void>;
  end(incident: string): Promise<void>;
}

/** Rare enough that the looks of several demos leave them the machine. */
const lookEveryMs = 250;

export interface WatchOptions {
  readonly timings?: Partial<Timings>;
  readonly repositories?: number;
  readonly writesPerSecond?: number;
  readonly seed?: number;
}

/** Starts a demo without an exporter, and a reader with the exporter's own role. `stop` ends both. */
export async function watchDemo(options: WatchOptions = {}): Promise<Watched & { stop(): Promise<void> }> {
  const lines: string[] = [];
  let request: ExporterRequest | undefined;
  const { repositories = 300, writesPerSecond = 8, seed = 7, timings = {} } = options;
  const demo = await startDemo({
    settings: { ...defaultDemoSettings, repositories, writesPerSecond, seed, timings },
    log: (line) => lines.push(line),
    signal: new AbortController().signal,
    startExporter: async (asked) => {
      request = asked;
      return { url: 'http://127.0.0.1:1/', stop: async () => undefined };
    },
  });
  if (request === undefined) throw new Error('the demo did not start its exporter');
  const { connection } = request;
  const reader = new pg.Pool({
    host: connection.host,
    port: connection.port,
    database: connection.database,
    user: connection.user,
    password: (await connection.password())?.reveal() ?? '',
    max: 2,
  });
  reader.on('error', () => undefined);

  const look = async (): Promise<Observation> => (await reader.query<Observation>(question)).rows[0]!;

  async function until(what: string, holds: (seen: Observation) => boolean, withinMs = 20_000) {
    const deadline = performance.now() + withinMs;
    for (let last: unknown = 'nothing'; ; ) {
      const seen = await look().catch((error: unknown) => error);
      if (!(seen instanceof Error) && holds(seen as Observation)) return seen as Observation;
      last = seen;
      if (performance.now() > deadline) {
        throw new Error(`not within ${withinMs} ms: ${what}\n${JSON.stringify(last)}\n${lines.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
  }

  return {
    demo,
    lines,
    request,
    look,
    until,
    rows: async <Row extends object>(sql: string) => (await reader.query<Row>(sql)).rows,
    async start(incident) {
      const { ok, message } = await demo.incidents.start(incident);
      if (!ok) throw new Error(message);
    },
    async end(incident) {
      const { ok, message } = await demo.incidents.stop(incident);
      if (!ok) throw new Error(message);
    },
    async stop() {
      await reader.end();
      await demo.stop();
    },
  };
}

/** Jobs for a target, over all states and attempts that begin with `prefix`. */
export const jobs = (seen: Observation, prefix: string): number =>
  Object.entries(seen.queue)
    .filter(([key]) => key.startsWith(prefix))
    .reduce((sum, [, n]) => sum + n, 0);

export const calm = (seen: Observation): boolean =>
  Object.keys(seen.behind).length === 0 && Object.keys(seen.queue).length === 0;
