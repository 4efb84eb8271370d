/** Runs the exporter as on a node, without root and on a read-only mount, and reads its log and metrics. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A log line about kills. */
export interface LoggedKill {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly level: string;
  readonly processes: number;
}

export interface Exporter {
  logged(): readonly LoggedKill[];
  /** Stops the process (SIGSTOP) while `act` runs. */
  whileStopped(act: () => Promise<void>): Promise<void>;
  /** When the process last continued, in milliseconds since 1970. */
  resumedAt(): number;
  /** The text of /metrics. */
  scrape(): Promise<string>;
  stop(): Promise<void>;
}

const address = '127.0.0.1:9666';
const unprivilegedId = 65534;

export async function startExporter(
  bundle: string,
  out: string,
  settings: readonly string[],
): Promise<Exporter> {
  const flags = ['--cgroup.enabled', `--web.listen-address=${address}`, '--log.format=json', ...settings];
  const child = spawn(process.execPath, [bundle, 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    uid: unprivilegedId,
    gid: unprivilegedId,
    env: { HOME: '/' },
  });
  const logged: LoggedKill[] = [];
  let resumedAt = 0;
  const log = createWriteStream(join(out, 'exporter.log'));
  child.stdout.pipe(log);
  createInterface({ input: child.stderr }).on('line', (line) => {
    log.write(`${line}\n`);
    const { oom_level, processes, time } = parseLine(line);
    if (typeof processes !== 'number') return;
    logged.push({ at: Date.parse(String(time)), level: String(oom_level), processes });
  });

  const scrape = async (): Promise<string> => (await fetch(`http://${address}/metrics`)).text();
  const exporter: Exporter = {
    logged: () => logged,
    resumedAt: () => resumedAt,
    async whileStopped(act) {
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
      // Not listening yet.
    }
    await sleep(250);
  }
}

function parseLine(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

/** Sums of a counter by one label; a counter without labels counts as `withoutLabels`. */
export function sumsByLabel(
  text: string,
  name: string,
  label: string,
  withoutLabels = '',
): Record<string, number> {
  const result: Record<string, number> = {};
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    const [, value = withoutLabels] = new RegExp(`[{,]${label}="([^"]*)"`).exec(line) ?? [];
    const number = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (number !== 0) result[value] = (result[value] ?? 0) + number;
  }
  return result;
}
