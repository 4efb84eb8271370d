/**
 * Measures how each cost grows, with the other benches, and keeps the results in scaling.json for scaling.ts.
 *
 *   npm run bundle && node bench/scaling-measure.ts [repositories|buckets|pods|series [size,...]]
 *
 * Without arguments everything, which takes a quarter of an hour. Points of other works and sizes are kept. Of small
 * sizes the median of three runs counts, because another process on the machine doubles a time of milliseconds.
 */
import { fork, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Figures } from './kubernetes.ts';
import type { Curve, Point } from './scaling.ts';

const file = new URL('scaling.json', import.meta.url);
const [wanted, wantedSizes] = process.argv.slice(2);
/** Those that were given, or all. */
const sizesOf = (...all: readonly number[]): readonly number[] => wantedSizes?.split(',').map(Number) ?? all;
const shippedFlags = ['--expose-gc', '--max-semi-space-size=4'];

const bench = (name: string): string => new URL(name, import.meta.url).pathname;

/** What the bench prints. */
function run(name: string, ...args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...shippedFlags, bench(name), ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  // Some exit with 1 where a goal of theirs is missed.
  if (stdout === '') throw new Error(`${name} exited with ${status}: ${stderr}`);
  console.log(stdout);
  return stdout;
}

function numberIn(text: string, pattern: RegExp): number {
  const value = Number(pattern.exec(text)?.[1]);
  if (!Number.isFinite(value)) throw new Error(`no ${pattern.source} in:\n${text}`);
  return value;
}

function repositories(): readonly Curve[] {
  const rows = { load: /^first load/, written: /^refresh, 100 /, all: /^all queries together/ };
  const points: Record<keyof typeof rows | 'memory', Point[]> = {
    load: [],
    written: [],
    all: [],
    memory: [],
  };
  for (const size of sizesOf(10_000, 100_000, 1_000_000, 3_000_000)) {
    const texts = Array.from({ length: size < 1_000_000 ? 3 : 1 }, () =>
      run('praefect-db/index.ts', '--repositories', String(size)),
    );
    const median = (start: RegExp, unit: RegExp): number =>
      texts
        .map((text) => numberIn(text.split('\n').find((line) => start.test(line)) ?? '', unit))
        .toSorted((a, b) => a - b)[texts.length >> 1] ?? Number.NaN;
    for (const [name, start] of Object.entries(rows) as [keyof typeof rows, RegExp][])
      points[name].push({ size, cost: median(start, /([\d.]+) ms/) });
    const residentMiB = /([\d.]+) MiB/;
    const cost = median(rows.load, residentMiB) - median(/^at the start/, residentMiB);
    points.memory.push({ size, cost: Math.max(1, cost) });
  }
  const of = 'repositories with 3 replicas';
  return [
    { what: 'Database time of the first load', of, unit: 'ms', points: points.load },
    { what: 'Database time of a refresh, 100 repositories written', of, unit: 'ms', points: points.written },
    { what: 'Database time of all queries of a refresh', of, unit: 'ms', points: points.all },
    { what: 'Memory of the reader', of, unit: 'MiB', points: points.memory },
  ];
}

function buckets(): readonly Curve[] {
  const sizes = sizesOf(100, 1000, 4000, 10_000, 20_000);
  const text = run('cgroup/index.ts', '--buckets', sizes.join(','), '--pods', '0');
  const points = sizes.map((size) => ({
    size,
    cost: numberIn(text, new RegExp(`^${size} buckets: exporter ([\\d.]+) ms`, 'm')),
  }));
  return [{ what: 'CPU of reading four files of each bucket', of: 'buckets', unit: 'ms', points }];
}

async function pods(): Promise<readonly Curve[]> {
  const points: Point[] = [];
  for (const size of sizesOf(10, 100, 1000, 5000)) {
    const start = (role: string, ...args: string[]) =>
      fork(bench('kubernetes.ts'), [role, ...args, '10', String(size)], { execArgv: shippedFlags });
    const server = start('server');
    const url = await new Promise<string>((resolve) =>
      server.once('message', (message) => resolve(String(message))),
    );
    const { listCpuSeconds } = await new Promise<Figures>((resolve) =>
      start('exporter', url).once('message', (message) => resolve(message as Figures)),
    );
    server.kill();
    points.push({ size, cost: Number((listCpuSeconds * 1000).toFixed(2)) });
  }
  return [{ what: 'CPU of listing pods of 13 KB', of: 'pods', unit: 'ms', points }];
}

function series(): readonly Curve[] {
  const sizes = sizesOf(1000, 10_000, 50_000, 200_000);
  const text = run('exposition.ts', '9', sizes.join(','));
  const points = sizes.map((size) => {
    const [, table = ''] = text.split(`\n${size.toLocaleString('en')} series`);
    return { size, cost: numberIn(table, /^this exporter {2,}(?:\S+\s+){4}([\d.]+)/m) };
  });
  return [{ what: 'CPU of a scrape in which every value is new', of: 'series', unit: 'ms', points }];
}

const works = { repositories, buckets, pods, series };
const before = (): readonly Curve[] => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as readonly Curve[];
  } catch {
    return [];
  }
};
for (const [name, work] of Object.entries(works)) {
  if (wanted !== undefined && wanted !== name) continue;
  const measured = await work();
  const earlier = before();
  const merged = measured.map((curve) => {
    const kept = earlier.find(({ what }) => what === curve.what)?.points ?? [];
    const others = kept.filter(({ size }) => !curve.points.some((point) => point.size === size));
    return { ...curve, points: [...others, ...curve.points].toSorted((a, b) => a.size - b.size) };
  });
  const known = earlier.map((curve) => merged.find(({ what }) => what === curve.what) ?? curve);
  const added = merged.filter(({ what }) => !earlier.some((curve) => curve.what === what));
  writeFileSync(file, `${JSON.stringify([...known, ...added], undefined, 2)}\n`);
}
