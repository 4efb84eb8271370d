/**
 * The cost of the dashboards in a real Prometheus that holds 50 Gitaly pods with 1,000 buckets each, 20 storages and
 * their exporters: per dashboard the slowest query and the series that its queries touch.
 *
 *     node bench/dashboards.ts [pods] [buckets]
 *
 * An hour of series is written as blocks with promtool, a sample per minute; those of single buckets have three minutes,
 * because the panels evaluate them at the end of the range only. Every query runs as Grafana sends it: all variables at
 * "All", and 60 steps of a minute, or one evaluation for tables and bars. Times are the best of three, without the
 * network, and the CPU time is that of Prometheus: the number to trust on a busy machine.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dashboards } from '../dashboards/index.ts';
import { everyMetric } from '../src/app/catalog.ts';
import type { Metric } from '../src/metrics/metric.ts';
import { exporterRecordings } from '../src/monitoring/recordings/exporter.ts';
import { gitalyRecordings } from '../src/monitoring/recordings/gitaly.ts';
import { limitRecordings } from '../src/monitoring/recordings/limits.ts';
import { platformRecordings } from '../src/monitoring/recordings/platform.ts';
import { praefectRecordings } from '../src/monitoring/recordings/praefect.ts';
import { defaultMonitoringSettings } from '../src/monitoring/settings.ts';

const pods = Number(process.argv[2] ?? 50);
const buckets = Number(process.argv[3] ?? 1000);
const storages = 20;
const rpcs = 5;
/** As many as Gitaly has. */
const leBounds = ['0.001', '0.005', '0.025', '0.1', '0.5', '1', '2.5', '5', '10', '30', '60', '+Inf'];
const goals = { slowestMs: 1000, series: 2000 };
const step = 60;
const range = 3600;
const bucketRange = 180;
const end = Math.floor(Date.now() / 1000 / step) * step;

type Labels = Readonly<Record<string, string>>;

const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** Values of open labels; a pod always has the same node. */
const openLabels: Readonly<Record<string, readonly string[]>> = {
  virtual_storage: ['default'],
  storage: numbered('gitaly', storages),
  from_storage: numbered('gitaly', storages),
  praefect: numbered('praefect', 3),
  grpc_method: numbered('Method', rpcs),
  bucket: numbered('', buckets).map((name) => name.slice(1)),
  collector: numbered('collector', 13),
  replicas: ['0', '1', '2', '3'],
  resource: numbered('resource', 9),
  // Rates are recorded only for what failed: here everything, for one reason.
  reason: ['timeout'],
  le: leBounds,
};

type Family = Pick<Metric, 'name' | 'type' | 'labelNames' | 'labels'>;

/** The series of recording rules, all of which Prometheus has as gauges. */
const recordedFamilies: readonly Family[] = [
  ...exporterRecordings,
  ...praefectRecordings,
  ...gitalyRecordings,
  ...limitRecordings,
  ...platformRecordings,
].map(({ labels, name }) => ({
  name,
  type: 'gauge',
  labelNames: labels.filter((label) => !['cluster', 'job', 'instance'].includes(label)),
  labels: {},
}));

