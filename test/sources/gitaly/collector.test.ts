/** The collector with real HTTP servers: each target and each configuration fails on its own. */

import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { MetricsTarget } from '../../../src/config/kinds/metrics-target.ts';
import { type Clock, systemClock } from '../../../src/lib/clock.ts';
import { gitalyProblems } from '../../../src/rules/problems/gitaly.ts';
import { createEventLog, type EventLog } from '../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../src/scheduler/outcome.ts';
import { createGitalyCollector } from '../../../src/sources/gitaly/collector.ts';
import { configFiles, configuredTargets } from '../../../src/sources/gitaly/configured.ts';
import { createDropTracker } from '../../../src/sources/gitaly/drops.ts';
import { gitalyMetrics } from '../../../src/sources/gitaly/metrics.ts';
import { type Address, systemResolve } from '../../../src/sources/gitaly/resolve.ts';
import type { ScrapeTarget, TargetAccess, TargetSource } from '../../../src/sources/gitaly/target.ts';
import type { GitalyView } from '../../../src/sources/gitaly/view.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { problemSituation } from '../../support/problem-situation.ts';
import { head, type RawServer, rawServer } from '../../support/raw-server.ts';
import { anonymousAccess, pageBytes, samplesOfBlock } from './support.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

type Page = string | Buffer | ((response: ServerResponse) => void);

/** A server whose page can be changed. */
async function serve(first: Page, host = '127.0.0.1') {
  let page = first;
  const server = createServer((_, response) => {
    if (typeof page === 'function') return page(response);
    response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(page);
  });
  servers.push(server);
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    port,
    url: `http://${host}:${port}/metrics`,
    change: (next: Page) => {
      page = next;
    },
  };
}

interface Setup {
  readonly gitaly?: readonly (string | MetricsTarget)[];
  readonly praefect?: readonly string[];
  /** Path -> text; other files do not exist. */
  readonly files?: Readonly<Record<string, string>>;
  readonly configs?: readonly { name?: string; file: string }[];
  readonly resolve?: (name: string) => Promise<readonly Address[]>;
  readonly targets?: readonly TargetSource[];
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

interface Collecting {
  readonly events: EventLog;
  collect(signal?: AbortSignal): Promise<Outcome<GitalyView>>;
}

function collecting(setup: Setup): Collecting {
  const { clock = systemClock, resolve = systemResolve, files = {} } = setup;
  const named = (url: string, index: number): MetricsTarget => ({
    name: `server-${index + 1}`,
    url,
    everyAddress: false,
  });
  const events = createEventLog(clock);
  const readText = async (path: string): Promise<string> => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return text;
  };
  const collector = createGitalyCollector({
    targets: setup.targets ?? [
      configuredTargets({
        gitaly: (setup.gitaly ?? []).map((each, i) => (typeof each === 'string' ? named(each, i) : each)),
        praefect: (setup.praefect ?? []).map(named),
        access: anonymousAccess,
        hostName: 'this-host',
        resolve,
      }),
    ],
    configs: [
      configFiles({
        files: (setup.configs ?? []).map(({ name, file }) => ({ name, file })),
        hostName: 'this-host',
        readText,
      }),
    ],
    limits: { timeoutMs: setup.timeoutMs ?? 10_000, maxBytes: 2_000_000, maxSamples: 1000 },
    intervalMs: 15_000,
    clock,
    resolve,
    readText,
    drops: createDropTracker(clock, events, 300_000),
  });
  return {
    events,
    collect: (signal = new AbortController().signal) => collector.collect({ cause: 'due', signal }),
  };
}

const viewOf = (outcome: Outcome<GitalyView>): GitalyView | undefined =>
  'snapshot' in outcome ? outcome.snapshot : undefined;

/** The samples whose names begin with one of these. */
const shown = (outcome: Outcome, ...names: string[]): string[] => {
  if (!('block' in outcome) || outcome.block === undefined) return [];
  expect(lintBlock(outcome.block, gitalyMetrics)).toEqual([]);
  return samplesOfBlock(outcome.block)
    .filter((line) => names.some((name) => line.startsWith(`gitaly_server_${name}`)))
    .map((line) => line.replace('gitaly_server_', '').replace('namespace="",pod="",', ''));
};

