/**
 * Every query of every panel in a real Prometheus with the recording rules: on a scrape of the demo in a
 * healthy hour, and on an exposition that has every declared metric.
 *
 * The scrape is a file. To record it again: start the demo, wait a minute, and run this test with
 * RECORD_DEMO=http://127.0.0.1:9656/metrics.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { listening, startPrometheus, type TestPrometheus } from '../support/prometheus.ts';
import { selectorsIn } from '../support/promql.ts';
import { hasTool, testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';
import { completeExposition } from './complete-exposition.ts';
import { emptyInHealthyHour } from './empty-in-healthy-hour.ts';
import { annotationQueries, everyQuery, filledIn, type NamedQuery } from './queries.ts';
import { declaredMetrics, everyRecording, isOfPrometheus, recordedMetrics } from './support.ts';

jest.setTimeout(60_000);

const recording = join(import.meta.dirname, '../fixtures/dashboards/demo-healthy.prom.gz');
const testInPrometheus = testWith('prometheus');

/** With ranges that fit a Prometheus with seconds of data. */
const filled = (expr: string, cluster: string): string =>
  filledIn(expr, { cluster, rateInterval: '10s', range: '30s', step: '1s' });

let folder: string;
let server: Server;
let prometheus: TestPrometheus | undefined;
/** The time of all evaluations, in seconds since 1970: scrapes that fail later, on a busy machine, have no effect. */
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
  const recordings = everyRecording.flatMap(({ name, rules }) =>
    rules(defaultMonitoringSettings.thresholds).map(({ expression, labels }) => ({
      record: name,
      expr: expression.text,
      ...(labels !== undefined && { labels }),
    })),
  );
  const rules = { groups: [{ name: 'test', rules: [alert, ...recordings] }] };
  await writeFile(join(folder, 'rules.yml'), JSON.stringify(rules));
  prometheus = await startPrometheus(folder, {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [job('healthy'), job('complete')],
  });
  await until(async () => {
    evaluatedAt = Date.now() / 1000;
    // Four successful scrapes: the steps of a subquery are whole seconds, so the newest one may not count yet.
    const scrapes = await result('sum_over_time(up[1m]) >= 4 and up == 1');
    const isRecorded = (await result('gitaly:concurrency_wait:p95 >= 0')) > 0;
    return scrapes === 2 && isRecorded && (await result('ALERTS{alertstate="firing"}')) === 1;
  }, 45_000);
});

afterAll(async () => {
  await prometheus?.stop();
  server?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const result = async (query: string): Promise<number> => (await prometheus?.count(query, evaluatedAt)) ?? 0;

async function scrapedMetrics(): Promise<ReadonlySet<string>> {
  const text = gunzipSync(await readFile(recording)).toString();
  return new Set(text.match(/^[a-z]\w+/gm));
}

async function emptyOnes(of: readonly NamedQuery[], cluster: string): Promise<readonly string[]> {
  const counted = await Promise.all(
    of.map(async ({ expr, name }) => ({ name, series: await result(filled(expr, cluster)) })),
  );
  return counted.filter(({ series }) => series === 0).map(({ name }) => name);
}

describe('queries in a healthy hour of the demo', () => {
  test('the recorded scrape has only declared metrics', async () => {
    const unknown = [...(await scrapedMetrics())].filter(
      (name) => !declaredMetrics.has(name.replace(/_sum$/, '_count')),
    );
    expect(unknown).toEqual([]);
  });

  testInPrometheus('only the queries that have nothing to show then return nothing', async () => {
    const known = await scrapedMetrics();
    // Metrics of Kubernetes, of settings that the demo does not have, or newer than the recording.
    const isKnown = (metric: string): boolean =>
      known.has(metric) || isOfPrometheus(metric) || recordedMetrics.has(metric);
    const lacking = everyQuery.filter(({ expr }) =>
      selectorsIn(filled(expr, 'healthy')).every(({ metric }) => !isKnown(metric)),
    );
    const expected = [...Object.values(emptyInHealthyHour).flat(), ...lacking.map(({ name }) => name)];
    expect([...(await emptyOnes(everyQuery, 'healthy'))].sort()).toEqual(expected.sort());
  });
});

describe('queries with every declared metric', () => {
  testInPrometheus('every query and every annotation returns data', async () => {
    expect(await emptyOnes([...everyQuery, ...annotationQueries], 'complete')).toEqual([]);
  });
});
