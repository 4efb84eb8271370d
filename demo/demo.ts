/** The demo: an embedded PostgreSQL with a simulated cluster, the exporter on it, and incidents to start. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseConnection } from '../src/config/database-connection.ts';
import type { ConfiguredStorages } from '../src/config/kinds/lists.ts';
import { onAbort } from '../src/lib/abort.ts';
import { type Clock, systemClock } from '../src/lib/clock.ts';
import { type SimulatedCluster, startCluster } from './cluster.ts';
import { configToml } from './gitaly/limits.ts';
import { type GitalyServers, startGitalyServers } from './gitaly/servers.ts';
import { incidents as allIncidents } from './incidents/catalog.ts';
import { createIncidentRunner, type Incidents } from './incidents/runner.ts';
import { startKubeApiServer } from './kubernetes/api-server.ts';
import { createDemoKubernetes } from './kubernetes/cluster.ts';
import { kubeconfigText } from './kubernetes/objects.ts';
import { type DemoNode, startDemoNode } from './node/node.ts';
import { demoPods } from './node/pods.ts';
import { createDemoDatabase } from './postgres/database.ts';
import { startEmbeddedPostgres } from './postgres/server.ts';
import { openPool } from './praefect/context.ts';
import { demoTimings, demoTopology, type Timings, type Topology } from './topology.ts';
import { createRandom } from './world.ts';

/** The exporter's configuration: no more than an operator would configure. */
export interface ExporterRequest {
  readonly connection: DatabaseConnection;
  /** As in Praefect's config.toml. */
  readonly virtualStorages: readonly ConfiguredStorages[];
  /** For the page, whose forms post to /demo/incidents/NAME (start) and /demo/incidents/NAME/end (stop). */
  readonly incidents: Incidents;
  /** `gitaly.target` and `gitaly.config-file` of the Gitalys that do not run in pods. */
  readonly gitaly: Pick<GitalyServers, 'targets' | 'configFiles'>;
  /** The cgroups of the Gitalys in pods. */
  readonly cgroup: Pick<DemoNode, 'root'>;
  /** The cluster of these pods. */
  readonly kubernetes: { readonly kubeconfig: string };
}

export interface RunningExporter {
  /** Its address: `http://127.0.0.1:9656/`. */
  readonly url: string;
  stop(): Promise<void>;
}

export interface DemoSettings {
  readonly repositories: number;
  readonly writesPerSecond: number;
  /** The same seed gives the same repositories and random numbers. */
  readonly seed: number;
  readonly timings?: Partial<Timings>;
  /** Interval at which the cgroups change, in milliseconds. */
  readonly cgroupStepMs?: number;
}

interface DemoOptions {
  readonly settings: DemoSettings;
  /** Logs a line, without a line break. */
  log(line: string): void;
  /** Aborting it stops the demo, also during its start. */
  readonly signal: AbortSignal;
  startExporter(request: ExporterRequest): Promise<RunningExporter>;
  readonly clock?: Clock;
}

export interface Demo {
  /** Address of the exporter, without a trailing slash. */
  readonly url: string;
  readonly incidents: Incidents;
  readonly cluster: SimulatedCluster;
  readonly topology: Topology;
  /** The address of each Gitaly's own metrics, also of those in pods. */
  readonly gitalyTargets: GitalyServers['targets'];
  /** Stops everything and removes all files. Idempotent. */
  stop(): Promise<void>;
  /** Resolves when everything has stopped. */
  readonly stopped: Promise<void>;
}

const isOutside = ({ name }: { readonly name?: string | undefined }): boolean =>
  !demoPods.some(({ storage }) => storage === name);

/** A cleanup step that takes longer is abandoned: the next steps end what it waits for. */
const stepLimitMs = 10_000;