const page = (version: string) => pageBytes(`written/${version}`);

describe('the targets', () => {
  test('of several versions of Gitaly and a Praefect are read under their own names', async () => {
    const [old, new_, praefect] = await Promise.all([
      serve(page('13.5')),
      serve(page('18.10')),
      serve(pageBytes('19/after.praefect-1')),
    ]);
    const { collect } = collecting({ gitaly: [old.url, new_.url], praefect: [praefect.url] });
    const outcome = await collect();
    expect(outcome.kind).toBe('data');
    expect(shown(outcome, 'scrape_up', 'concurrency_queued')).toEqual([
      'scrape_up{node="server-1",component="gitaly"} 1',
      'scrape_up{node="server-2",component="gitaly"} 1',
      'scrape_up{node="server-1",component="praefect"} 1',
      'concurrency_queued{node="server-1",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPack"} 2',
      'concurrency_queued{node="server-2",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"} 2',
    ]);
    expect(shown(outcome, 'scrape_duration_seconds')).toHaveLength(3);
  });

  test('have scrape_up 0 and no other samples when they fail, and the failure names them', async () => {
    const [good, second, praefect] = await Promise.all([
      serve(page('18.10')),
      serve(page('18.10')),
      serve((response) => response.writeHead(500).end('SENTINEL')),
    ]);
    const { collect } = collecting({
      gitaly: [good.url, `${second.url}?token=SENTINEL`],
      praefect: [praefect.url],
    });
    expect(shown(await collect(), 'concurrency_in_progress')).toHaveLength(2);
    second.change((response) => response.socket?.destroy());
    const outcome = await collect();
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'refused',
      message: `Gitaly server-2 (${second.url}) closed the connection before its response was complete (ECONNRESET); Praefect server-1 (${praefect.url}) responded with HTTP 500`,
    });
    expect(shown(outcome, 'scrape_up', 'concurrency_in_progress')).toEqual([
      'scrape_up{node="server-1",component="gitaly"} 1',
      'scrape_up{node="server-2",component="gitaly"} 0',
      'scrape_up{node="server-1",component="praefect"} 0',
      'concurrency_in_progress{node="server-1",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"} 3',
    ]);
    expect(viewOf(outcome)?.reads.map(({ failure }) => failure?.reason)).toEqual([
      undefined,
      'refused',
      'http_status',
    ]);
    second.change(page('18.10'));
    expect(shown(await collect(), 'concurrency_in_progress')).toHaveLength(2);
  });

  test('that serve a page of another program are failed reads', async () => {
    const [praefect, node, empty, gitaly] = await Promise.all([
      serve(pageBytes('19/after.praefect-1')),
      serve('# TYPE node_load1 gauge\nnode_load1 1\n'),
      serve(''),
      serve(page('18.10')),
    ]);
    const outcome = await collecting({
      gitaly: [praefect.url, node.url, empty.url],
      praefect: [gitaly.url],
    }).collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'parse' });
    expect('message' in outcome ? outcome.message : '').toContain(
      'is a Praefect, not a Gitaly: list it in praefect.target',
    );
    expect('message' in outcome ? outcome.message : '').toContain("serves metrics, but none of Gitaly's");
    expect('message' in outcome ? outcome.message : '').toContain('; and 1 more');
    expect(shown(outcome, 'scrape_up').map((line) => line.at(-1))).toEqual(['0', '0', '0', '0']);
  });

  test('of dns+ are each address of the name, as a server of its own', async () => {
    const first = await serve(page('18.10'), '127.0.0.2');
    const second = createServer((_, response) =>
      response.writeHead(200, { 'Content-Type': 'text/plain' }).end(page('14.9')),
    );
    servers.push(second);
    second.listen(first.port, '127.0.0.3');
    await once(second, 'listening');
    const everyAddress = {
      name: undefined,
      url: `http://gitaly.example:${first.port}/metrics`,
      everyAddress: true,
    };
    let addresses: readonly Address[] = [
      { address: '127.0.0.3', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ];
    const { collect } = collecting({ gitaly: [everyAddress], resolve: async () => addresses });
    expect(shown(await collect(), 'scrape_up')).toEqual([
      'scrape_up{node="127.0.0.2",component="gitaly"} 1',
      'scrape_up{node="127.0.0.3",component="gitaly"} 1',
    ]);
    addresses = addresses.slice(1);
    expect(shown(await collect(), 'scrape_up')).toEqual(['scrape_up{node="127.0.0.2",component="gitaly"} 1']);
    const unknown = collecting({
      gitaly: [everyAddress],
      resolve: () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' })),
    });
    expect(await unknown.collect()).toMatchObject({
      kind: 'failed',
      reason: 'refused',
      message: 'dns+gitaly.example has a name that does not resolve (ENOTFOUND)',
    });
  });

  test('of one name: only the first is read, and the run fails', async () => {
    const [one, two] = await Promise.all([serve(page('18.10')), serve(page('18.10'))]);
    const same = (url: string): MetricsTarget => ({ name: 'gitaly-1', url, everyAddress: false });
    const outcome = await collecting({ gitaly: [same(one.url), same(two.url)] }).collect();
    expect(outcome).toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('two targets are called gitaly-1'),
    });
    expect(shown(outcome, 'scrape_up')).toEqual(['scrape_up{node="gitaly-1",component="gitaly"} 1']);
  });

  test('on loopback are named after this host, and a pod after itself', async () => {
    const { port } = await serve(page('18.10'));
    const url = `http://127.0.0.1:${port}/metrics`;
    const local = collecting({ gitaly: [{ name: undefined, url, everyAddress: false }] });
    expect(shown(await local.collect(), 'scrape_up')).toEqual([
      'scrape_up{node="this-host",component="gitaly"} 1',
    ]);
    const pods: TargetSource = {
      list: async () => ({
        targets: [
          {
            component: 'gitaly',
            url: new URL(url),
            identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'worker-1' },
            access: anonymousAccess,
          },
        ],
        failures: [{ reason: 'permission', message: 'may not list pods' }],
      }),
    };
    const outcome = await collecting({ targets: [pods] }).collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'permission', message: 'may not list pods' });
    expect(shown(outcome, 'scrape_up')).toEqual([
      'scrape_up{namespace="gitlab",pod="gl-gitaly-0",node="worker-1",component="gitaly"} 1',
    ]);
  });

  test('that fail in two sources are listed once', async () => {
    const failure = { reason: 'permission', message: 'the kubeconfig is not there' } as const;
    const failing: TargetSource = { list: async () => ({ targets: [], failures: [failure] }) };
    const outcome = await collecting({ targets: [failing, failing] }).collect();
    expect(outcome).toMatchObject({ kind: 'failed', message: 'the kubeconfig is not there' });
  });

  test('that hang end with the run, a hundred of them, each with scrape_up 0', async () => {
    const { url } = await serve(() => undefined);
    const many = Array.from({ length: 100 }, (_, i) => ({ name: `g${i}`, url, everyAddress: false }));
    const { collect } = collecting({ gitaly: many, timeoutMs: 60_000 });
    const stop = new AbortController();
    const running = collect(stop.signal);
    setImmediate(() => stop.abort());
    const outcome = await running;
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' });
    expect(shown(outcome, 'scrape_up')).toHaveLength(100);
  });

  test('that switch protocols or stall after their headers fail alone, in this run and the next', async () => {
    const [switching, stalling] = await Promise.all([
      rawServer((socket) =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      ),
      rawServer((socket) => socket.write(head('Content-Length: 500'))),
    ]);
    const urlOf = ({ port }: RawServer) => `http://127.0.0.1:${port}/metrics`;
    const good = await serve(page('18.10'));
    const { collect } = collecting({
      gitaly: [urlOf(switching), urlOf(stalling), good.url],
      timeoutMs: 200,
    });
    for (const _ of ['first run', 'next run']) {
      const outcome = await collect();
      expect(outcome).toMatchObject({
        kind: 'failed',
        reason: 'http_status',
        message: `Gitaly server-1 (${urlOf(switching)}) switched protocols (HTTP 101), which was not requested; Gitaly server-2 (${urlOf(stalling)}) sent no complete response within 200 ms`,
      });
      expect(shown(outcome, 'scrape_up').map((line) => line.at(-1))).toEqual(['0', '0', '1']);
    }
    await Promise.all([switching.stop(), stalling.stop()]);
  });

  test('may be none: the run is empty', async () => {
    expect(await collecting({}).collect()).toEqual({
      kind: 'empty',
      why: 'there is no Gitaly to read at the moment',
    });
  });
});

