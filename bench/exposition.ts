/**
 * A scrape of 1,000 to 50,000 series (20 gauges of 4 labels): this exporter against prom-client and
 * @prometheus-io/client, with the same content, in the same run.
 *
 *   node --max-semi-space-size=4 bench/exposition.ts [rounds] [series,...]
 *
 * The flag is that of the shipped program: with Node's default, a garbage collection takes as long as a slice may.
 *
 * changed: all values are new. `update` is making samples of readings (for the clients: set() of each series),
 * `scrape` from the request to bytes. The clients' text becomes bytes too, since a socket takes nothing else.
 * cpu: of the main thread in a changed scrape, the number to trust on a busy machine.
 * loop: the longest time for which a changed scrape held the event loop; an idle loop shows 1 ms here.
 */
import { strict as assert } from 'node:assert';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import * as prometheusIo from '@prometheus-io/client';
import * as promClient from 'prom-client';
import { exposition } from '../src/metrics/exposition.ts';
import { anyValue, gauge } from '../src/metrics/metric.ts';

import { type Block, createSamples } from '../src/metrics/samples.ts';

const rounds = Number(process.argv[2] ?? 9);
/** Before those that count: an exporter runs for weeks, compiled. */
const warmUps = 3;
const sizes = (process.argv[3] ?? '1000,10000,50000').split(',').map(Number);
const goals = { series: 50_000, unchangedMs: 10, changedMs: 60, loopMs: 20 };

const metrics = Array.from({ length: 20 }, (_, i) =>
  gauge(`gitaly_server_bench_metric_${i}_bytes`, {
    labels: { namespace: anyValue, pod: anyValue, node: anyValue, bucket: anyValue },
    help: `Number ${i}, of about the length that help has.`,
    origin: 'memory.current',
  }),
);

interface Reading {
  readonly labels: {
    readonly namespace: string;
    readonly pod: string;
    readonly node: string;
    readonly bucket: string;
  };
  readonly value: number;
}

/** One metric's series. Two in three are whole numbers, as of bytes. */
const readings = (count: number, round: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    labels: {
      namespace: 'gitlab-production',
      pod: `gitlab-gitaly-default-${i % 50}`,
      node: `ip-10-0-0-${i % 200}.internal`,
      bucket: `repos-${i}`,
    },
    value: i % 3 === 0 ? (i + round) / 7 : (i + round) * 1_234_567,
  }));

interface Contestant {
  readonly name: string;
  update(series: readonly Reading[]): void;
  scrape(): Promise<Buffer[]>;
}

function ours(name: string, request: { accept?: string; acceptEncoding?: string }): Contestant {
  let blocks: Block[] = [];
  return {
    name,
    update(series) {
      const samples = createSamples();
      for (const metric of metrics)
        for (const { labels, value } of series) samples.set(metric, labels, value);
      const families = samples.families();
      blocks = [0, 5, 10, 15].map((from) => ({ families: families.slice(from, from + 5) }));
    },
    async scrape() {
      return [...(await exposition(blocks, request)).body];
    },
  };
}

function client(name: string, { Registry, Gauge }: typeof promClient | typeof prometheusIo): Contestant {
  const register = new Registry();
  const gauges = metrics.map(
    (metric) =>
      new Gauge({
        name: metric.name,
        help: metric.help,
        labelNames: [...metric.labelNames],
        registers: [register as never],
      }),
  );
  return {
    name,
    update(series) {
      for (const each of gauges) for (const { labels, value } of series) each.set(labels, value);
    },
    scrape: async () => [Buffer.from(await register.metrics())],
  };
}

const linesOf = (body: readonly Buffer[]): string =>
  Buffer.concat([...body])
    .toString()
    .split('\n')
    .filter(Boolean)
    .sort()
    .join('\n');

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

interface Result {
  readonly update: number;
  readonly changed: number;
  readonly unchanged: number;
  readonly cpu: number;
  readonly loop: number;
}

async function measure(contestant: Contestant, size: number): Promise<Result> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  const results: Result[] = [];
  for (let round = 0; round < warmUps + rounds; round++) {
    const series = readings(size / metrics.length, round);
    const update = await timed(() => contestant.update(series));
    loop.enable();
    loop.reset();
    await sleep(5); // The monitor measures from one of its own ticks to the next.
    const cpuBefore = process.threadCpuUsage();
    const changed = await timed(() => contestant.scrape());
    const { user, system } = process.threadCpuUsage(cpuBefore);
    const cpu = (user + system) / 1000;
    await sleep(5);
    const held = loop.max / 1e6;
    loop.disable();
    const unchanged = await timed(() => contestant.scrape());
    if (round >= warmUps) results.push({ update, changed, unchanged, cpu, loop: held });
  }
  const middle = (of: keyof Result): number => median(results.map((result) => result[of]));
  return {
    update: middle('update'),
    changed: middle('changed'),
    unchanged: middle('unchanged'),
    cpu: middle('cpu'),
    loop: middle('loop'),
  };
}

const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 0);

const print = (name: string, cells: readonly string[]): void =>
  console.log(name.padEnd(24) + cells.map((cell) => cell.padStart(10)).join(''));

/** One after the other, and only one in memory at a time: what others keep is work for the garbage collector. */
const contestants: readonly (() => Contestant)[] = [
  () => ours('this exporter', {}),
  () => ours('this exporter, gzip', { accept: 'application/openmetrics-text', acceptEncoding: 'gzip' }),
  () => client('prom-client', promClient),
  () => client('@prometheus-io/client', prometheusIo),
];

for (const size of sizes) {
  let first: { readonly result: Result; readonly lines: string } | undefined;
  for (const create of contestants) {
    const contestant = create();
    contestant.update(readings(size / metrics.length, 0));
    const body = await contestant.scrape();
    const result = await measure(contestant, size);
    if (first === undefined) {
      first = { result, lines: linesOf(body) };
      const megabytes = (Buffer.byteLength(first.lines) / 1e6).toFixed(2);
      console.log(`\n${size.toLocaleString('en')} series, ${megabytes} MB, medians of ${rounds}, ms`);
      print('', ['unchanged', 'ratio', 'changed', 'ratio', 'cpu', 'update', 'loop']);
    }
    if (!contestant.name.endsWith('gzip'))
      assert.equal(linesOf(body), first.lines, 'all have the same lines');
    print(contestant.name, [
      ms(result.unchanged),
      `x${(result.unchanged / first.result.unchanged).toFixed(0)}`,
      ms(result.changed),
      `x${(result.changed / first.result.changed).toFixed(1)}`,
      ms(result.cpu),
      ms(result.update),
      ms(result.loop),
    ]);
  }
  if (size === goals.series && first !== undefined) {
    const { unchanged, changed, loop } = first.result;
    const met = unchanged <= goals.unchangedMs && changed <= goals.changedMs && loop <= goals.loopMs;
    console.log(
      `goal: unchanged ${goals.unchangedMs}, changed ${goals.changedMs}, loop ${goals.loopMs}: ${met ? 'met' : 'MISSED'}`,
    );
    process.exitCode = met ? 0 : 1;
  }
}
