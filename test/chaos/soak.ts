/**
 * The exporter under faults of all its sources at the same time: `npm run soak -- MINUTES`. Prints resident memory, open
 * descriptors and active resources once a minute; exit code 1 if the last third of the run is above the middle third.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultyServer, httpFaults } from './http-faults.ts';
import { goodPage, kubernetesFlags, ok } from './http-scenarios.ts';
import { behaviors, faultyPostgres } from './postgres-scenarios.ts';

const minutes = Number(process.argv[2] ?? 60);
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
// Half of the requests to Gitaly are well, so that its series come and go.
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
  { stdio: ['ignore', 'ignore', 'pipe'] },
);
let errors = 0;
exporter.stderr.on('data', (text) => {
  errors += String(text).split('\n').length - 1;
});

interface Sample {
  readonly rssMiB: number;
  readonly descriptors: number;
  readonly resources: number;
}
const samples: Sample[] = [];
const sumOf = (text: string, name: string): number =>
  [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );

const end = Date.now() + minutes * 60_000;
for (let second = 0; Date.now() < end && exporter.exitCode === null; second += 2) {
  await new Promise((resolve) => setTimeout(resolve, 2000));
  // The tree comes, goes and is garbage.
  rmSync(tree, { recursive: true, force: true });
  if (second % 6 === 0) writeFileSync(tree, 'not a directory');
  const text = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) })
    .then((response) => response.text())
    .catch(() => undefined);
  if (text === undefined) continue;
  samples.push({
    rssMiB: sumOf(text, 'process_resident_memory_bytes') / 2 ** 20,
    descriptors: sumOf(text, 'process_open_fds'),
    resources: sumOf(text, 'nodejs_active_resources'),
  });
  if (second % 60 === 0) console.log(`${second / 60} min`, samples.at(-1), `errors logged ${errors}`);
}

const third = (from: number): readonly Sample[] =>
  samples.slice(Math.floor((samples.length * from) / 3), Math.floor((samples.length * (from + 1)) / 3));
const mean = (some: readonly Sample[], key: keyof Sample): number =>
  some.reduce((sum, sample) => sum + sample[key], 0) / Math.max(1, some.length);
const isRunning = exporter.exitCode === null;
const keys = ['rssMiB', 'descriptors', 'resources'] as const;
const growth = Object.fromEntries(keys.map((key) => [key, mean(third(2), key) / mean(third(1), key)]));
console.log({
  samples: samples.length,
  isRunning,
  middle: keys.map((key) => mean(third(1), key)),
  last: keys.map((key) => mean(third(2), key)),
  growth,
});
exporter.kill('SIGTERM');
await new Promise((resolve) => exporter.once('exit', resolve));
await Promise.all([gitaly.stop(), kubernetes.stop(), postgres.stop()]);
rmSync(folder, { recursive: true, force: true });
process.exit(isRunning && Object.values(growth).every((ratio) => ratio < 1.15) ? 0 : 1);