describe('a Gitaly on a virtual machine whose metrics were read', () => {
  /** The samples, and the problems of the page, after a read that fails like this. */
  async function readAfter(failing: Page | 'stopped', access: TargetAccess = anonymousAccess) {
    const server = await serve(page('18.10'));
    let own = anonymousAccess;
    const target = (): ScrapeTarget => ({
      ...{ component: 'gitaly', url: new URL(server.url), access: own },
      identity: { namespace: '', pod: '', node: 'vm-1' },
    });
    const { collect } = collecting({
      targets: [{ list: async () => ({ targets: [target()], failures: [] }) }],
    });
    const before = viewOf(await collect());
    if (failing === 'stopped') for (const each of servers.splice(0)) each.close().closeAllConnections();
    else server.change(failing);
    own = access;
    const outcome = await collect();
    const view = viewOf(outcome);
    if (view === undefined) throw new Error('no view');
    return {
      samples: shown(outcome, 'scrape_up', 'responds').map((line) => line.replace(/{.*}/, '')),
      problems: gitalyProblems(problemSituation(view, 1010, [{ gitaly: before, at: 1000 }])).map(
        ({ id }) => id,
      ),
    };
  }
  const status = (code: number) => (response: ServerResponse) => void response.writeHead(code).end();

  test('is down when nothing responds', async () => {
    const down = { samples: ['scrape_up 0', 'responds 0'], problems: ['gitaly_unreachable'] };
    expect(await readAfter('stopped')).toEqual(down);
    expect(await readAfter(status(502))).toEqual(down);
  });

  test('is not down when it rejects the credentials, or its page is too large', async () => {
    const unreadable = { samples: ['scrape_up 0', 'responds 1'], problems: ['target_unreadable'] };
    expect(await readAfter(status(401))).toEqual(unreadable);
    expect(await readAfter('x'.repeat(3_000_000))).toEqual(unreadable);
  });

  test("is not down when the exporter's own files for the request cannot be read", async () => {
    expect(await readAfter(page('18.10'), { ...anonymousAccess, credentialsFile: '/missing' })).toEqual({
      samples: ['scrape_up 0'],
      problems: ['target_unreadable'],
    });
  });
});

