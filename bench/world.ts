/**
 * A synthetic cluster as series, for benches with Prometheus: a number of Gitaly pods with buckets and an agent each,
 * storages, and one exporter for the cluster. Every gauge and counter moves all the time, so that most alerts fire.
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
import { checksCollectorName } from '../src/rules/checks/collector.ts';
import { httpFailureReasons, ownFailureReasons } from '../src/scheduler/outcome.ts';
import { cgroupFailureReasons } from '../src/sources/cgroup/messages.ts';
import { cgroupCollectorNames } from '../src/sources/cgroup/source.ts';
import { gitalyCollectorNames } from '../src/sources/gitaly/collector.ts';
import { kubernetesCollectorNames } from '../src/sources/kubernetes/source.ts';
import { maintenanceCollectorNames } from '../src/sources/maintenance/source.ts';
import { praefectCollectorNames } from '../src/sources/praefect/collector-names.ts';
import { databaseFailureReasons } from '../src/sources/praefect/query.ts';
import { storageCollectorNames, storageInfo } from '../src/sources/storages/source.ts';

export const storages = 20;
const rpcs = 5;
/** The number of RPCs that Gitaly has. */
const leBounds = ['0.001', '0.005', '0.025', '0.1', '0.5', '1', '2.5', '5', '10', '30', '60', '+Inf'];

type Labels = Readonly<Record<string, string>>;

const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** The reasons that each collector counts. */
const reasonsOf: ReadonlyMap<string, readonly string[]> = new Map(
  (
    [
      [praefectCollectorNames, databaseFailureReasons],
      [[...kubernetesCollectorNames, ...gitalyCollectorNames], httpFailureReasons],
      [[...maintenanceCollectorNames, ...storageCollectorNames, checksCollectorName], ownFailureReasons],
      [cgroupCollectorNames, cgroupFailureReasons],
    ] as const
  ).flatMap(([names, reasons]) => names.map((name) => [name, reasons] as const)),
);
const agentCollectors = [...cgroupCollectorNames, checksCollectorName];

/** What exists of all combinations of label values. `server`: the number of the pod, or of its agent. */
function exists(metric: SeriesFamily, labels: Labels, server: number, isAgent: boolean): boolean {
  const { collector = '', reason = '', resource, storage } = labels;
  if (metric.name === storageInfo.name) return storage === `gitaly-${server % storages}`;
  if (!ofEveryExporter.test(metric.name)) return true;
  if (resource !== undefined && isAgent) return false;
  if (collector === '') return true;
  const counted = reasonsOf.get(collector);
  return (
    agentCollectors.includes(collector) === isAgent && (reason === '' || counted?.includes(reason) === true)
  );
}

const ofEveryExporter = /^gitaly_exporter[_:]/;

/** Values of open labels; a pod always has the same node. */
const openLabels = (buckets: number): Readonly<Record<string, readonly string[]>> => ({
  virtual_storage: ['default'],
  storage: numbered('gitaly', storages),
  from_storage: numbered('gitaly', storages),
  praefect: numbered('praefect', 3),
  grpc_method: numbered('Method', rpcs),
  bucket: numbered('', buckets).map((name) => name.slice(1)),
  collector: [...reasonsOf.keys()],
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
  const isOfExporter = ofEveryExporter.test(metric.name);
  const servers = isOfExporter ? pods + 1 : isOfServer ? pods : 1;
  for (let pod = 0; pod < servers; pod += 1) {
    const isAgent = isOfExporter ? pod < pods : isOfServer;
    const own: Labels = {
      ...target,
      instance: isAgent ? `agent-${pod}:9656` : 'gitaly-exporter:9656',
      namespace: 'gitlab',
      ...(metric.labelNames.includes('pod') && { pod: `gitaly-${pod}` }),
      ...(metric.labelNames.includes('node') && { node: `node-${pod}` }),
    };
    const free = metric.labelNames.filter((name) => !['namespace', 'pod', 'node'].includes(name));
    const all = free.reduce<readonly Labels[]>(
      (combined, name) => {
        const closed = metric.labels[name];
        const choices = typeof closed === 'string' || closed === undefined ? (open[name] ?? ['any']) : closed;
        return combined.flatMap((labels) => choices.map((value) => ({ ...labels, [name]: value })));
      },
      [own],
    );
    yield* all.filter((labels) => exists(metric, labels, pod, isAgent));
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
