/** Starts what is installed of Prometheus, Alertmanager and Grafana on a running demo, and stops it with its files. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../../src/config/system.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { chooseAddress } from '../address.ts';
import { startGuard } from '../postgres/programs.ts';
import { type Addresses, writeConfiguration } from './configuration.ts';
import { onPath, type StackProgram, stackPrograms } from './programs.ts';

export interface Stack {
  /** Title and text of each line to print: addresses, and missing programs. */
  readonly lines: readonly (readonly [string, string])[];
  /** Ends the programs and removes their files. Idempotent. */
  stop(): Promise<void>;
}

export interface StackOptions {
  /** Address of the demo's exporter. */
  readonly url: string;
  readonly env: Environment;
  log(line: string): void;
  readonly signal: AbortSignal;
}

const startLimitMs = 60_000;
const stopLimitMs = 10_000;

/** @throws Error with the end of a program's log when it does not start; what was started is removed then */
export async function startStack({ url, env, log, signal }: StackOptions): Promise<Stack> {
  const found = await Promise.all(
    stackPrograms.map(async (program) => ({ program, file: await onPath(program.commands, env) })),
  );
  const folder = join(await realpath(tmpdir()), `gitaly-exporter-stack-${randomBytes(6).toString('hex')}`);
  const guard = startGuard(folder);
  const children: ChildProcess[] = [];
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await Promise.all(children.map(end));
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
      guard.dismiss();
    })();
    return stopping;
  };
  try {
    await mkdir(folder, { mode: 0o700 });
    const addresses: Addresses = {
      exporter: new URL(url).host,
      prometheus: await addressOf('prometheus', log),
      alertmanager: await addressOf('alertmanager', log),
      grafana: await addressOf('grafana', log),
    };
    const environment = await writeConfiguration(folder, addresses);
    const started = found.flatMap(({ program, file }) => (file === undefined ? [] : [{ program, file }]));
    for (const { program, file } of started) {
      const { args, env: own } = await program.start({ file, addresses, folder, exists });
      const logFile = join(folder, `${program.name}.log`);
      const output = openSync(logFile, 'w');
      const child = spawn(file, args, {
        cwd: folder,
        env: { ...env, ...(program.name === 'grafana' ? environment : {}), ...own },
        stdio: ['ignore', output, output],
        detached: true, // Ctrl-C must not reach it before the exporter has ended
      });
      closeSync(output);
      children.push(child);
      await writeFile(join(folder, `${program.name}.pid`), `${child.pid ?? ''}\n`);
      await ready(program, child, `http://${addresses[program.name]}`, logFile, signal);
    }
    return {
      lines: found.map(({ program, file }) => [
        program.title,
        file === undefined
          ? `not installed: ${program.missing}`
          : `http://${addresses[program.name]}${program.page}`,
      ]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function addressOf(name: StackProgram['name'], log: (line: string) => void): Promise<string> {
  const program = stackPrograms.find((each) => each.name === name);
  return chooseAddress(program?.defaultPort ?? 0, log);
}

async function ready(
  { title, readyPath }: StackProgram,
  child: ChildProcess,
  url: string,
  logFile: string,
  signal: AbortSignal,
): Promise<void> {
  let failure: string | undefined;
  child.once('error', (error) => {
    failure = error.message;
  });
  const deadline = systemClock.monotonic() + startLimitMs;
  while (systemClock.monotonic() < deadline) {
    signal.throwIfAborted();
    if (failure !== undefined || child.exitCode !== null || child.signalCode !== null) break;
    const response = await fetch(`${url}${readyPath}`).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok === true) return;
    await systemClock.sleep(100, signal);
  }
  signal.throwIfAborted();
  const end = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n').slice(-5).join('\n');
  throw new Error(`${title} did not start${failure === undefined ? '' : ` (${failure})`}:\n${end}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
  await exited;
  clearTimeout(force);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
