/** `demo`: starts the demo, prints its addresses, and runs until it is stopped. */
import { readFile } from 'node:fs/promises';
import { isatty } from 'node:tty';
import type { CommandIo } from '../src/cli/command.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { defaultPort } from '../src/config/sections/program.ts';
import { systemClock } from '../src/lib/clock.ts';
import { chooseAddress } from './address.ts';
import {
  type Demo,
  type DemoSettings,
  type ExporterRequest,
  type RunningExporter,
  startDemo,
} from './demo.ts';
import type { DemoOptionValues } from './options.ts';
import type { Stack, StackOptions } from './stack/stack.ts';

/** Starts the exporter of these settings on the demo; `listenAddress` replaces the setting. */
type StartExporter = (
  request: ExporterRequest & { readonly listenAddress: Settings['web']['listenAddress'] },
) => Promise<RunningExporter>;

/** From this size on, Praefect's reconciler keeps its own 5 minutes: one run takes seconds by then. */
const largeCluster = 50_000;

/** @returns the exit code: 0 after a clean end, 2 when it could not start or stop cleanly */
export async function runDemo(
  settings: Settings,
  io: CommandIo,
  options: DemoOptionValues,
  startExporter: StartExporter,
  /** Prometheus and more on the running demo. */
  startStack?: (options: StackOptions) => Promise<Stack>,
): Promise<number> {
  const { env } = io.system;
  const log = (line: string): void => {
    io.stdout.write(`${new Date().toTimeString().slice(0, 8)}  ${line}\n`);
  };
  const finished = new AbortController();
  const signal = AbortSignal.any([io.signal, whenOrphaned(env, finished.signal)]);
  try {
    const listenAddress = await listenAddresses(settings, io, log);
    const demo = await startDemo({
      settings: {
        ...options,
        ...(options.repositories > largeCluster ? { timings: { reconcile: 300_000 } } : {}),
      },
      log,
      signal,
      startExporter: (request) => startExporter({ ...request, listenAddress }),
    });
    let stack: Stack | undefined;
    try {
      stack = await startStack?.({ url: demo.url, env, log, signal });
      io.stdout.write(greeting(demo, options, incidentCommand(env), stack?.lines));
      await demo.stopped;
    } finally {
      await stack?.stop();
      await demo.stop();
    }
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
  // `nohup npm start &` outlives the shell, but not with a terminal as its input.
  const depth = isatty(0) ? 3 : 2;
  const watch = async (): Promise<void> => {
    const ancestors = await ancestorsOf(process.ppid, depth);
    while (!signal.aborted && (await ancestorsOf(process.ppid, depth)) === ancestors)
      await systemClock.sleep(500, signal);
    orphaned.abort(new Error('npm has ended'));
  };
  if (env['npm_lifecycle_event'] !== undefined && env['npm_lifecycle_event'] !== '') void watch();
  return orphaned.signal;
}

/**
 * The process and those above it, on Linux: a shell that stays between npm and the program outlives npm, and npm
 * outlives the shell above it that `su -c` ends.
 */
async function ancestorsOf(pid: number, depth: number): Promise<string> {
  // `4711 (sh) S 4710 ...`: the name may contain anything.
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const above = Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
  return depth <= 1 || above <= 0 ? `${pid}` : `${pid} ${await ancestorsOf(above, depth - 1)}`;
}

async function listenAddresses(
  settings: Settings,
  io: CommandIo,
  log: (line: string) => void,
): Promise<Settings['web']['listenAddress']> {
  if (io.origins.get('web.listen-address')?.source !== 'default') return settings.web.listenAddress;
  const configured = await chooseAddress(defaultPort, log);
  const { hostname: host, port } = new URL(`http://${configured}`);
  return [{ configured, host, port: Number(port) }];
}

/** How to call `demo incident` from here: through npm in a clone, otherwise by the program's name. */
const incidentCommand = (env: Readonly<Record<string, string | undefined>>): string =>
  ['start', 'demo:stack'].includes(env['npm_lifecycle_event'] ?? '')
    ? 'npm start -- incident'
    : 'gitaly-exporter demo incident';

function greeting(
  { url, topology, incidents }: Demo,
  settings: DemoSettings,
  command: string,
  stack: Stack['lines'] = [],
): string {
  const gitalys = topology.virtualStorages.reduce((sum, { storages }) => sum + storages.length, 0);
  const all = incidents.list();
  // `demo incident` finds a demo on the default port by itself.
  const urlOption = new URL(url).port === String(defaultPort) ? '' : ` --url=${url}`;
  const count = (number: number): string => number.toLocaleString('en-US');
  const rows: readonly (readonly [string, string])[] = [
    ['Page', `${url}/`],
    ['Metrics', `${url}/metrics`],
    ...stack,
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
  const lines = rows.map(([name, text]) => `  ${name.padEnd(stack.length === 0 ? 11 : 14)}${text}`);
  return ['', ...lines, '', ''].join('\n');
}