describe('whether a Gitaly on a virtual machine runs', () => {
  const resolveTo =
    (...addresses: readonly string[]) =>
    async (): Promise<readonly Address[]> =>
      addresses.map((address) => ({ address, family: 4 }));
  const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));
  const responds = async (setup: Setup, signal?: AbortSignal) => {
    const outcome = await collecting({ timeoutMs: 300, ...setup }).collect(signal);
    return shown(outcome, 'responds').map((line) => line.replace(/{.*}/, ''));
  };
  const gitaly = ['http://gitaly.example:1/metrics'];
  const deadWithTls: TargetSource = {
    list: async () => ({
      targets: [
        {
          component: 'gitaly',
          url: new URL('https://127.0.0.1:1/metrics'),
          identity: { namespace: '', pod: '', node: 'vm-1' },
          access: { credentialsFile: undefined, tls: { certFile: '/half.pem', keyFile: '/half.pem' } },
        },
      ],
      failures: [],
    }),
  };

  test.each<[string, Setup]>([
    ['its name has several addresses', { gitaly, resolve: resolveTo('127.0.0.1', '127.0.0.2') }],
    ['DNS does not respond', { gitaly, resolve: failing('EAI_AGAIN') }],
    ['DNS does not respond in time', { gitaly, resolve: () => new Promise(() => undefined) }],
    ['the exporter has no file descriptor left', { gitaly, resolve: failing('EMFILE') }],
    ["the exporter's certificate is malformed", { targets: [deadWithTls], files: { '/half.pem': '-----B' } }],
  ])('is unknown where %s', async (_, setup) => {
    expect(await responds(setup)).toEqual([]);
  });

  test('is unknown where the read is canceled', async () => {
    expect(await responds({ gitaly: ['http://127.0.0.1:1/metrics'] }, AbortSignal.abort())).toEqual([]);
  });

  test.each<[string, Setup]>([
    ['nothing listens', { gitaly, resolve: resolveTo('127.0.0.1') }],
    ['its name was removed', { gitaly, resolve: failing('ENOTFOUND') }],
  ])('is that it does not where %s', async (_, setup) => {
    expect(await responds(setup)).toEqual(['responds 0']);
  });
});

