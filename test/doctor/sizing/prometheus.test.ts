/** Right-sizing with a Prometheus that fails, that is another program, or that responds in part. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { jsonReport, textReport } from '../../../src/doctor/report.ts';
import { historySizing } from '../../../src/doctor/sizing/from-prometheus.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { TargetAccess } from '../../../src/sources/gitaly/target.ts';
import { anonymousAccess } from '../../sources/gitaly/support.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

type Handler = (query: string, response: ServerResponse, request: IncomingMessage) => void;

async function sizingOf(
  handler: Handler,
  access: TargetAccess = anonymousAccess,
  { days = 2, signal = AbortSignal.timeout(20_000) }: { days?: number; signal?: AbortSignal } = {},
) {
  const queries: string[] = [];
  server = createServer((request, response) => {
    const query = new URL(request.url ?? '', 'http://x').searchParams.get('query') ?? '';
    queries.push(query);
    handler(query, response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const readText = async (): Promise<string> => 'reader:s3cr3t-word\n';
  const found = await historySizing(
    { url: `http://127.0.0.1:${port}`, days, access },
    { clock: systemClock, readText },
    signal,
  );
  return { ...found, queries };
}

const json = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
};
const vector = (result: readonly unknown[], more = {}) => ({
  status: 'success',
  data: { resultType: 'vector', result },
  ...more,
});
const one = (value: string, labels = {}) => ({
  metric: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'a', ...labels },
  value: [1, value],
});

/** A day of one pod: every query returns these values. */
const healthy: Handler = (query, response) => {
  if (query.includes('gitaly_server_info') && query.startsWith('count'))
    return json(response, vector([one('96')]));
  if (query.includes('git_memory_anon')) return json(response, vector([one('1073741824')]));
  return json(response, vector([]));
};

describe('the cause and the fix are in the failure for', () => {
  test.each<readonly [string, Handler, RegExp]>([
    [
      'a login page',
      (_, response) => void response.end('<html>log in</html>'),
      /something else than a response of Prometheus' API/,
    ],
    ['another API', (_, response) => json(response, { status: 'success', data: [] }), /without \/api\/v1/],
    [
      'a redirect',
      (_, response) => void response.writeHead(302, { Location: 'https://x/' }).end(),
      /redirects \(HTTP 302\)/,
    ],
    [
      'missing credentials',
      (_, response) => void response.writeHead(401).end('no'),
      /HTTP 401\).*--prometheus-credentials-file/,
    ],
    ['a proxy without a server', (_, response) => void response.writeHead(502).end('<html>'), /HTTP 502/],
    [
      'a value that is not a string',
      (_, response) => json(response, vector([{ metric: {}, value: [1, 2] }])),
      /something else/,
    ],
    ['a connection that is cut', (_, response) => void response.socket?.destroy(), /closed the connection/],
  ])('%s', async (_, handler, message) => {
    const { sizing, finding, queries } = await sizingOf(handler);
    expect(finding).toMatchObject({
      check: { id: 'prometheus_history' },
      status: 'fail',
      detail: expect.stringMatching(message),
    });
    expect(finding.fixes).toHaveLength(1);
    expect(sizing).toBeUndefined();
    // The next queries would fail too.
    expect(queries.length).toBeLessThanOrEqual(3);
  });
});

test('a refused connection is reported as such', async () => {
  const found = await historySizing(
    { url: 'http://127.0.0.1:1', days: 1, access: anonymousAccess },
    { clock: systemClock, readText: async () => '' },
    AbortSignal.timeout(10_000),
  );
  expect(found.finding).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('refused the connection'),
  });
});

test('credentials are sent, and appear in no text, even if the server repeats them', async () => {
  const seen: (string | undefined)[] = [];
  const { finding } = await sizingOf(
    (_, response, request) => {
      seen.push(request.headers.authorization);
      json(
        response,
        { status: 'error', error: `no tenant for ${request.headers.authorization} s3cr3t-word` },
        422,
      );
    },
    { tls: {}, credentialsFile: '/run/credentials' },
  );
  expect(seen[0]).toBe(`Basic ${Buffer.from('reader:s3cr3t-word').toString('base64')}`);
  expect(JSON.stringify(finding)).not.toContain(Buffer.from('reader:s3cr3t-word').toString('base64'));
});

