/**
 * 30,000 watch events of pods over a local HTTP stream: this exporter compared with the informer of
 * @kubernetes/client-node, and with JSON.parse of each line and nothing else, with the same stream: three rounds of one
 * after the other, and of each the run with the median CPU time.
 * `node bench/kubernetes.ts [events] [pods]`
 *
 * The events are those recorded while a node was drained (13 KB each, with managedFields), repeated with new
 * uids, nodes and versions, as fast as the reader accepts them. Server and readers are separate processes. More than
 * 38,000 events are over the exporter's limit for the bytes of one watch: it would wait, and list again.
 *
 * heap: after a full garbage collection, at 10%, at 50% and at the end. longest block: the longest time for
 * which the event loop was blocked while events arrived, in CPU time of the thread (wall time would include other
 * processes on a busy machine); an idle one shows 1 ms here. in a list: the same while a list of `pods` pods is
 * read.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../src/lib/clock.ts';
import { silentLog } from '../src/lib/log.ts';
import { createHttpApi } from '../src/sources/kubernetes/api/http.ts';
import type { Pod } from '../src/sources/kubernetes/objects/types.ts';
import { runWatchLoop, type WatchLoop } from '../src/sources/kubernetes/watch/loop.ts';
import { createMergedStore } from '../src/sources/kubernetes/watch/merged-store.ts';
import { kubeResources } from '../src/sources/kubernetes/watch/resources.ts';
import { archive } from '../test/support/kubernetes-archive.ts';
import { measureBlocks } from './blocks.ts';

const [role = 'all', ...rest] = process.argv.slice(2).filter((each) => !/^\d+$/.test(each));
const [events = 30_000, pods = 2000] = process.argv
  .slice(2)
  .filter((each) => /^\d+$/.test(each))
  .map(Number);
const rounds = 3;
const goals = { loopMs: 20 };

export interface Figures {
  readonly heapMiB: readonly number[];
  readonly residentMiB: number;
  readonly loopMs: number;
  readonly listLoopMs: number;
  readonly listCpuSeconds: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Of the thread that runs JavaScript: without garbage collection and compilation in the background. */
  readonly mainSeconds: number;
}

const microseconds = (seconds: number): string => ((seconds / events) * 1e6).toFixed(0);

if (role === 'server') serve();
else if (role === 'exporter') await measure(exporter, rest[0] ?? '');
else if (role === 'informer') await measure(informer, rest[0] ?? '');
else if (role === 'JSON.parse') await measure(parseOnly, rest[0] ?? '');
else await compare();

async function compare(): Promise<void> {
  const server = start('server');
  const [url] = (await once(server)) as [string];
  const runs: Record<string, Figures[]> = { exporter: [], informer: [], 'JSON.parse': [] };
  for (let round = 0; round < rounds; round++)
    for (const [reader, found] of Object.entries(runs))
      found.push(...((await once(start(reader, url))) as [Figures]));
  server.kill();
  const figures = Object.fromEntries(
    Object.entries(runs).map(([reader, found]) => [reader, middleByCpu(found)]),
  );
  console.log(`${events} events, lists of ${pods} pods; Node ${process.version}\n`);
  console.log(
    '| | events/s | cpu of an event | of the main thread | heap at 10, 50, 100% | resident | longest block | in a list |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const [
    reader,
    { heapMiB, residentMiB, loopMs, listLoopMs, seconds, cpuSeconds, mainSeconds },
  ] of Object.entries(figures))
    console.log(
      `| ${reader} | ${Math.round(events / seconds)} | ${microseconds(cpuSeconds)} us | ${microseconds(mainSeconds)} us | ${heapMiB.map((each) => each.toFixed(1)).join(', ')} MiB | ${residentMiB.toFixed(0)} MiB | ${loopMs.toFixed(0)} ms | ${listLoopMs.toFixed(0)} ms |`,
    );
  if ((figures['exporter']?.loopMs ?? 0) > goals.loopMs)
    console.log(`\nabove the goal of ${goals.loopMs} ms`);
}