function* seriesOf(metric: Family): Generator<Labels> {
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
        const choices =
          typeof closed === 'string' || closed === undefined ? (openLabels[name] ?? ['any']) : closed;
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

/** Writes the OpenMetrics text of all metrics that the expressions quote. */
async function writeWorld(file: string, quoted: string): Promise<number> {
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
  for (const metric of [...everyMetric, ...recordedFamilies].filter(({ name }) => quoted.includes(name))) {
    const family = metric.name.replace(/_total$/, '');
    await write(`# TYPE ${family} ${metric.type}`);
    const length = metric.labelNames.includes('bucket') ? bucketRange : range;
    for (const labels of seriesOf(metric)) {
      const lines: readonly [string, number][] =
        metric.type === 'histogram'
          ? leBounds.map((le, index) => [`${metric.name}_bucket${text({ ...labels, le })}`, index + 1])
          : [[`${metric.name}${text(labels)}`, 1]];
      for (const [name, slope] of lines) {
        series += 1;
        for (let at = end - length; at <= end; at += step) {
          const grown = slope * (at - (end - length));
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

interface Query {
  readonly dashboard: string;
  readonly panel: string;
  readonly expr: string;
  readonly instant: boolean;
}

interface PanelJson {
  readonly title: string;
  readonly type: string;
  readonly panels?: readonly PanelJson[];
  readonly targets?: readonly { readonly expr: string; readonly instant?: boolean }[];
}

const queries: readonly Query[] = dashboards(defaultMonitoringSettings).flatMap(({ json, name }) => {
  const { panels } = JSON.parse(json) as { readonly panels: readonly PanelJson[] };
  return panels
    .flatMap((panel) => [panel, ...(panel.panels ?? [])])
    .flatMap(({ targets = [], title }) =>
      targets.map(({ expr, instant = false }) => ({ dashboard: name, panel: title, expr, instant })),
    );
});

/** As Grafana fills in the variables: a rate over four scrapes of 30 s, and at least four steps. */
const filled = (expr: string): string =>
  expr
    .replaceAll(/"\$(job|instance)"/g, '".+"')
    .replaceAll(/"\$\w+"/g, '".*"')
    .replaceAll('$__rate_interval', `${4 * step}s`)
    .replaceAll('$__range', `${range}s`);

const folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-bench-'));
const address = '127.0.0.1:19797';
const api = async <T>(path: string, parameters: Record<string, string>): Promise<T> => {
  const response = await fetch(`http://${address}/api/v1/${path}`, {
    method: 'POST',
    body: new URLSearchParams(parameters),
  });
  const body = (await response.json()) as { readonly data: T; readonly error?: string };
  if (body.error !== undefined) throw new Error(`${body.error}: ${JSON.stringify(parameters)}`);
  return body.data;
};

interface Result {
  readonly result: readonly { readonly value: readonly [number, string] }[];
  readonly stats?: { readonly timings: { readonly evalTotalTime: number } };
}

/** Milliseconds of evaluation and of Prometheus' CPU time, the best of three. */
async function costOf({ expr, instant }: Query, pid: number): Promise<{ wall: number; cpu: number }> {
  const at = instant
    ? { time: String(end) }
    : { start: String(end - range), end: String(end), step: String(step) };
  const best = { wall: Number.POSITIVE_INFINITY, cpu: Number.POSITIVE_INFINITY };
  for (let run = 0; run < 3; run += 1) {
    const before = await cpuOf(pid);
    const { stats } = await api<Result>(instant ? 'query' : 'query_range', {
      query: filled(expr),
      stats: 'all',
      ...at,
    });
    best.cpu = Math.min(best.cpu, (await cpuOf(pid)) - before);
    best.wall = Math.min(best.wall, 1000 * (stats?.timings.evalTotalTime ?? Number.POSITIVE_INFINITY));
  }
  return best;
}

/** CPU time of the process so far, in milliseconds; Linux counts it in hundredths of a second. */
async function cpuOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ');
  return 10 * (Number(fields[13]) + Number(fields[14]));
}

/** The series that the selectors of the expression match, each selector once. */
async function seriesTouched({ expr }: Query): Promise<number> {
  const selectors = new Set(filled(expr).match(/\b[a-z][\w:]+\{[^}]*\}/g) ?? []);
  let sum = 0;
  for (const selector of selectors) {
    const { result } = await api<Result>('query', { query: `count(${selector})`, time: String(end) });
    sum += Number(result[0]?.value[1] ?? 0);
  }
  return sum;
}

try {
  const world = join(folder, 'world.om');
  const series = await writeWorld(world, queries.map(({ expr }) => expr).join(' '));
  const blocks = spawnSync('promtool', [
    'tsdb',
    'create-blocks-from',
    'openmetrics',
    '-q',
    world,
    join(folder, 'data'),
  ]);
  if (blocks.status !== 0) throw new Error(String(blocks.stderr));
  await rm(world);
  await writeFile(join(folder, 'prometheus.yml'), '{}');
  const prometheus = spawn(
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=${address}`,
      '--storage.tsdb.retention.time=10d',
    ],
    { stdio: 'ignore' },
  );
  try {
    for (let tries = 0; tries < 120; tries += 1) {
      if (
        await api('query', { query: '1' }).then(
          () => true,
          () => false,
        )
      )
        break;
      await sleep(500);
    }
    console.log(`${pods} pods, ${buckets} buckets each, ${storages} storages: ${series} series`);
    console.log('| dashboard | queries | slowest, ms | CPU, ms | its panel | most series | its panel |');
    console.log('| --- | --- | --- | --- | --- | --- | --- |');
    for (const [name, own] of Map.groupBy(queries, ({ dashboard }) => dashboard)) {
      const measured: { panel: string; wall: number; cpu: number; touched: number }[] = [];
      for (const query of own)
        measured.push({
          panel: query.panel,
          ...(await costOf(query, prometheus.pid ?? 0)),
          touched: await seriesTouched(query),
        });
      const [slowest] = measured.toSorted((a, b) => b.wall - a.wall);
      const [widest] = measured.toSorted((a, b) => b.touched - a.touched);
      console.log(
        `| ${name} | ${own.length} | ${slowest?.wall.toFixed(0)} | ${slowest?.cpu} | ${slowest?.panel} | ${widest?.touched} | ${widest?.panel} |`,
      );
      for (const { cpu, panel, touched, wall } of measured)
        if (cpu > goals.slowestMs || touched > goals.series)
          console.log(`  over a goal: ${panel}: ${wall.toFixed(0)} ms, CPU ${cpu} ms, ${touched} series`);
    }
  } finally {
    prometheus.kill();
    await once(prometheus, 'exit');
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
