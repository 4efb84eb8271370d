/** A simulated cluster for tests, and snapshots of its database with the values of the captures' timelines. */
import { type SimulatedCluster, startCluster } from '../../demo/cluster.ts';
import { incidents as allIncidents } from '../../demo/incidents/catalog.ts';
import {
  createIncidentRunner,
  type IncidentResult,
  type IncidentRunner,
} from '../../demo/incidents/runner.ts';
import { createDemoKubernetes } from '../../demo/kubernetes/cluster.ts';
import type { PodCgroups } from '../../demo/node/host.ts';
import type { DemoNode } from '../../demo/node/node.ts';
import { createDemoDatabase } from '../../demo/postgres/database.ts';
import type { EmbeddedPostgres } from '../../demo/postgres/server.ts';
import { openPool } from '../../demo/praefect/context.ts';
import { demoTimings, demoTopology, type Timings } from '../../demo/topology.ts';
import { createRandom } from '../../demo/world.ts';
import { systemClock } from '../../src/lib/clock.ts';

export interface Observation {
  readonly healthy: readonly string[];
  /** Key 'gitaly-1 ready 3': target, state, attempts left. */
  readonly queue: Readonly<Record<string, number>>;
  /** Storage -> number of replicas behind their repository's generation. */
  readonly behind: Readonly<Record<string, number>>;
  readonly primaries: Readonly<Record<string, number>>;
  readonly unavailable: Readonly<Record<string, number>>;
  /** Repositories of `default` by their number of replica records. */
  readonly records: Readonly<Record<string, number>>;
  readonly newestHeartbeatAge: number;
  /** 'praefect-3 gitaly-2' -> seconds since its last response to that Praefect, if over 10 s while checks continue. */
  readonly unseen: Readonly<Record<string, number>>;
  readonly oldestJobLockAge: number | null;
  readonly expiredWriteLocks: number;
  /** Replicas that were never verified, such as new ones. */
  readonly unverified: number;
}

const snapshotQuery = `
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
    (SELECT count(*)::int FROM repository_reference_write_locks WHERE expired_at < now()) AS "expiredWriteLocks",
    (SELECT count(*)::int FROM storage_repositories WHERE verified_at IS NULL) AS unverified`;

export interface ObservedCluster {
  readonly cluster: SimulatedCluster;
  readonly incidents: IncidentRunner;
  /** Log lines of the cluster and its incidents, newest last. */
  readonly lines: readonly string[];
  observe(): Promise<Observation>;
  rows<Row extends object>(sql: string): Promise<readonly Row[]>;
  /** Polls until the condition holds; throws with the last observation after the limit. */
  until(what: string, holds: (seen: Observation) => boolean, withinMs?: number): Promise<Observation>;
  start(incident: string): Promise<void>;
  end(incident: string): Promise<void>;
  stop(): Promise<void>;
}

interface ObserveOptions {
  readonly timings?: Partial<Timings>;
  readonly repositories?: number;
  readonly writesPerSecond?: number;
}

/** Long enough that polling several clusters does not slow them down. */
const pollEveryMs = 250;
let clusters = 0;

/** Starts a cluster with its incidents in its own database on that server, read with the exporter's role. */
export async function observeCluster(
  server: EmbeddedPostgres,
  options: ObserveOptions = {},
): Promise<ObservedCluster> {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const { repositories = 300, writesPerSecond = 8 } = options;
  const timings = { ...demoTimings, ...options.timings };
  const name = `praefect_${++clusters}`;
  const database = await createDemoDatabase(
    server,
    demoTopology,
    { repositories, seed: 7, verificationInterval: timings.verificationInterval },
    { database: name, owner: `${name}_owner`, reader: `${name}_reader` },
  );
  const cluster = await startCluster({
    topology: demoTopology,
    database: database.praefect,
    clock: systemClock,
    seed: 7,
    timings,
    writesPerSecond,
    log,
  });
  const end = new AbortController();
  const superuser = openPool(database.superuser, 'incident', end.signal);
  const { exporter } = database;
  const password = (await exporter.password())?.reveal() ?? '';
  const reader = openPool({ ...exporter, password }, 'test', end.signal);
  const pods = createPodStub();
  const kubernetes = createDemoKubernetes({
    ...{ clock: systemClock, random: createRandom(7), world: cluster.world, node: pods },
  });
  const kubernetesEnded = kubernetes.run(end.signal);
  const incidents = createIncidentRunner({
    incidents: allIncidents,
    cluster,
    sql: superuser,
    database: database.control,
    gitalys: { setFlood: () => undefined },
    node: pods,
    kubernetes,
    log,
  });

  const observe = async (): Promise<Observation> => (await reader.query<Observation>(snapshotQuery))[0]!;

  async function until(what: string, holds: (seen: Observation) => boolean, withinMs = 30_000) {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const seen = await observe().catch((error: Error) => error);
      if ('healthy' in seen && holds(seen)) return seen;
      if (end.signal.aborted) throw new Error('the cluster was stopped');
      if (performance.now() > deadline) {
        const last = 'healthy' in seen ? JSON.stringify(seen) : seen.message;
        throw new Error(`timeout after ${withinMs} ms: ${what}\n${last}\n${lines.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, pollEveryMs));
    }
  }

  const done = ({ ok, message }: IncidentResult): void => {
    if (!ok) throw new Error(message);
  };
  return {
    cluster,
    incidents,
    lines,
    observe,
    until,
    rows: reader.query,
    start: async (incident) => done(await incidents.start(incident)),
    end: async (incident) => done(await incidents.stop(incident)),
    async stop() {
      await incidents.stopAll();
      end.abort(new Error('the test has ended'));
      await Promise.all([kubernetesEnded, reader.close(), superuser.close(), cluster.stop()]);
    },
  };
}

/** Pods without cgroups, which these tests do not read. */
export function createPodStub(): Pick<DemoNode, 'pod' | 'startPod' | 'removePod'> {
  const pod = { containerId: () => 'f'.repeat(64), restart: () => undefined } as PodCgroups;
  return { pod: () => pod, startPod: () => pod, removePod: () => undefined };
}

/** Number of jobs whose key in `queue` starts with the prefix. */
export const jobs = (seen: Observation, prefix: string): number =>
  Object.entries(seen.queue)
    .filter(([key]) => key.startsWith(prefix))
    .reduce((sum, [, n]) => sum + n, 0);

/** No replica is outdated, and the queue is empty. */
export const isSettled = (seen: Observation): boolean =>
  Object.keys(seen.behind).length === 0 && Object.keys(seen.queue).length === 0;