/**
 * Starts PostgreSQL, the cluster, the Gitalys, the node and the exporter, in about two seconds.
 * @throws Error that says how to fix it, after everything that was started has been removed
 */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { settings, log, signal } = options;
  const clock = options.clock ?? systemClock;
  const timings = { ...demoTimings, ...settings.timings };
  const topology = demoTopology;
  const cleanup: (() => Promise<void>)[] = [];
  const finished = Promise.withResolvers<void>();
  let stopping: Promise<void> | undefined;

  /** Stops in reverse order of the start; a failed step does not prevent the next ones. */
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      const failures: unknown[] = [];
      for (const step of cleanup.reverse()) {
        const done = new AbortController();
        await Promise.race([step(), clock.sleep(stepLimitMs, done.signal)])
          .catch((error: unknown) => failures.push(error))
          .finally(() => done.abort());
      }
      unsubscribe();
      finished.resolve();
      if (failures.length > 0) throw failures[0];
    })();
    return stopping;
  };
  let unsubscribe = (): void => undefined;

  try {
    signal.throwIfAborted();
    const server = await startEmbeddedPostgres(signal);
    cleanup.push(server.remove);
    const database = await createDemoDatabase(server, topology, {
      repositories: settings.repositories,
      seed: settings.seed,
      verificationInterval: timings.verificationInterval,
    });
    signal.throwIfAborted();
    const cluster = await startCluster({
      topology,
      database: database.praefect,
      clock,
      seed: settings.seed,
      timings,
      writesPerSecond: settings.writesPerSecond,
      log,
    });
    cleanup.push(cluster.stop);
    const ending = new AbortController();
    const sql = openPool(database.superuser, 'incident', ending.signal);
    cleanup.push(async () => {
      ending.abort(new Error('the demo is stopping'));
      await sql.close();
    });
    const processOf = (storage: string) => cluster.world.gitaly(storage).process;
    const gitalys = await startGitalyServers({
      topology,
      clock,
      random: createRandom(settings.seed),
      process: processOf,
      folder: server.folder, // removed by the guard if this process is killed
    });
    cleanup.push(gitalys.stop);
    const node = await startDemoNode({
      clock,
      random: createRandom(settings.seed),
      process: processOf,
      folder: server.folder,
      ...(settings.cgroupStepMs !== undefined && { stepMs: settings.cgroupStepMs }),
    });
    cleanup.push(node.stop);
    const kubernetes = createDemoKubernetes({
      ...{ clock, node, random: createRandom(settings.seed), world: cluster.world },
      metricsPort: gitalys.port,
      configuration: configToml('{% getenv "HOSTNAME" %}', '0.0.0.0:9236'),
    });
    const token = randomBytes(18).toString('base64url');
    const { store, statsSummary } = kubernetes;
    const apiServer = await startKubeApiServer({ store, statsSummary, token });
    cleanup.push(apiServer.stop);
    const kubeconfig = join(server.folder, 'kubeconfig');
    await writeFile(kubeconfig, kubeconfigText(apiServer.url, token), { mode: 0o600 });
    const kubernetesEnds = new AbortController();
    const kubernetesEnded = kubernetes.run(kubernetesEnds.signal);
    cleanup.push(async () => {
      kubernetesEnds.abort();
      await kubernetesEnded;
    });
    const runner = createIncidentRunner({
      incidents: allIncidents,
      cluster,
      sql,
      database: database.control,
      gitalys,
      node,
      kubernetes,
      log,
    });
    cleanup.push(runner.stopAll);
    signal.throwIfAborted();
    const incidents: Incidents = { list: runner.list, start: runner.start, stop: runner.stop };
    const exporter = await options.startExporter({
      connection: database.exporter,
      virtualStorages: topology.virtualStorages.map(({ name, storages }) => ({ name, storages })),
      incidents,
      gitaly: {
        targets: gitalys.targets.filter(isOutside),
        configFiles: gitalys.configFiles.filter(isOutside),
      },
      cgroup: { root: node.root },
      kubernetes: { kubeconfig },
    });
    cleanup.push(exporter.stop);
    signal.throwIfAborted();
    // A failure of `stop` is reported to its callers.
    unsubscribe = onAbort(signal, () => void stop().catch(() => undefined));
    return {
      url: exporter.url.replace(/\/+$/, ''),
      incidents,
      cluster,
      topology,
      gitalyTargets: gitalys.targets,
      stop,
      stopped: finished.promise,
    };
  } catch (error) {
    await stop().catch(() => undefined); // the first failure is the one to report
    throw error;
  }
}
