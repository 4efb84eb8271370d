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
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dashboards } from '../dashboards/index.ts';
import { everyMetric } from '../src/app/catalog.ts';
import { defaultMonitoringSettings } from '../src/monitoring/settings.ts';
import { type BenchPrometheus, startPrometheusOn } from './prometheus.ts';
import { recordedFamilies, storages, times, writeWorld } from './world.ts';

const pods = Number(process.argv[2] ?? 50);
const buckets = Number(process.argv[3] ?? 1000);
const goals = { slowestMs: 1000, series: 2000 };
const step = 60;
const range = 3600;
const bucketRange = 180;
const end = Math.floor(Date.now() / 1000 / step) * step;

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

/** As Grafana replaces the variables: a rate over four scrapes of 30 s, and at least four steps. */
const filled = (expr: string): string =>
  expr
    .replaceAll(/"\$(job|instance)"/g, '".+"')
    .replaceAll(/"\$\w+"/g, '".*"')
    .replaceAll('$__rate_interval', `${4 * step}s`)
    .replaceAll('$__interval', `${step}s`)
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
async function costOf(
  { expr, instant }: Query,
  prometheus: BenchPrometheus,
): Promise<{ wall: number; cpu: number }> {
  const at = instant
    ? { time: String(end) }
    : { start: String(end - range), end: String(end), step: String(step) };
  const best = { wall: Number.POSITIVE_INFINITY, cpu: Number.POSITIVE_INFINITY };
  for (let run = 0; run < 3; run += 1) {
    const before = await prometheus.cpu();
    const { stats } = await api<Result>(instant ? 'query' : 'query_range', {
      query: filled(expr),
      stats: 'all',
      ...at,
    });
    best.cpu = Math.min(best.cpu, (await prometheus.cpu()) - before);
    best.wall = Math.min(best.wall, 1000 * (stats?.timings.evalTotalTime ?? Number.POSITIVE_INFINITY));
  }
  return best;
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
  const quoted = queries.map(({ expr }) => expr).join(' ');
  const series = await writeWorld({
    file: world,
    families: [...everyMetric, ...recordedFamilies].filter(({ name }) => quoted.includes(name)),
    pods,
    buckets,
    timesOf: ({ labelNames }) =>
      times(end - (labelNames.includes('bucket') ? bucketRange : range), end, step),
  });
  const prometheus = await startPrometheusOn(world, { folder, address, configuration: '{}' });
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
          ...(await costOf(query, prometheus)),
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
    await prometheus.stop();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