function middleByCpu(found: readonly Figures[]): Figures {
  const middle = found.toSorted((a, b) => a.cpuSeconds - b.cpuSeconds)[found.length >> 1];
  if (middle === undefined) throw new Error('no run');
  return middle;
}

function start(name: string, ...args: string[]): ChildProcess {
  return fork(import.meta.filename, [name, ...args, String(events), String(pods)], {
    // The exporter as it is shipped, the others with Node's default.
    execArgv: ['--expose-gc', ...(name === 'exporter' ? ['--max-semi-space-size=4'] : [])],
  });
}

function once(child: ChildProcess): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve([message]));
    child.once('exit', (code) => reject(new Error(`exited with ${code}`)));
  });
}

/** A list of `pods` pods in namespace `list`; in any other namespace an empty list, then the stream. */
function serve(): void {
  const [item] = archive('drain').items('0-before/pods.json');
  const incident = archive('drain')
    .watch('pods')
    .filter((line) => !line.startsWith('{"type":"BOOKMARK"'));
  const itemText = JSON.stringify(item);
  const uidOf = (text: string): string => /"uid":"([^"]+)"/.exec(text)?.[1] ?? '';
  // Each round ends with all of its pods deleted, so that the store has the same size after each.
  const last = new Map(incident.map((line) => [uidOf(line), line]));
  const remaining = [...last.values()].filter((line) => !line.startsWith('{"type":"DELETED"'));
  const lines = [
    ...incident,
    ...remaining.map((line) => line.replace(/"type":"[A-Z]+"/, '"type":"DELETED"')),
  ];
  let version = 1000;
  const withNewIds = (text: string, uid: string, round: number): string => {
    version += 1;
    return text
      .replaceAll(uid, `${uid.slice(0, -8)}${String(round).padStart(8, '0')}`)
      .replace(/"nodeName":"[^"]+"/, `"nodeName":"node-${round}"`)
      .replace(/"resourceVersion":"\d+"/, `"resourceVersion":"${version}"`);
  };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://server');
    response.writeHead(200, { 'Content-Type': 'application/json' });
    if (searchParams.has('watch')) {
      response.flushHeaders();
      if (!pathname.includes('/list/')) void stream(response);
      return;
    }
    const count = pathname.includes('/list/') ? pods : 0;
    response.write('{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1000"},"items":[');
    for (let i = 0; i < count; i++)
      response.write(`${i === 0 ? '' : ','}${withNewIds(itemText, uidOf(itemText), i)}`);
    response.end(']}');
  });

  async function stream(response: ServerResponse): Promise<void> {
    for (let sent = 0, round = 0; sent < events; round++)
      for (const line of lines) {
        if (sent === events || response.destroyed) return;
        sent += 1;
        if (!response.write(`${withNewIds(line, uidOf(line), round)}\n`))
          await new Promise((resolve) => response.once('drain', resolve));
      }
  }

  server.listen(0, '127.0.0.1', () =>
    process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
  );
}

/** Calls `onEvent` for each event; `listed` resolves after the list has been read. */
type Reader = (
  url: string,
  namespace: string,
  onEvent: () => void,
) => Promise<{ readonly listed: Promise<void>; stop(): void | Promise<void> }>;

