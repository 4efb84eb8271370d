/**
 * A synthetic cluster as series: a number of Gitaly pods with buckets, storages and exporters, for benches with
 * Prometheus.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Metric } from '../src/metrics/metric.ts';
import { bucketRecordings, busiestBuckets } from '../src/monitoring/recordings/buckets.ts';
import { exporterRecordings } from '../src/monitoring/recordings/exporter.ts';
import { gitalyRecordings } from '../src/monitoring/recordings/gitaly.ts';
import { limitRecordings } from '../src/monitoring/recordings/limits.ts';
import { platformRecordings } from '../src/monitoring/recordings/platform.ts';
import { praefectRecordings } from '../src/monitoring/recordings/praefect.ts';

export const storages = 20;
const rpcs = 5;
/** The number of RPCs that Gitaly has. */
const leBounds = ['0.001', '0.005', '0.025', '0.1', '0.5', '1', '2.5', '5', '10', '30', '60', '+Inf'];

type Labels = Readonly<Record<string, string>>;

const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** Values of open labels; a pod always has the same node. */
const openLabels = (buckets: number): Readonly<Record<string, readonly string[]>> => ({
  virtual_storage: ['default'],
  storage: numbered('gitaly', storages),
  from_storage: numbered('gitaly', storages),
  praefect: numbered('praefect', 3),
  grpc_method: numbered('Method', rpcs),
  bucket: numbered('', buckets).map((name) => name.slice(1)),
  collector: numbered('collector', 13),
  replicas: ['0', '1', '2', '3'],
  resource: numbered('resource', 9),
  // Rates are recorded only for failures: here for everything, with one reason.
  reason: ['timeout'],
  le: leBounds,
});

export type SeriesFamily = Pick<Metric, 'name' | 'type' | 'labelNames' | 'labels'>;

/** The series of recording rules, which Prometheus stores as gauges. */
export const recordedFamilies: readonly SeriesFamily[] = [
  ...exporterRecordings,
  ...praefectRecordings,
  ...gitalyRecordings,
  ...bucketRecordings,
  ...limitRecordings,
  ...platformRecordings,
].map(({ labels, name }) => ({
  name,
  type: 'gauge',
  labelNames: labels.filter((label) => !['cluster', 'job', 'instance'].includes(label)),
  labels: {},
}));

function* seriesOf(metric: SeriesFamily, pods: number, buckets: number): Generator<Labels> {
  // A recording rule keeps the busiest ones.
  const open = openLabels(metric.name.includes(':') ? Math.min(buckets, busiestBuckets) : buckets);
  const target = { cluster: 'production', job: 'gitaly-exporter' };
  const isOfServer = metric.labelNames.includes('pod') || metric.labelNames.includes('node');
  const ofEveryExporter = /^gitaly_exporter[_:]/.test(metric.name);
  for (let pod = 0; pod < (isOfServer || ofEveryExporter ? pods : 1); pod += 1) {
    const own: Labels = {
      ...target,
      instance: isOfServer || ofEveryExporter ? `agent-${pod}:9656` : 'gitaly-exporter:9656',
      namespace: 'gitlab',
      ...(metric.labelNames.includes('pod') && { pod: `gitaly-${pod}` }),
      ...(metric.labelNames.includes('node') && { node: `node-${pod}` }),
    };
    const free = metric.labelNames.filter((name) => !['namespace', 'pod', 'node'].includes(name));
    yield* free.reduce<readonly Labels[]>(
      (combined, name) => {
        const closed = metric.labels[name];
        const choices = typeof closed === 'string' || closed === undefined ? (open[name] ?? ['any']) : closed;
        return combined.flatMap((labels) => choices.map((value) => ({ ...labels, [name]: value })));
      },
      [own],
    );
  }
}

const text = (labels: Labels): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}}`;

interface World {
  readonly file: string;
  readonly families: readonly SeriesFamily[];
  readonly pods: number;
  /** Of each pod. */
  readonly buckets: number;
  /** When there are samples, in seconds since 1970, in order. */
  readonly timesOf: (family: SeriesFamily) => readonly number[];
}

/** From `from` to `end`, both included. */
export const times = (from: number, end: number, step: number): readonly number[] =>
  Array.from({ length: Math.floor((end - from) / step) + 1 }, (_, index) => from + index * step);

/** Writes OpenMetrics text for promtool. Returns the number of series. */
export async function writeWorld(world: World): Promise<number> {
  const { buckets, file, pods } = world;
  const out = createWriteStream(file);
  let series = 0;
  let pending: string[] = [];
  const write = async (line: string) => {
    pending.push(line);
    if (pending.length < 20_000) return;
    const full = !out.write(`${pending.join('\n')}\n`);
    pending = [];
    if (full) await once(out, 'drain');
  };
  for (const metric of world.families) {
    const family = metric.name.replace(/_total$/, '');
    await write(`# TYPE ${family} ${metric.type}`);
    const moments = world.timesOf(metric);
    const start = moments[0] ?? 0;
    for (const labels of seriesOf(metric, pods, buckets)) {
      const lines: readonly [string, number][] =
        metric.type === 'histogram'
          ? leBounds.map((le, index) => [`${metric.name}_bucket${text({ ...labels, le })}`, index + 1])
          : [[`${metric.name}${text(labels)}`, 1]];
      for (const [name, slope] of lines) {
        series += 1;
        for (const at of moments) {
          const grown = slope * (at - start);
          const value =
            metric.type === 'gauge' ? (metric.name.includes('_timestamp_') ? at : 1 + (at % 7)) : grown;
          await write(`${name} ${value} ${at}`);
        }
      }
    }
  }
  await write('# EOF');
  out.end(`${pending.join('\n')}\n`);
  await once(out, 'finish');
  return series;
}