test('an unreadable credentials file fails before anything is requested', async () => {
  const found = await historySizing(
    { url: 'http://127.0.0.1:1', days: 1, access: { tls: {}, credentialsFile: '/nowhere' } },
    {
      clock: systemClock,
      readText: async () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOENT' })),
    },
    AbortSignal.timeout(10_000),
  );
  expect(found.finding).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('/nowhere cannot be read'),
  });
});

test('a failed query is reported, not repeated every day, and values that depend on it have a caveat', async () => {
  const { sizing, finding, queries } = await sizingOf(
    (query, response, request) =>
      query.includes('working_set')
        ? json(response, { status: 'error', error: 'query processing would load too many samples' }, 422)
        : healthy(query, response, request),
    anonymousAccess,
    { days: 5 },
  );
  expect(finding.status).toBe('warn');
  expect(finding.detail).toContain('too many samples');
  expect(queries.filter((query) => query.startsWith('max by') && query.includes('working_set'))).toHaveLength(
    4,
  );
  expect(sizing?.groups[0]?.caveats.join()).toContain("Gitaly's own memory not measured");
  expect(sizing?.groups[0]?.sizes.map(({ id }) => id)).toEqual([
    'git_memory_bytes',
    'repository_memory_bytes',
  ]);
});

test("the server's warnings of a partial response are shown, and the check warns", async () => {
  const { finding } = await sizingOf((query, response) =>
    query.includes('gitaly_server_info')
      ? json(response, vector([one('96')], { warnings: ['a store is down\u001b[31m'] }))
      : json(response, vector([])),
  );
  expect(finding).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('Prometheus warns: a store is down [31m.'),
  });
});

test('a Prometheus without the exporter warns and proposes nothing, after two queries per day', async () => {
  const { sizing, finding, queries } = await sizingOf(
    (_, response) => json(response, vector([])),
    anonymousAccess,
    { days: 14 },
  );
  expect(sizing).toBeUndefined();
  expect(finding).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('no series gitaly_server_info'),
  });
  expect(queries.filter((query) => query.startsWith('count_over_time'))).toHaveLength(28);
  expect(queries.length).toBeLessThan(45);
});

test('values that are not numbers count as missing', async () => {
  const { sizing } = await sizingOf((query, response) =>
    query.includes('gitaly_server_info')
      ? json(response, vector([one('96')]))
      : json(response, vector([one('NaN')])),
  );
  expect(sizing?.groups[0]?.sizes).toEqual([]);
});

test('an abort ends a wait for a response, and what was read before is kept', async () => {
  const stop = new AbortController();
  let count = 0;
  const { finding } = await sizingOf(
    (query, response, request) => {
      if (++count < 60) return healthy(query, response, request);
      stop.abort();
    },
    anonymousAccess,
    { days: 14, signal: stop.signal },
  );
  expect(finding).toMatchObject({
    status: 'warn',
    detail: expect.stringMatching(/Only [12] of 14 days were read/),
  });
});

test('text and JSON have the sizes, their calculation and the lines to copy', async () => {
  const { sizing, finding } = await sizingOf(healthy, anonymousAccess, { days: 7 });
  if (sizing === undefined) throw new Error('no sizing');
  const report = { findings: [finding], notes: [], rightSizing: sizing };
  const text = textReport(report, { width: 100, color: false });
  expect(text).toContain('gitlab (gitlab/gl-gitaly-0): 7 d of history; confidence medium');
  expect(text).toMatch(/\n {4}git_memory_bytes 1\.3 GiB \(not set\): peak of Git 1 GiB x 1\.25/);
  expect(text).toMatch(/\n {8}memoryBytes: 1342177280 # 1\.3 GiB\n|memoryBytes: \d+ #/);
  expect(JSON.parse(jsonReport(report, 0))).toMatchObject({
    rightSizing: {
      groups: [
        { name: 'gitlab', historySeconds: 604_800, isAdvice: true, helm: expect.stringContaining('gitaly:') },
      ],
    },
  });
});
