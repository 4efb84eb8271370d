/**
 * Every query of every panel in a real Prometheus with the recording rules: on a scrape of the demo in a healthy hour,
 * and on an exposition that has every declared metric.
 *
 * The scrape is a file. To record it again: start the demo, wait a minute, and run this test with
 * RECORD_DEMO=http://127.0.0.1:9656/metrics.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { selectorsIn } from '../support/promql.ts';
import { hasTool, testWith } from '../support/tools.ts';
import { completeExposition } from './complete-exposition.ts';
import { emptyInHealthyHour } from './empty-in-healthy-hour.ts';
import { declaredMetrics, everyRecording, generated, isOfPrometheus, panelsOf } from './support.ts';

jest.setTimeout(60_000);

const recording = join(import.meta.dirname, '../fixtures/dashboards/demo-healthy.prom.gz');
const testInPrometheus = testWith('prometheus');

interface Query {
  /** `dashboard: panel [column or legend]`. */
  readonly name: string;
  readonly expr: string;
}

const queries: readonly Query[] = generated().flatMap(({ dashboard, name }) => [
  ...panelsOf(dashboard).flatMap(({ targets = [], title }) =>
    targets.map((target) => ({
      name: `${name}: ${title} [${(target as { legendFormat?: string }).legendFormat}]`,
      expr: target.expr,
    })),
  ),
]);

const annotations: readonly Query[] = (generated()[0]?.dashboard.annotations.list ?? []).map(
  ({ expr, name }) => ({
    name: `annotation: ${name}`,
    expr,
  }),
);

/** With every variable at "All" but the cluster, and ranges that fit a Prometheus of a few seconds. */
const filled = (expr: string, cluster: string): string =>
  expr
    // What is shown for nothing would hide that there is nothing.
    .replace(/\s+or on \(\)\s+(\(\s*)?vector\(-1\)[\s\S]*$/, '')
    .replaceAll('"$cluster"', JSON.stringify(cluster))
    .replaceAll(/"\$(job|instance)"/g, '".+"')
    .replaceAll(/"\$\w+"/g, '".*"')
    .replaceAll('$__rate_interval', '10s')
    .replaceAll('[$__range:10m]', '[30s:1s]')
    .replaceAll('$__range', '30s');

let folder: string;
let server: Server;
let prometheus: ChildProcess | undefined;
let base: string;
/** Seconds since 1970 of all evaluations: scrapes that fail later, on a busy machine, change nothing. */
let evaluatedAt: number;

beforeAll(async () => {
  if (!hasTool('prometheus')) return;
  const recordFrom = process.env['RECORD_DEMO'];
  if (recordFrom !== undefined) {
    const text = await (await fetch(recordFrom)).text();
    const lines = text.split('\n').filter((line) => !/^# HELP|nodejs_/.test(line));
    await writeFile(recording, gzipSync(lines.join('\n'), { level: 9 }));
  }
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-dashboards-'));
  const healthy = gunzipSync(await readFile(recording)).toString();
  const started = Date.now();
  server = createServer((request, response) => {
    const second = (Date.now() - started) / 1000 + 1;
    response.setHeader('content-type', 'text/plain; version=0.0.4');
    response.end(
      request.url === '/healthy' ? healthy : completeExposition(second, Math.floor(Date.now() / 1000)),
    );
  });
  const target = await listening(server);
  const free = createServer();
  const address = await listening(free);
  free.close();
  const job = (cluster: string) => ({
    job_name: `gitaly-exporter-${cluster}`,
    metrics_path: `/${cluster}`,
    honor_labels: true,
    static_configs: [{ targets: [target], labels: { cluster, namespace: 'gitlab' } }],
  });
  const alert = {
    alert: 'GitalyTest',
    expr: 'vector(1)',
    labels: { severity: 'critical', cluster: 'complete' },
  };
  // JSON is YAML.
  const recordings = everyRecording.flatMap(({ name, rules }) =>
    rules(defaultMonitoringSettings.thresholds).map(({ expression, labels }) => ({
      record: name,
      expr: expression.text,
      ...(labels !== undefined && { labels }),
    })),
  );
  const rules = { groups: [{ name: 'test', rules: [alert, ...recordings] }] };
  await writeFile(join(folder, 'rules.yml'), JSON.stringify(rules));
  await writeFile(
    join(folder, 'prometheus.yml'),
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ['rules.yml'],
      scrape_configs: [job('healthy'), job('complete')],
    }),
  );
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=${address}`,
    ],
    { stdio: 'ignore' },
  );
  base = `http://${address}`;
  await until(async () => {
    evaluatedAt = Date.now() / 1000;
    const scrapes = await result('count_over_time(up[1m]) >= 3 and up == 1');
    const isRecorded = (await result('gitaly:concurrency_wait:p95 >= 0')) > 0;
    return scrapes === 2 && isRecorded && (await result('ALERTS{alertstate="firing"}')) === 1;
  });
});

afterAll(async () => {
  if (prometheus !== undefined) {
    const ended = once(prometheus, 'exit');
    prometheus.kill();
    await ended;
  }
  server?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function listening(of: Server): Promise<string> {
  of.listen(0, '127.0.0.1');
  await once(of, 'listening');
  return `127.0.0.1:${(of.address() as AddressInfo).port}`;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 45_000; Date.now() < deadline; await sleep(250))
    if (await holds().catch(() => false)) return;
  throw new Error('Prometheus has no complete scrapes after 45 s');
}

/** The number of series that the query returns. */
async function result(query: string): Promise<number> {
  const response = await fetch(`${base}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query, time: String(evaluatedAt) }),
  });
  const body = (await response.json()) as {
    readonly status: string;
    readonly error?: string;
    readonly data?: { readonly result: readonly unknown[] };
  };
  if (body.status !== 'success') throw new Error(`${body.error}\n${query}`);
  return body.data?.result.length ?? 0;
}

async function recordedMetrics(): Promise<ReadonlySet<string>> {
  const text = gunzipSync(await readFile(recording)).toString();
  return new Set(text.match(/^[a-z]\w+/gm));
}

async function emptyOnes(of: readonly Query[], cluster: string): Promise<readonly string[]> {
  const counted = await Promise.all(
    of.map(async ({ expr, name }) => ({ name, series: await result(filled(expr, cluster)) })),
  );
  return counted.filter(({ series }) => series === 0).map(({ name }) => name);
}

describe('in a healthy hour of the demo', () => {
  test('the recorded scrape has only declared metrics', async () => {
    const unknown = [...(await recordedMetrics())].filter(
      (name) => !declaredMetrics.has(name.replace(/_sum$/, '_count')),
    );
    expect(unknown).toEqual([]);
  });

  testInPrometheus('only the queries that have nothing to show then return nothing', async () => {
    const known = await recordedMetrics();
    // Of Kubernetes, of settings that the demo does not have, newer than the recording.
    const isRecorded = (metric: string): boolean =>
      known.has(metric) || isOfPrometheus(metric) || metric.includes(':');
    const lacking = queries.filter(({ expr }) =>
      selectorsIn(expr).every(({ metric }) => !isRecorded(metric)),
    );
    const expected = [...Object.values(emptyInHealthyHour).flat(), ...lacking.map(({ name }) => name)];
    expect([...(await emptyOnes(queries, 'healthy'))].sort()).toEqual(expected.sort());
  });
});

describe('with every declared metric', () => {
  testInPrometheus('every query and every annotation returns data', async () => {
    expect(await emptyOnes([...queries, ...annotations], 'complete')).toEqual([]);
  });
});