describe('the configurations', () => {
  const config =
    '[[concurrency]]\nrpc = "/gitaly.SSHService/SSHUploadPackWithSidechannel"\nmax_per_repo = 20\nmax_queue_size = 10\nmax_queue_wait = "1m"\n';

  test('add a configured limit under the name of its server, next to its use', async () => {
    const { url } = await serve(page('18.10'));
    const { collect } = collecting({
      gitaly: [url],
      files: { '/1.toml': config, '/2.toml': config },
      configs: [{ name: 'server-1', file: '/1.toml' }, { file: '/2.toml' }],
    });
    const outcome = await collect();
    expect(outcome.kind).toBe('data');
    const rpc = 'grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"';
    expect(shown(outcome, 'concurrency_limit', 'concurrency_queue', 'concurrency_in_progress')).toEqual([
      `concurrency_limit{node="server-1",${rpc},kind="static",bound="current"} 20`,
      `concurrency_limit{node="this-host",${rpc},kind="static",bound="current"} 20`,
      `concurrency_queue_limit{node="server-1",${rpc}} 10`,
      `concurrency_queue_limit{node="this-host",${rpc}} 10`,
      `concurrency_queue_wait_limit_seconds{node="server-1",${rpc}} 60`,
      `concurrency_queue_wait_limit_seconds{node="this-host",${rpc}} 60`,
      `concurrency_in_progress{node="server-1",${rpc}} 3`,
      `concurrency_queued{node="server-1",${rpc}} 2`,
    ]);
  });

  test('add the configured bounds of adaptive limits next to the current value, also for pack-objects and rate limits', async () => {
    const { url } = await serve(page('16.7'));
    const text = `
[[concurrency]]
rpc = "/gitaly.SSHService/SSHUploadPackWithSidechannel"
adaptive = true
min_limit = 5
initial_limit = 20
max_limit = 40
[pack_objects_cache]
enabled = true
[pack_objects_limiting]
adaptive = true
min_limit = 1
initial_limit = 10
max_limit = 15
max_queue_length = 7
[[rate_limiting]]
rpc = "/a.B/C"
burst = 5
interval = "30s"
`;
    const outcome = await collecting({
      gitaly: [url],
      files: { '/1': text },
      configs: [{ name: 'server-1', file: '/1' }],
    }).collect();
    const rpc = 'node="server-1",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"';
    expect(
      shown(outcome, 'concurrency_limit', 'pack_objects_limit', 'pack_objects_queue_limit', 'rate'),
    ).toEqual([
      'concurrency_limit{node="server-1",grpc_service="gitaly.RepositoryService",grpc_method="ReplicateRepository",kind="static",bound="current"} 1',
      `concurrency_limit{${rpc},kind="adaptive",bound="current"} 21`,
      `concurrency_limit{${rpc},kind="adaptive",bound="min"} 5`,
      `concurrency_limit{${rpc},kind="adaptive",bound="max"} 40`,
      `concurrency_limit{${rpc},kind="adaptive",bound="initial"} 20`,
      'rate_limit_burst{node="server-1",grpc_service="a.B",grpc_method="C"} 5',
      'rate_limit_interval_seconds{node="server-1",grpc_service="a.B",grpc_method="C"} 30',
      'pack_objects_limit{node="server-1",kind="adaptive",bound="current"} 12',
      'pack_objects_limit{node="server-1",kind="adaptive",bound="min"} 1',
      'pack_objects_limit{node="server-1",kind="adaptive",bound="max"} 15',
      'pack_objects_limit{node="server-1",kind="adaptive",bound="initial"} 10',
      'pack_objects_queue_limit{node="server-1"} 7',
    ]);
  });

  test.each([
    ['13.5', 'off', []],
    ['16.7', 'off', ['pack_objects_limit{node="server-1",kind="adaptive",bound="current"} 12']],
    ['14.9', 'on', []],
    ['17.2', 'on', ['pack_objects_limit{node="server-1",kind="static",bound="current"} 200']],
    [
      '18.10',
      'on',
      [
        'pack_objects_limit{node="server-1",kind="static",bound="current"} 200',
        'pack_objects_queue_limit{node="server-1"} 200',
      ],
    ],
  ])("add Gitaly's own default of %s, with the pack-objects cache %s", async (version, cache, lines) => {
    const { url } = await serve(page(version));
    const text = `[pack_objects_cache]\nenabled = ${cache === 'on'}\n`;
    const outcome = await collecting({
      gitaly: [url],
      files: { '/1': text },
      configs: [{ name: 'server-1', file: '/1' }],
    }).collect();
    expect(shown(outcome, 'pack_objects_limit', 'pack_objects_queue_limit')).toEqual(lines);
  });

  test('that are invalid are one failure and affect nothing else', async () => {
    const { url } = await serve(page('18.10'));
    const { collect } = collecting({
      gitaly: [url],
      files: { '/1.toml': `${config}[auth]\ntoken = SENTINEL\n`, '/2.toml': config },
      configs: [{ name: 'server-1', file: '/1.toml' }, { file: '/2.toml' }, { name: 'x', file: '/3.toml' }],
    });
    const outcome = await collect();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'parse' });
    expect('message' in outcome ? outcome.message : '').toMatch(
      /^Gitaly's configuration \/3.toml does not exist; Gitaly's configuration: \/1.toml:7: invalid TOML: [^;]*$/,
    );
    expect('message' in outcome ? outcome.message : '').not.toContain('SENTINEL');
    expect(shown(outcome, 'concurrency_limit', 'concurrency_in_progress', 'scrape_up')).toEqual([
      'scrape_up{node="server-1",component="gitaly"} 1',
      'concurrency_limit{node="this-host",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel",kind="static",bound="current"} 20',
      'concurrency_in_progress{node="server-1",grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"} 3',
    ]);
  });
});

