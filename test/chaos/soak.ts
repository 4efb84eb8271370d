/**
 * The exporter under faults of all its sources at the same time: `npm run soak -- MINUTES`. Once a minute it prints what
 * the process uses and retains (soak-probe.ts), at the end the means of each third. Exit code 1 if the last third is
 * above the middle third, or if the exporter has ended. SOAK_SNAPSHOTS=10,30 writes heap snapshots at these minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultyServer, httpFaults } from './http-faults.ts';
import { goodPage, kubernetesFlags, ok } from './http-scenarios.ts';
import { behaviors, faultyPostgres } from './postgres-scenarios.ts';
import { growthOf, thirdsOf } from './soak-growth.ts';
import type { Probe } from './soak-probe.ts';

const minutes = Number(process.argv[2] ?? 60);
const snapshotMinutes = (process.env['SOAK_SNAPSHOTS'] ?? '').split(',').map(Number);
const pick = <T>(all: readonly T[]): T => {
  const one = all[Math.floor(Math.random() * all.length)];
  if (one === undefined) throw new Error('nothing to pick from');
  return one;
};

const folder = mkdtempSync(join(tmpdir(), 'soak-'));
const fault = {
  name: 'any',
  respond: (...args: Parameters<(typeof httpFaults)[0]['respond']>) => pick(httpFaults).respond(...args),
};
// Half of the requests to Gitaly succeed, so that its series appear and disappear.
const gitaly = await faultyServer(fault, () =>
  Math.random() < 0.5 ? ok('text/plain; version=0.0.4', goodPage) : undefined,
);
const kubernetes = await faultyServer(fault);
const postgres = await faultyPostgres(() => pick(behaviors));
const tree = join(folder, 'cgroup');

const port = await new Promise<number>((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const address = probe.address();
    probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
});
const exporter = spawn(
  process.execPath,
  [
    '--max-semi-space-size=4',
    '--expose-gc',
    `--import=${join(import.meta.dirname, 'soak-probe.ts')}`,
    join(import.meta.dirname, '../../bin/gitaly-exporter.ts'),
    'serve',
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=error',
    '--log.format=json',
    ...['a', 'b', 'c'].map((name) => `--gitaly.target=${name}=http://127.0.0.1:${gitaly.port}/metrics`),
    '--gitaly.scrape.interval=1s',
    '--gitaly.scrape.timeout=500ms',
    '--cgroup.enabled',
    `--cgroup.root=${tree}`,
    ...postgres.flags,
    ...kubernetesFlags(kubernetes.port, folder).filter((flag) => !flag.startsWith('--kubernetes.role')),
  ],
  {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // As in the image and in the systemd unit.
    env: { ...process.env, MALLOC_ARENA_MAX: '2' },
  },
);
let errors = 0;
exporter.stderr?.on('data', (text) => {
  errors += String(text).split('\n').length - 1;
});

/** Undefined if the exporter does not respond within ten seconds. */
async function probe(snapshotFile: string): Promise<Probe | undefined> {
  const response = once(exporter, 'message', {
    signal: AbortSignal.timeout(snapshotFile === '' ? 10_000 : 120_000),
  });
  exporter.send(snapshotFile);
  return response.then(([message]: Probe[]) => message).catch(() => undefined);
}

const probes: Probe[] = [];
let failedScrapes = 0;
const started = Date.now();
for (let round = 1; Date.now() < started + minutes * 60_000 && exporter.exitCode === null; round++) {
  await new Promise((resolve) => setTimeout(resolve, 2000));
  // The tree exists, is missing, and is not a directory, in turn.
  rmSync(tree, { recursive: true, force: true });
  if (round % 3 === 0) writeFileSync(tree, 'not a directory');
  await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) })
    .then((response) => response.arrayBuffer())
    .catch(() => failedScrapes++);
  const minute = Math.floor((Date.now() - started) / 60_000);
  if (minute <= probes.length) continue;
  const sample = await probe(
    snapshotMinutes.includes(minute) ? join(tmpdir(), `soak-${minute}.heapsnapshot`) : '',
  );
  if (sample === undefined) continue;
  probes.push(sample);
  console.log(`minute ${minute}`, sample, { errorsLogged: errors, failedScrapes });
}

const isRunning = exporter.exitCode === null;
const growth = growthOf(probes);
console.log('means of each third:', thirdsOf(probes));
console.log(isRunning ? 'the exporter runs' : `the exporter ended: ${exporter.exitCode}`);
console.log(growth.length === 0 ? 'no growth' : `growth: ${growth.join('; ')}`);
exporter.kill('SIGTERM');
if (isRunning) await once(exporter, 'exit');
await Promise.all([gitaly.stop(), kubernetes.stop(), postgres.stop()]);
rmSync(folder, { recursive: true, force: true });
process.exit(isRunning && growth.length === 0 ? 0 : 1);
