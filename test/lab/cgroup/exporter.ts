/** The exporter as it runs on a node: not root, from a read-only mount, its log and its metrics read. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A line of the log that tells of kills. */
export interface Told {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly level: string;
  readonly processes: number;
  readonly message: string;
}

export interface Exporter {
  told(): readonly Told[];
  /** Stands still while that is done: it has happened when it looks again. */
  stopped(act: () => Promise<void>): Promise<void>;
  /** When it went on the last time, milliseconds since 1970. */
  resumedAt(): number;
  /** The text of /metrics. */
  scrape(): Promise<string>;
  stop(): Promise<void>;
}

const address = '127.0.0.1:9666';
const nobody = 65534;

export async function startExporter(
  bundle: string,
  out: string,
  settings: readonly string[],
): Promise<Exporter> {
  const flags = ['--cgroup.enabled', `--web.listen-address=${address}`, '--log.format=json', ...settings];
  const child = spawn(process.execPath, [bundle, 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    uid: nobody,
    gid: nobody,
    env: { HOME: '/' },
  });
  const told: Told[] = [];
  let resumedAt = 0;
  const log = createWriteStream(join(out, 'exporter.log'));
  child.stdout.pipe(log);
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.write(`${line}\n`);
    const { msg, oom_level, processes, time } = parsed(line);
    if (typeof processes !== 'number') return;
    told.push({ at: Date.parse(String(time)), level: String(oom_level), processes, message: String(msg) });
  });

  const scrape = async (): Promise<string> => (await fetch(`http://${address}/metrics`)).text();
  const exporter: Exporter = {
    told: () => told,
    resumedAt: () => resumedAt,
    async stopped(act) {
      child.kill('SIGSTOP');
      try {
        await act();
      } finally {
        resumedAt = Date.now();
        child.kill('SIGCONT');
      }
    },
    scrape,
    async stop() {
      child.kill('SIGTERM');
      while (child.exitCode === null && child.signalCode === null) await sleep(50);
    },
  };
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the exporter ended with ${child.exitCode}`);
    try {
      if ((await scrape()).includes('gitaly_server_oom_kills_total')) return exporter;
    } catch {
      // Not up yet.
    }
    await sleep(250);
  }
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

/** Sums of a counter by one label. */
export function sums(text: string, name: string, label: string): Record<string, number> {
  const result: Record<string, number> = {};
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`)) continue;
    const [, value = ''] = new RegExp(`[{,]${label}="([^"]*)"`).exec(line) ?? [];
    const number = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (number !== 0) result[value] = (result[value] ?? 0) + number;
  }
  return result;
}