describe('problems and events', () => {
  const problemsOf = (outcome: Outcome<GitalyView>) => {
    const view = viewOf(outcome);
    return view === undefined ? [] : gitalyProblems(problemSituation(view, 0));
  };
  const drops = (count: number) =>
    `gitaly_requests_dropped_total{authenticated="true",grpc_method="GetArchive",grpc_service="gitaly.RepositoryService",reason="max_size",system="gitaly"} ${count}\n`;

  test('a limit that drops requests is an event until two minutes without drops, and a problem for the window of its alert', async () => {
    const clock = createManualClock();
    const server = await serve(Buffer.concat([page('18.10'), Buffer.from(drops(100))]));
    const { events, collect } = collecting({ gitaly: [server.url], clock });
    const collectAfter = async (count: number) => {
      await clock.advance(15_000);
      server.change(Buffer.concat([page('18.10'), Buffer.from(drops(count))]));
      return collect();
    };
    await collect(); // drops before the first read cause no event
    await collectAfter(101); // one drop in one read
    expect(events.recent()).toEqual([]);
    const outcome = await collectAfter(115);
    expect(events.recent().map(({ kind, message, labels }) => [kind, message, labels])).toEqual([
      [
        'limit_reached',
        'server-1: GetArchive drops requests, 0.93 per second: the queue is full',
        {
          node: 'server-1',
          grpc_service: 'gitaly.RepositoryService',
          grpc_method: 'GetArchive',
          reason: 'queue_full',
        },
      ],
    ]);
    expect(problemsOf(outcome)).toMatchObject([
      {
        id: 'requests_dropped_queue_full',
        alert: 'GitalyRequestsDroppedQueueFull',
        severity: 'critical',
        title: 'GetArchive: requests are dropped on server-1',
        detail:
          '3 per minute in the last 5 min: the queue is full (max_queue_size). Clients get RESOURCE_EXHAUSTED, which error ratios usually leave out.',
        fixes: [{ kind: 'text', text: expect.stringContaining('limit.limiting_key') }],
        since: (clock.now() - 30_000) / 1000,
      },
    ]);
    // A failed read ends no episode, as the number of drops is unknown.
    server.change((response) => response.writeHead(500).end());
    await clock.advance(15_000);
    const unread = await collect();
    expect(problemsOf(unread).map(({ title }) => title)).toEqual([
      'Metrics of Gitaly server-1 cannot be read',
    ]);
    for (let i = 0; i < 6; i++) await collectAfter(115);
    expect(events.recent()).toHaveLength(1);
    await collectAfter(115);
    expect(events.recent(1)).toMatchObject([
      {
        kind: 'limit_cleared',
        message:
          'server-1: GetArchive dropped no requests for 2 minutes (the queue is full); it had dropped 15',
      },
    ]);
    for (let i = 0; i < 12; i++) await collectAfter(115);
    expect(problemsOf(await collectAfter(115))).toEqual([]);
  });

  test.each([
    [
      '16.7',
      'adaptive = true\nmin_limit = 1\ninitial_limit = 2\nmax_limit = 9',
      'is at 21, but 1 to 9 is configured',
    ],
    ['16.7', 'max_per_repo = 7', 'has an adaptive limit, now 21, but a fixed one of 7 is configured'],
    [
      '18.10',
      'adaptive = true\nmin_limit = 1\ninitial_limit = 2\nmax_limit = 9',
      'has no adaptive limit, but one is configured',
    ],
    ['18.10', 'max_per_repo = 7', undefined],
    ['16.7', 'adaptive = true\nmin_limit = 1\ninitial_limit = 2\nmax_limit = 21', undefined],
  ])('the limits of Gitaly %s are compared with the configuration %j', async (version, settings, what) => {
    const { url } = await serve(page(version));
    // The page of 16.7 has an adaptive pack-objects limit, currently 12.
    const pack =
      '[pack_objects_cache]\nenabled = true\n[pack_objects_limiting]\nadaptive = true\nmin_limit = 1\ninitial_limit = 12\nmax_limit = 20\n';
    const text = `${version === '16.7' ? pack : ''}[[concurrency]]\nrpc = "/gitaly.SSHService/SSHUploadPackWithSidechannel"\n${settings}\n`;
    const { collect } = collecting({
      gitaly: [url],
      files: { '/1': text },
      configs: [{ name: 'server-1', file: '/1' }],
    });
    expect(problemsOf(await collect())).toEqual(
      what === undefined
        ? []
        : [
            expect.objectContaining({
              title: 'server-1 runs with other limits than its config.toml',
              detail: expect.stringContaining(`SSHUploadPackWithSidechannel ${what}`),
            }),
          ],
    );
  });

  test.each([
    [
      'min_limit = 1\ninitial_limit = 2\nmax_limit = 9\nadaptive = true',
      'pack-objects has no adaptive limit',
    ],
    ['max_concurrency = 7', undefined],
  ])('a pack-objects limit of %j is compared with the running one', async (settings, what) => {
    const { url } = await serve(page('18.10'));
    const text = `[pack_objects_cache]\nenabled = true\n[pack_objects_limiting]\n${settings}\n`;
    const { collect } = collecting({
      gitaly: [url],
      files: { '/1': text },
      configs: [{ name: 'server-1', file: '/1' }],
    });
    const problems = problemsOf(await collect());
    expect(problems).toEqual(
      what === undefined ? [] : [expect.objectContaining({ detail: expect.stringContaining(what) })],
    );
  });

  test('a configured limit that Gitaly does not report is a problem', async () => {
    const { url } = await serve(page('18.10'));
    const text = '[[concurrency]]\nrpc = "/gitaly.RepositoryService/GetArchive"\nmax_per_repo = 2\n';
    const { collect } = collecting({
      gitaly: [url],
      files: { '/1': text },
      configs: [{ name: 'server-1', file: '/1' }],
    });
    expect(problemsOf(await collect())).toMatchObject([
      { detail: 'GetArchive has no limit, but 2 is configured.' },
    ]);
  });
});
