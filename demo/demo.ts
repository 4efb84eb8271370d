/** The demo: an embedded PostgreSQL, a living cluster in it, the exporter on it, and incidents to set off. */
import type { DatabaseConnection } from '../src/config/database-connection.ts';
import type { ConfiguredStorages } from '../src/config/kinds/lists.ts';
import { type Clock, systemClock } from '../src/lib/clock.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { createDemoDatabase } from './database.ts';
import { type DemoCgroups, startDemoCgroups } from './gitaly/cgroups/cgroups.ts';
import { type GitalyPages, startGitalyPages } from './gitaly/pages.ts';
import { incidentsWith } from './incidents/catalogue.ts';
import { createDirector, type Director, type Incidents } from './incidents/director.ts';
import { startEmbeddedPostgres } from './postgres.ts';
import { createRandom } from './random.ts';
import { openPool } from './sql.ts';
import { demoTimings, type Timings } from './timings.ts';
import { demoTopology, type Topology } from './topology.ts';

/** What the exporter is told; it knows no more about the database than an operator would tell it. */
export interface ExporterRequest {
  readonly connection: DatabaseConnection;
  /** What Praefect's config.toml would say. */
  readonly virtualStorages: readonly ConfiguredStorages[];
  /** For the page, whose forms post to /demo/incidents/NAME (start) and /demo/incidents/NAME/end (stop). */
  readonly incidents: Incidents;
  /** The Gitalys' own metrics and configurations, as `gitaly.target` and `gitaly.config-file` would name them. */
  readonly gitaly: Pick<GitalyPages, 'targets' | 'configFiles'>;
  /** Two of the Gitalys run in pods of this node: `cgroup.root` and `cgroup.pods-file`. */
  readonly cgroup: Pick<DemoCgroups, 'root' | 'podsFile'>;
}

export interface RunningExporter {
  /** Where it listens: `http://127.0.0.1:9656/`. */
  readonly url: string;
  stop(): Promise<void>;
}

export interface DemoSettings {
  readonly repositories: number;
  readonly writesPerSecond: number;
  /** Same seed, same repositories and the same course of chance. */
  readonly seed: number;
  readonly timings?: Partial<Timings>;
}

export interface DemoOptions {
  readonly settings: DemoSettings;
  /** One line for people, without a line break. */
  log(line: string): void;
  /** Aborting it stops the demo, also in the middle of its start. */
  readonly signal: AbortSignal;
  startExporter(request: ExporterRequest): Promise<RunningExporter>;
  readonly clock?: Clock;
}

export interface Demo {
  /** Of the exporter, without a slash at its end. */
  readonly url: string;
  readonly incidents: Incidents;
  readonly cluster: Cluster;
  readonly topology: Topology;
  /** Ends everything and removes every trace of it. May be called twice. */
  stop(): Promise<void>;
  /** Resolves when all is gone, whoever stopped it. */
  readonly stopped: Promise<void>;
}

/** A step of the end that takes longer is left behind: the next ones take away what it waits for. */
const stepLimitMs = 10_000;

/**
 * Starts it all, in about two seconds.
 * @throws Error that says what to do; by then everything that had been started is gone again
 */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { settings, log, signal } = options;
  const clock = options.clock ?? systemClock;
  const timings = { ...demoTimings, ...settings.timings };
  const topology = demoTopology;
  const cleanup: (() => Promise<void>)[] = [];
  const finished = Promise.withResolvers<void>();
  let stopping: Promise<void> | undefined;

  /** What was started last goes first; one that fails does not keep the others from going. */
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      const failures: unknown[] = [];
      for (const step of cleanup.reverse()) {
        const done = new AbortController();
        await Promise.race([step(), clock.sleep(stepLimitMs, done.signal)])
          .catch((error: unknown) => failures.push(error))
          .finally(() => done.abort());
      }
      signal.removeEventListener('abort', onAbort);
      finished.resolve();
      if (failures.length > 0) throw failures[0];
    })();
    return stopping;
  };
  const onAbort = (): void => void stop().catch(() => undefined); // `stop` tells whoever asks

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
      say: log,
    });
    cleanup.push(cluster.stop);
    const looking = new AbortController();
    const sql = openPool(database.superuser, 'incident', looking.signal);
    cleanup.push(async () => {
      looking.abort(new Error('the demo stops'));
      await sql.close();
    });
    const pages = await startGitalyPages({
      topology,
      clock,
      random: createRandom(settings.seed),
      process: (storage) => cluster.world.gitaly(storage).process,
      folder: server.folder, // the guard removes it, even when this process is killed
    });
    cleanup.push(pages.stop);
    const cgroups = await startDemoCgroups({
      clock,
      random: createRandom(settings.seed),
      process: (storage) => cluster.world.gitaly(storage).process,
      folder: server.folder,
    });
    cleanup.push(cgroups.stop);
    const director: Director = createDirector({
      incidents: incidentsWith([...pages.incidents, ...cgroups.incidents]),
      cluster,
      sql,
      database: database.control,
      say: log,
    });
    cleanup.push(director.stopAll);
    signal.throwIfAborted();
    const incidents: Incidents = { list: director.list, start: director.start, stop: director.stop };
    const exporter = await options.startExporter({
      connection: database.exporter,
      virtualStorages: topology.virtualStorages.map(({ name, storages }) => ({ name, storages })),
      incidents,
      gitaly: { targets: pages.targets, configFiles: pages.configFiles },
      cgroup: { root: cgroups.root, podsFile: cgroups.podsFile },
    });
    cleanup.push(exporter.stop);
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort);
    return {
      url: exporter.url.replace(/\/+$/, ''),
      incidents,
      cluster,
      topology,
      stop,
      stopped: finished.promise,
    };
  } catch (error) {
    await stop().catch(() => undefined); // what failed first is what people need to know
    throw error;
  }
}
