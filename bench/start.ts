/**
 * Time from exec to listening and to the first complete /metrics, and resident memory when idle, of built programs.
 *
 *   npm run bundle && node bench/start.ts [--rounds 9] [--idle-seconds 10] [COMMAND ...]
 *
 * A COMMAND is a command line that runs the exporter; the default is the bundle with this Node. Each round starts every
 * command once against an embedded PostgreSQL with 500 repositories x 3 replicas, and `node -e 0` as the measure of how
 * busy the machine is. Figures are medians.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort, praefectSchema, startPostgres } from '../test/support/postgres.ts';
import { heartbeat, seed } from './praefect-db/seed.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '9' },
    'idle-seconds': { type: 'string', default: '10' },
  },
});
const bundle = fileURLToPath(new URL('../bundle/bin/gitaly-exporter.js', import.meta.url));
const commands =
  positionals.length > 0 ? positionals : [`${process.execPath} --max-semi-space-size=4 ${bundle}`];

interface Start {
  readonly listeningMs: number;
  readonly completeMs: number;
  /** Of all threads, until complete. Less affected by the other load of the machine. */
  readonly cpuMs: number;
  readonly idleMiB: number;
}

/** Starts the command, waits until every collector has succeeded, and reads its memory after the idle time. */
async function start(command: string, database: string, idleSeconds: number): Promise<Start> {
  const address = `127.0.0.1:${await freePort()}`;
  const [program = '', ...words] = command.split(' ');
  const args = [`--praefect.database.url=${database}`, `--web.listen-address=${address}`];
  const began = performance.now();
  const child = spawn(program, [...words, 'serve', ...args], { stdio: ['ignore', 'ignore', 'ignore'] });
  try {
    let listeningMs: number | undefined;
    for (;;) {
      const text = await metricsOf(address);
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
      if (text !== undefined) listeningMs ??= performance.now() - began;
      if (listeningMs !== undefined && text !== undefined && isComplete(text)) break;
      await sleep(20);
    }
    const completeMs = performance.now() - began;
    const cpuMs = await cpuMsOf(child.pid ?? 0);
    await sleep(idleSeconds * 1000);
    return { listeningMs, completeMs, cpuMs, idleMiB: await residentMiB(child.pid ?? 0) };
  } finally {
    child.kill();
    if (child.exitCode === null) await once(child, 'exit');
  }
}

const metricsOf = async (address: string): Promise<string | undefined> => {
  const response = await fetch(`http://${address}/metrics`).catch(() => undefined);
  return response?.text();
};

/** Every enabled collector has succeeded, and the newest values of the largest tables are there. */
function isComplete(text: string): boolean {
  const successes = text.split('\n').filter((line) => line.startsWith('gitaly_exporter_collector_success{'));
  return (
    successes.length > 1 &&
    successes.every((line) => line.endsWith(' 1')) &&
    text.includes('praefect_db_repositories{')
  );
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

/** From /proc/<pid>/stat, in ticks of 10 ms. */
async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

async function bareNodeMs(): Promise<number> {
  const began = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - began;
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const row = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(13)).join('');

const server = await startPostgres();
let beats: NodeJS.Timeout | undefined;
try {
  const { name } = await server.createDatabase(praefectSchema('19.0'));
  const client = await server.client(name);
  await seed(client, 500);
  beats = setInterval(() => void client.query(heartbeat), 1000);
  const { user, password } = server.superuser;
  const url = `postgres://${user}:${password}@${server.host}:${server.port}/${name}?sslmode=disable`;
  const bare: number[] = [];
  const starts = new Map<string, Start[]>(commands.map((command) => [command, []]));
  for (let round = 0; round < Number(values.rounds); round += 1) {
    bare.push(await bareNodeMs());
    for (const [command, measured] of starts)
      measured.push(await start(command, url, Number(values['idle-seconds'])));
  }
  console.log(`node -e 0: ${Math.round(median(bare))} ms\n`);
  console.log(row(['listening ms', 'complete ms', 'CPU ms', 'idle MiB']));
  for (const [command, measured] of starts) {
    const figures = (['listeningMs', 'completeMs', 'cpuMs', 'idleMiB'] as const).map(
      (key) => `${Math.round(median(measured.map((each) => each[key])))}`,
    );
    console.log(`${row(figures)}  ${command}`);
  }
} finally {
  clearInterval(beats);
  await server.stop();
}
