/**
 * The demo's Gitalys as far as an exporter sees them: real HTTP servers on the loopback with /metrics, real
 * config.toml files, and an incident.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MetricsTarget, NamedFile } from '../../src/config/kinds/metrics-target.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Incident } from '../incidents/incident.ts';
import type { Random } from '../random.ts';
import { storagesOf, type Topology, virtualStorageOf } from '../topology.ts';
import type { Gitaly } from '../world.ts';
import { limitSaturated } from './incident.ts';
import { configToml } from './limits.ts';
import { gitalyPage } from './page.ts';
import { createSimulatedGitaly, type Flood } from './server.ts';

export interface GitalyPagesOptions {
  readonly topology: Topology;
  readonly clock: Clock;
  readonly random: Random;
  /** What has become of the storage's Gitaly; one that died and runs again counts from 0. Default: all run. */
  readonly process?: (storage: string) => Gitaly['process'];
  /** Where the configurations are written, in a folder of their own. Default: the system's temporary folder. */
  readonly folder?: string;
}

export interface GitalyPages {
  /** For `gitaly.target`: each storage by its name. */
  readonly targets: readonly MetricsTarget[];
  /** For `gitaly.config-file`: a file of each, in a temporary folder. */
  readonly configFiles: readonly NamedFile[];
  readonly incidents: readonly Incident[];
  /** Closes the servers and removes the files. Idempotent. */
  stop(): Promise<void>;
}

const loopback = '127.0.0.1';

/** Rejects when a server cannot listen or a file cannot be written; nothing is left then. */
export async function startGitalyPages(options: GitalyPagesOptions): Promise<GitalyPages> {
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
    const targets: MetricsTarget[] = [];
    const configFiles: NamedFile[] = [];
    for (const storage of storages) {
      const isFlooded = virtualStorageOf(topology, storage) === topology.virtualStorages[0];
      const server = await listen(pageServer(storage, options, () => (isFlooded ? flood : undefined)));
      servers.push(server);
      const { port } = server.address() as { port: number };
      targets.push({ name: storage, url: `http://${loopback}:${port}/metrics`, everyAddress: false });
      const file = join(folder, `${storage}.toml`);
      await writeFile(file, configToml(storage, `${loopback}:${port}`));
      configFiles.push({ name: storage, file });
    }
    const incident = limitSaturated((next) => {
      flood = next;
    });
    return { targets, configFiles, incidents: [incident], stop };
  } catch (error) {
    await stop();
    throw error;
  }

  function pageServer(
    storage: string,
    { process = () => 'running' }: GitalyPagesOptions,
    flooded: () => Flood | undefined,
  ): Server {
    const begin = () => createSimulatedGitaly(storage, clock.now(), random, flooded);
    let gitaly = begin();
    let wasDead = false;
    return createServer((request, response) => {
      const state = process(storage);
      if (state === 'dead') {
        wasDead = true;
        request.socket.destroy();
        return;
      }
      // As a process that got SIGSTOP: the connection is there, and nothing comes.
      if (state === 'stopped') return;
      if (wasDead) gitaly = begin();
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
