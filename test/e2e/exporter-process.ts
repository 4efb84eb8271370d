/** The real program as a process, started as by an operator, read over HTTP, and ended by a signal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { compileCache } from '../support/tools.ts';

const root = join(import.meta.dirname, '..', '..');

export interface ExporterProcess {
  readonly url: string;
  /** Everything that it has written so far to both streams. */
  output(): string;
  get(
    path: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ status: number; text: string; headers: Headers }>;
  /** Sends the signal and waits for the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `gitaly-exporter serve` on a free port, and waits until it listens. `user`: a UID, where this process is root. */
export async function startExporter(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  user?: number,
): Promise<ExporterProcess> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      join(root, 'bin', 'gitaly-exporter.ts'),
      'serve',
      '--web.listen-address=127.0.0.1:0',
      '--log.format=logfmt',
      ...args,
    ],
    {
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...compileCache, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(user !== undefined && process.geteuid?.() === 0 && { uid: user, gid: user }),
    },
  );
  let output = '';
  const take = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  const url = await until(async () => {
    if (child.exitCode !== null) throw new Error(`the exporter ended with ${child.exitCode}:\n${output}`);
    return /url=(http:\S+?)\/?\s/.exec(output)?.[1];
  }, 'the exporter to listen');
  return {
    url,
    output: () => output,
    async get(path, headers = {}) {
      const response = await fetch(`${url}${path}`, { headers });
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null) return child.exitCode;
      const exit = once(child, 'exit');
      child.kill(signal);
      const [code] = (await exit) as [number | null];
      return code;
    },
  };
}

/** Calls `read` every 50 ms until it returns a value; throws after `limitMs`. */
export async function until<T>(
  read: () => Promise<T | undefined>,
  what: string,
  limitMs = 30_000,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await read();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
