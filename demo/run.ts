/** `demo`: starts it, says what to look at, and stays until it is told to end. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import type { CommandIo } from '../src/cli/command.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { defaultPort } from '../src/config/sections/web.ts';
import type { DemoOptionValues } from './commands.ts';
import { type ExporterRequest, type RunningExporter, startDemo } from './demo.ts';
import { greeting, happening, incidentCommand } from './terminal.ts';

/** Starts the exporter of these settings on the demo's database; `listenAddress` stands in for the settings'. */
export type StartExporter = (
  request: ExporterRequest & { readonly listenAddress: readonly string[] },
) => Promise<RunningExporter>;

/** From so many on, Praefect's reconciler keeps to its own 5 minutes: one of its rounds takes seconds by then. */
const large = 50_000;

/** @returns the exit code: 0 after a clean end, 2 when it could not start or not end cleanly */
export async function runDemo(
  settings: Settings,
  io: CommandIo,
  options: DemoOptionValues,
  startExporter: StartExporter,
): Promise<number> {
  const say = (line: string): void => {
    io.stdout.write(happening(new Date(), line));
  };
  try {
    const listenAddress = await chooseAddress(settings, io, say);
    const demo = await startDemo({
      settings: {
        ...options,
        ...(options.repositories > large ? { timings: { reconcile: 300_000 } } : {}),
      },
      log: say,
      signal: io.signal,
      startExporter: (request) => startExporter({ ...request, listenAddress }),
    });
    io.stdout.write(
      greeting({
        url: demo.url,
        settings: options,
        topology: demo.topology,
        incidents: demo.incidents.list(),
        command: incidentCommand(io.system.env),
      }),
    );
    await demo.stopped;
    await demo.stop();
    say('the demo has ended');
    return 0;
  } catch (error) {
    if (io.signal.aborted) return 0;
    io.stderr.write(`gitaly-exporter: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

const loopback = '127.0.0.1';

/**
 * The settings' own addresses when somebody gave them. Else the usual port, on the loopback alone, for whoever
 * reaches a demo may set off its incidents; and any free port when a first demo has taken that one.
 */
async function chooseAddress(
  settings: Settings,
  io: CommandIo,
  say: (line: string) => void,
): Promise<readonly string[]> {
  if (io.origins.get('web.listen-address')?.source !== 'default') return settings.web.listenAddress;
  if (await isFree(defaultPort)) return [`${loopback}:${defaultPort}`];
  say(`port ${defaultPort} is taken: this demo listens on a free one`);
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
