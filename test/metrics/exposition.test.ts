import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { exposition, expositionText, prepare } from '../../src/metrics/exposition.ts';
import { anyValue, gauge } from '../../src/metrics/metric.ts';
import { rendered, renderedNow } from '../../src/metrics/rendered.ts';
import { type Block, createSamples, emptyBlock } from '../../src/metrics/samples.ts';
import { example, jobsOf } from './example.ts';

const prometheus2 = {
  accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5',
  acceptEncoding: 'gzip',
};

const wide = (name: string, series: number): Block => {
  const metric = gauge(name, { help: 'Wide.', origin: 'here', labels: { i: anyValue } });
  const samples = createSamples();
  for (let i = 0; i < series; i++) samples.set(metric, { i: `series ${i}` }, i / 7);
  return { families: samples.families() };
};

describe('the exposition', () => {
  test('is uncompressed text 0.0.4 for a request without headers', async () => {
    const block = example();
    const { headers, body } = await exposition([block]);
    expect(Buffer.concat(body).toString()).toBe(expositionText([block], 'text'));
    expect(headers).toEqual({
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      'Content-Length': String(Buffer.concat(body).length),
      Vary: 'Accept, Accept-Encoding',
      'Cache-Control': 'no-store',
    });
  });

  test('is gzip-compressed OpenMetrics for Prometheus', async () => {
    const blocks = [example(), emptyBlock, wide('wide', 1000)];
    const { headers, body } = await exposition(blocks, prometheus2);
    expect(gunzipSync(Buffer.concat(body)).toString()).toBe(expositionText(blocks, 'openmetrics'));
    expect(headers).toMatchObject({
      'Content-Type': 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      'Content-Encoding': 'gzip',
      'Content-Length': String(Buffer.concat(body).length),
    });
  });

  test.each(['gzip', 'identity'])('is empty but valid without families (%s)', async (acceptEncoding) => {
    for (const blocks of [[], [emptyBlock]]) {
      const { body } = await exposition(blocks, { acceptEncoding });
      const bytes = Buffer.concat(body);
      expect((acceptEncoding === 'gzip' ? gunzipSync(bytes) : bytes).toString()).toBe('');
    }
  });

  test('merges a family that two blocks share, also when compressed', async () => {
    const part = (storage: string): Block => ({ families: [jobsOf(storage, 1)] });
    const blocks = [part('a'), example(), part('b')];
    const { body } = await exposition(blocks, prometheus2);
    const text = gunzipSync(Buffer.concat(body)).toString();
    expect(text).toBe(expositionText(blocks, 'openmetrics'));
    expect(text.match(/# TYPE praefect_db_replication_jobs /g)).toHaveLength(1);
  });

  test('is correct for concurrent scrapes, each with its own format', async () => {
    const blocks = [wide('one', 3000), example(), wide('two', 3000)];
    const expositions = await Promise.all(
      Array.from({ length: 10 }, (_, i) => exposition(blocks, i % 2 === 0 ? prometheus2 : {})),
    );
    for (const [i, { body }] of expositions.entries()) {
      const bytes = Buffer.concat(body);
      expect((i % 2 === 0 ? gunzipSync(bytes) : bytes).toString()).toBe(
        expositionText(blocks, i % 2 === 0 ? 'openmetrics' : 'text'),
      );
    }
  });
});

describe('an unchanged block', () => {
  test.each([{}, prometheus2])('is sent with the bytes of the last scrape (%j)', async (request) => {
    const [kept, before, after] = [wide('kept', 500), wide('changing', 3), wide('changing', 4)];
    const first = await exposition([kept, before], request);
    const second = await exposition([kept, after], request);
    const shared = first.body.filter((piece) => second.body.includes(piece) && piece.length > 100);
    expect(shared).toHaveLength(1);
  });

  test('is rendered and compressed by prepare() in the format of the newest scrape', async () => {
    await exposition([], prometheus2);
    const block = wide('prepared', 500);
    await prepare(block);
    expect(rendered(block, 'openmetrics')).not.toBeInstanceOf(Promise);
    expect(rendered(block, 'text')).toBeInstanceOf(Promise);
  });

  test('is the same whether rendered in one step or in slices', async () => {
    const block = wide('both', 5000);
    const slices = rendered(block, 'text');
    const now = renderedNow(block, 'text');
    expect(await slices).toBe(now);
    expect(renderedNow(wide('both', 5000), 'text')).toEqual(now);
  });

  test('that cannot be rendered is an error for the caller of prepare() and is left out of scrapes', async () => {
    const bug = new Error('a bug');
    const broken = {
      get families(): never {
        throw bug;
      },
    };
    await expect(prepare(broken)).rejects.toBe(bug);
    for (const request of [{}, prometheus2]) {
      const whole = await exposition([example()], request);
      const { body, failures } = await exposition([broken, example()], request);
      expect(Buffer.concat(body)).toEqual(Buffer.concat(whole.body));
      expect(failures).toEqual([bug]);
      expect(whole.failures).toEqual([]);
    }
  });
});

test('concurrent rendering of several large blocks yields to the event loop between slices', async () => {
  const blocks = [wide('a', 20_000), wide('b', 20_000), wide('c', 20_000)];
  let turns = 0;
  let running = true;
  const turn = () => {
    turns += 1;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const start = process.threadCpuUsage();
  await Promise.all([exposition(blocks), ...blocks.map((block) => prepare(block))]);
  running = false;
  const { user, system } = process.threadCpuUsage(start);
  const slices = (user + system) / 5000;
  // The benchmark measures the time; here, that there were about as many yields as slices of 5 ms of the processor.
  expect(turns).toBeGreaterThan(slices / 4);
});
