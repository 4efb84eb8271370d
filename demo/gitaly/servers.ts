/**
 * The demo's Gitalys as the exporter reads them: HTTP servers on the loopback with /metrics, and config.toml files.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MetricsTarget, NamedFile } from '../../src/config/kinds/metrics-target.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { storagesOf, type Topology, virtualStorageOf } from '../topology.ts';
import type { GitalyState, Random } from '../world.ts';
import { configToml } from './limits.ts';
import { gitalyPage } from './page.ts';
import { createSimulatedGitaly, type Flood } from './simulated-gitaly.ts';

interface GitalyServersOptions {
  readonly topology: Topology;
  readonly clock: Clock;
  readonly random: Random;
  /** Returns the state of the storage's process; counters restart at 0 after a death. Default: all run. */
  readonly process?: (storage: string) => GitalyState['process'];
  /** Parent of the folder with the configuration files. Default: the system's temporary folder. */
  readonly folder?: string;
}

export interface GitalyServers {
  /** Value of `gitaly.target`, named after the storages. */
  readonly targets: readonly MetricsTarget[];
  /** Value of `gitaly.config-file`. */
  readonly configFiles: readonly NamedFile[];
  /** Port of a storage's /metrics on the loopback. */
  port(storage: string): number | undefined;
  /** Adds calls at each Gitaly of the first virtual storage; undefined ends them. */
  setFlood(flood: Flood | undefined): void;
  /** Closes the servers and removes the files. Idempotent. */
  stop(): Promise<void>;
}

const loopback = '127.0.0.1';

/** Rejects, after removing what it started, when a server cannot listen or a file cannot be written. */
export async function startGitalyServers(options: GitalyServersOptions): Promise<GitalyServers> {
  const { topology, clock, random } = options;
  let flood: Flood | undefined;
  let stopped: Promise<void> | undefined;
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), 'gitaly-exporter-demo-'));
  const servers: Server[] = [];
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      for (const server of servers) {
        const closed = once(server, 'close');
        server.close().closeAllConnections();
        await closed;
      }
      await rm(folder, { recursive: true, force: true });
    })();
    return stopped;
  };

  try {
    const storages = storagesOf(topology);
    const ports = new Map<string, number>();
    const targets: MetricsTarget[] = [];
    const configFiles: NamedFile[] = [];
    for (const storage of storages) {
      const isFlooded = virtualStorageOf(topology, storage) === topology.virtualStorages[0];
      const server = await listen(metricsServer(storage, options, () => (isFlooded ? flood : undefined)));
      servers.push(server);
      const { port } = server.address() as { port: number };
      ports.set(storage, port);
      targets.push({ name: storage, url: `http://${loopback}:${port}/metrics`, everyAddress: false });
      const file = join(folder, `${storage}.toml`);
      await writeFile(file, configToml(storage, `${loopback}:${port}`));
      configFiles.push({ name: storage, file });
    }
    const setFlood = (next: Flood | undefined): void => {
      flood = next;
    };
    return { targets, configFiles, port: (storage) => ports.get(storage), setFlood, stop };
  } catch (error) {
    await stop();
    throw error;
  }

  function metricsServer(
    storage: string,
    { process = () => 'running' }: GitalyServersOptions,
    flooded: () => Flood | undefined,
  ): Server {
    const start = () => createSimulatedGitaly(storage, clock.now(), random, flooded);
    let gitaly = start();
    let wasDead = false;
    return createServer((request, response) => {
      const state = process(storage);
      if (state === 'dead') {
        wasDead = true;
        request.socket.destroy();
        return;
      }
      // As after SIGSTOP: the connection is open without a response.
      if (state === 'stopped') return;
      if (wasDead) gitaly = start();
      wasDead = false;
      const now = clock.now();
      gitaly.advance(now);
      if (request.url !== '/metrics') response.writeHead(404).end();
      else
        response
          .writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' })
          .end(gitalyPage(gitaly, now));
    });
  }
}

async function listen(server: Server): Promise<Server> {
  server.listen(0, loopback);
  await once(server, 'listening');
  return server;
}
