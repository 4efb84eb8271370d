/** The exposition as real clients read it: Prometheus over HTTP, curl, and fetch. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { exposition, expositionText } from '../../src/metrics/exposition.ts';
import { anyValue, gauge } from '../../src/metrics/metric.ts';
import { createProcessMetrics } from '../../src/metrics/process.ts';
import { type Block, createSamples } from '../../src/metrics/samples.ts';
import { testWith } from '../support/tools.ts';
import { example } from './example.ts';

const many = gauge('many_series', { help: 'Many.', origin: 'here', labels: { i: anyValue } });
const blocks: Block[] = [example()];

/** `/negotiated` responds to the headers of the request, `/text` as if it had none. */
const server = createServer(async ({ headers, url }, response) => {
  const accepted = { accept: headers.accept, acceptEncoding: headers['accept-encoding'] };
  const result = await exposition(blocks, url === '/text' ? {} : accepted);
  seen.set(url ?? '', result.headers);
  response.writeHead(200, result.headers);
  for (const piece of result.body) response.write(piece);
  response.end();
});
const seen = new Map<string, Readonly<Record<string, string>>>();
let address: string;

beforeAll(async () => {
  const samples = createSamples();
  for (let i = 0; i < 2000; i++) samples.set(many, { i: `${i}` }, i);
  blocks.push({ families: samples.families() }, await createProcessMetrics()());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server.closeAllConnections();
  await promisify(server.close.bind(server))();
});

describe('compressed', () => {
  testWith('curl')('curl reads all of it', async () => {
    const url = `http://${address}/negotiated`;
    const { stdout } = await promisify(execFile)('curl', ['-sf', '--compressed', url], { maxBuffer: 1e8 });
    expect(seen.get('/negotiated')).toHaveProperty('Content-Encoding', 'gzip');
    expect(stdout).toBe(expositionText(blocks, 'text'));
  });

  test('fetch reads all of it', async () => {
    const response = await fetch(`http://${address}/negotiated`, { headers: { 'accept-encoding': 'gzip' } });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.text()).toBe(expositionText(blocks, 'text'));
  });
});

testWith('prometheus')(
  'Prometheus scrapes OpenMetrics in gzip, and plain text, to the same series',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'prometheus-'));
    const job = (name: string) =>
      `{job_name: ${name}, scrape_interval: 1s, metrics_path: /${name}, static_configs: [{targets: ['${address}']}]}`;
    await writeFile(join(directory, 'config.yml'), `scrape_configs: [${job('negotiated')}, ${job('text')}]`);
    const prometheus = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'config.yml')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        '--web.listen-address=127.0.0.1:0',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const ended = once(prometheus, 'exit');
    try {
      const api = await listeningAddress(prometheus.stderr);
      const query = async (promql: string): Promise<Result[]> => {
        const response = await fetch(`${api}/api/v1/query?query=${encodeURIComponent(promql)}`);
        if (!response.ok) return []; // Not ready yet.
        return ((await response.json()) as { data: { result: Result[] } }).data.result;
      };
      await until(async () => (await query('scrape_samples_scraped')).length === 2);

      expect(seen.get('/negotiated')).toMatchObject({
        'Content-Type': 'application/openmetrics-text; version=1.0.0; charset=utf-8',
        'Content-Encoding': 'gzip',
      });
      expect((await query('up')).map(({ metric, value }) => [metric['job'], value[1]]).sort()).toEqual([
        ['negotiated', '1'],
        ['text', '1'],
      ]);
      expect((await query('count by (job) (many_series)')).map(({ value }) => value[1])).toEqual([
        '2000',
        '2000',
      ]);
      const named = await query('praefect_db_replication_jobs{job="negotiated"}');
      expect(named.map(({ metric }) => metric['virtual_storage'])).toEqual(
        expect.arrayContaining(['a "quoted"\\ back\nslash', 'Größe 日本 🦊']),
      );
      for (const name of [
        'gitaly_exporter_database_time_seconds_total',
        'process_max_fds',
        'nodejs_version_info',
      ])
        expect((await query(`count(${name})`))[0]?.value[1]).toBe('2');
      const differing = 'sum by (job) (gitaly_server_concurrency_wait_seconds_bucket{le!~"1|1.0"})';
      expect((await query(differing)).map(({ value }) => value[1])).toEqual(['10', '10']);

      const response = await fetch(
        `${api}/api/v1/targets/metadata?metric=praefect_db_longest_transaction_seconds`,
      );
      const metadata = ((await response.json()) as { data: Record<string, string>[] }).data;
      expect(metadata.map(({ type }) => type)).toEqual(['gauge', 'gauge']);
      expect(metadata.map(({ unit }) => unit).sort()).toEqual(['', 'seconds']);
      for (const { help } of metadata) expect(help).toContain('"state" <> \\N');
    } finally {
      prometheus.kill();
      await ended;
      await rm(directory, { recursive: true, force: true });
    }
  },
  60_000,
);

interface Result {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** The address from the log; rejects when the program ends without logging it. */
async function listeningAddress(log: NodeJS.ReadableStream): Promise<string> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: log })) {
    lines.push(line);
    const found = /msg="Listening on" address=(\S+)/.exec(line);
    if (found !== null) {
      log.resume();
      return `http://${found[1]}`;
    }
  }
  throw new Error(`prometheus ended:\n${lines.join('\n')}`);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('waited 30 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
