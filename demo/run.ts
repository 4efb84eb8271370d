/** `demo`: starts the demo, prints its addresses, and runs until it is stopped. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { CommandIo } from '../src/cli/command.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { defaultPort } from '../src/config/sections/web.ts';
import { systemClock } from '../src/lib/clock.ts';
import {
  type Demo,
  type DemoSettings,
  type ExporterRequest,
  type RunningExporter,
  startDemo,
} from './demo.ts';
import type { DemoOptionValues } from './options.ts';

/** Starts the exporter of these settings on the demo; `listenAddress` replaces the setting. */
type StartExporter = (
  request: ExporterRequest & { readonly listenAddress: readonly string[] },
) => Promise<RunningExporter>;

/** From this size on, Praefect's reconciler keeps its own 5 minutes: one run takes seconds by then. */
const largeCluster = 50_000;
const loopback = '127.0.0.1';

/** @returns the exit code: 0 after a clean end, 2 when it could not start or stop cleanly */
export async function runDemo(
  settings: Settings,
  io: CommandIo,
  options: DemoOptionValues,
  startExporter: StartExporter,
): Promise<number> {
  const { env } = io.system;
  const log = (line: string): void => {
    io.stdout.write(`${new Date().toTimeString().slice(0, 8)}  ${line}\n`);
  };
  const finished = new AbortController();
  const signal = AbortSignal.any([io.signal, whenOrphaned(env, finished.signal)]);
  try {
    const listenAddress = await chooseAddress(settings, io, log);
    const demo = await startDemo({
      settings: {
        ...options,
        ...(options.repositories > largeCluster ? { timings: { reconcile: 300_000 } } : {}),
      },
      log,
      signal,
      startExporter: (request) => startExporter({ ...request, listenAddress }),
    });
    io.stdout.write(greeting(demo, options, incidentCommand(env)));
    await demo.stopped;
    await demo.stop();
    log('the demo has stopped');
    return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    io.stderr.write(`gitaly-exporter: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  } finally {
    finished.abort();
  }
}

/**
 * Aborts when npm, which started this process, has ended. A signal that ends npm does not always reach its script:
 * the terminal's Ctrl-C under `su -`, or a SIGKILL.
 */
function whenOrphaned(env: Readonly<Record<string, string | undefined>>, signal: AbortSignal): AbortSignal {
  const orphaned = new AbortController();
  const parent = process.ppid;
  const watch = async (): Promise<void> => {
    while (!signal.aborted && process.ppid === parent) await systemClock.sleep(500, signal);
    orphaned.abort(new Error('npm has ended'));
  };
  if (env['npm_lifecycle_event'] !== undefined && env['npm_lifecycle_event'] !== '') void watch();
  return orphaned.signal;
}

/**
 * The configured addresses, if any. Otherwise the default port on the loopback only, because anyone who can reach a
 * demo can start its incidents; or a free port when another demo uses that one.
 */
async function chooseAddress(
  settings: Settings,
  io: CommandIo,
  log: (line: string) => void,
): Promise<readonly string[]> {
  if (io.origins.get('web.listen-address')?.source !== 'default') return settings.web.listenAddress;
  if (await isFree(defaultPort)) return [`${loopback}:${defaultPort}`];
  log(`port ${defaultPort} is in use, using a free port`);
  return [`${loopback}:0`];
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, loopback);
  try {
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

/** How to call `demo incident` from here: through npm in a clone, else by the program's name. */
const incidentCommand = (env: Readonly<Record<string, string | undefined>>): string =>
  env['npm_lifecycle_event'] === 'start' ? 'npm start -- incident' : 'gitaly-exporter demo incident';

function greeting({ url, topology, incidents }: Demo, settings: DemoSettings, command: string): string {
  const gitalys = topology.virtualStorages.reduce((sum, { storages }) => sum + storages.length, 0);
  const all = incidents.list();
  // `demo incident` finds a demo on the default port by itself.
  const urlOption = new URL(url).port === String(defaultPort) ? '' : ` --url=${url}`;
  const count = (number: number): string => number.toLocaleString('en-US');
  const rows: readonly (readonly [string, string])[] = [
    ['Page', `${url}/`],
    ['Metrics', `${url}/metrics`],
    [
      'Cluster',
      `${topology.praefects.length} Praefects and ${gitalys} Gitalys, simulated, on a real PostgreSQL; ${count(settings.repositories)} repositories, about ${count(settings.writesPerSecond)} writes per second`,
    ],
    [
      'Watch',
      'praefect_db_storage_healthy, praefect_db_replication_jobs, praefect_db_repositories_unavailable',
    ],
    [
      'Incidents',
      `start one on the page or in another terminal: ${command} ${all[0]?.name ?? ''}${urlOption}`,
    ],
    ['', `${command} --list${urlOption} describes all ${all.length}; --stop ends one`],
    ['Stop', 'Ctrl-C; nothing is left behind'],
  ];
  const lines = rows.map(([name, text]) => `  ${name.padEnd(11)}${text}`);
  return ['', ...lines, '', ''].join('\n');
}