async function measure(reader: Reader, url: string): Promise<void> {
  const block = measureBlocks();
  // Warm up, so that the code is compiled as in a process that has been running for weeks.
  for (let i = 0; i < 2; i++) await listOnce(reader, url);
  block.reset();
  const beforeList = process.cpuUsage();
  await listOnce(reader, url);
  const ofList = process.cpuUsage(beforeList);
  const listLoopMs = block.longestMs();

  const heapMiB: number[] = [];
  const heapSamples = new Set([events / 10, events / 2, events]);
  const done = Promise.withResolvers<void>();
  let count = 0;
  let startedAt = 0;
  let cpu = process.cpuUsage();
  let main = process.threadCpuUsage();
  const { stop } = await reader(url, 'stream', () => {
    if (count === 0) {
      block.reset();
      startedAt = performance.now();
      cpu = process.cpuUsage();
      main = process.threadCpuUsage();
    }
    count += 1;
    if (!heapSamples.has(count)) return;
    if (count === events) done.resolve();
    // A full collection is part of the measurement, not of the reader.
    block.exclude(() => globalThis.gc?.());
    heapMiB.push(process.memoryUsage().heapUsed / 2 ** 20);
  });
  await done.promise;
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const ofMain = process.threadCpuUsage(main);
  const figures: Figures = {
    heapMiB,
    residentMiB: process.memoryUsage().rss / 2 ** 20,
    loopMs: block.longestMs(),
    listLoopMs,
    listCpuSeconds: (ofList.user + ofList.system) / 1e6,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    mainSeconds: (ofMain.user + ofMain.system) / 1e6,
  };
  await stop();
  process.send?.(figures, () => process.exit(0));
}

async function listOnce(reader: Reader, url: string): Promise<void> {
  const { listed, stop } = await reader(url, 'list', () => undefined);
  await listed;
  await new Promise((resolve) => setTimeout(resolve, 50));
  await stop();
}

async function exporter(url: string, namespace: string, onEvent: () => void): ReturnType<Reader> {
  const clock = systemClock;
  const access = { server: new URL(url), tls: {}, authorization: undefined, headers: {} };
  const api = createHttpApi({
    clock,
    access: async () => ({ ok: true, access }),
  });
  const stopping = new AbortController();
  const store = createMergedStore<Pod>({ name: 'pods', clock, log: silentLog, staleMs: 3_000_000 });
  const loop: WatchLoop = runWatchLoop<Pod>({
    ...{ api, clock, log: silentLog, random: Math.random, resource: kubeResources.pods, staleMs: 3_000_000 },
    scope: { namespace },
    isIncluded: () => true,
    sink: store.addWatch(() => loop.state()),
    signal: stopping.signal,
  });
  const listed = Promise.withResolvers<void>();
  store.subscribe(({ type }) => (type === 'relisted' ? listed.resolve() : onEvent()));
  return {
    listed: listed.promise,
    async stop() {
      stopping.abort();
      await loop.ended;
      api.close();
    },
  };
}

async function informer(url: string, namespace: string, onEvent: () => void): ReturnType<Reader> {
  const { CoreV1Api, KubeConfig, makeInformer } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', server: url, skipTLSVerify: true }, { name: 'u' });
  const client = config.makeApiClient(CoreV1Api);
  const watched = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
    client.listNamespacedPod({ namespace }),
  );
  for (const verb of ['add', 'update', 'delete'] as const) watched.on(verb, onEvent);
  await watched.start();
  return { listed: Promise.resolve(), stop: () => watched.stop() };
}

async function parseOnly(url: string, namespace: string, onEvent: () => void): ReturnType<Reader> {
  const watch = namespace === 'stream' ? '?watch=true' : '';
  const response = await new Promise<IncomingMessage>((resolve) =>
    get(`${url}/api/v1/namespaces/${namespace}/pods${watch}`, resolve),
  );
  const listed = Promise.withResolvers<void>();
  const parts: Buffer[] = [];
  response.on('data', (part: Buffer) => {
    let from = 0;
    for (let end = part.indexOf('\n'); end >= 0; end = part.indexOf('\n', from)) {
      parts.push(part.subarray(from, end));
      JSON.parse(Buffer.concat(parts.splice(0)).toString('utf8'));
      onEvent();
      from = end + 1;
    }
    parts.push(part.subarray(from));
  });
  response.on('end', () => {
    JSON.parse(Buffer.concat(parts).toString('utf8'));
    listed.resolve();
  });
  return { listed: listed.promise, stop: () => void response.destroy() };
}
