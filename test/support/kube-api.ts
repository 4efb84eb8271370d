/**
 * A Kubernetes API server for tests: real HTTP on loopback, recorded objects and watch streams
 * (test/fixtures/kubernetes), and scripted faults.
 *
 *     const server = await startKubeApi();
 *     server.load('drain', '0-before');                    // the objects of that moment
 *     const api = createHttpApi({ access: async () => accessTo(server.url), clock });
 *     server.replay('drain', 'pods');                      // the recorded watch events, to all open watches
 *     server.next('pods:list', { status: 500 });           // the next list of pods fails
 *     server.next('pods:watch', recorded('watch-gone'));   // a recorded response
 *     server.next('pods:watch', { lines: ['{"type":'], ending: 'cut' });
 *     await server.close();
 *
 * It paginates lists, filters by namespace, label and field selectors, keeps a log of events for watches that
 * continue, and responds with 410 to versions before the last `compact()`. By default nothing depends on time:
 * `expire()` ends watches, `bookmark()` sends bookmarks.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { listKinds, objectKey, objectMatcher, watchEventType } from '../../demo/kubernetes/selection.ts';
import type { Secret } from '../../src/lib/secret.ts';
import type { AccessResult } from '../../src/sources/kubernetes/api/http.ts';
import { archive } from './kubernetes-archive.ts';

/** An API server at this address, without credentials by default. */
export const accessTo = (server: URL, authorization?: Secret): AccessResult => ({
  ok: true,
  access: { server, tls: {}, authorization, headers: {} },
});

export interface RawObject {
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export type ScriptedResponse =
  /** An HTTP response. `body`: a string is sent unchanged, anything else as JSON. */
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
  /** Status 200, these parts of the body unchanged, and how the response ends. */
  | { readonly lines: readonly string[]; readonly ending: 'end' | 'cut' | 'hang' }
  /** Status 200, and this text repeatedly until the client closes the connection. */
  | { readonly flood: string }
  /** The connection is closed without a response. */
  | 'reset'
  /** The request is accepted, and there is no response. */
  | 'hang';

/** Created for each request. */
type ScriptedResponder = (query: Readonly<Record<string, string>>) => ScriptedResponse;

interface ReceivedRequest {
  /** `pods:list`, `pods:watch`, `pods:get`. */
  readonly what: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  readonly userAgent: string | undefined;
}

export interface TestKubeApi {
  readonly url: URL;
  /** All requests, in order. */
  readonly requests: readonly ReceivedRequest[];
  /** Number of connections that have been opened. */
  connections(): number;
  /** Replaces all objects with those of a recorded moment. */
  load(archiveName: string, moment: string): void;
  /** Replaces the objects of one resource. */
  put(resource: string, objects: readonly RawObject[]): void;
  /** Sends a change to all watches that match it, with a new resourceVersion if it has an old one. */
  emit(resource: string, type: WatchEventType, object: RawObject): void;
  /** Sends events of a recorded watch; without `from` and `to` all of them. */
  replay(archiveName: string, resource: string, from?: number, to?: number): void;
  bookmark(resource: string): void;
  /** Ends open watches, as after their timeoutSeconds. */
  expire(resource?: string): void;
  /** Closes all connections, as when the server is killed, and keeps listening. */
  cut(): void;
  /** Drops the log of events: older resourceVersions and continue tokens get 410. */
  compact(): void;
  /** As after a restore of etcd: versions begin again, and no watch gets an event until they have passed its own. */
  restore(resource: string, objects: readonly RawObject[]): void;
  /** Responses to the next requests of that kind (`pods:watch`, `events:list@default`, `list`, `*`), in order. */
  next(what: string, ...responses: readonly (ScriptedResponse | ScriptedResponder)[]): void;
  /** The response to every request of that kind, until `always(what, undefined)`. */
  always(what: string, response: ScriptedResponse | ScriptedResponder | undefined): void;
  /** The clock of its Date header: this far ahead of the system's, or another clock. */
  setClock(now: () => number): void;
  /** Which `group/version` it does not serve, such as `policy/v1`: HTTP 404, as a real server. */
  setNotServed(...versions: readonly string[]): void;
  /** Responds with 401 to requests without this token. */
  requireToken(token: string): void;
  openWatches(resource?: string): number;
  /** Stops listening and closes all connections; `start` listens on the same port again. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface RequestScope {
  readonly resource: string;
  readonly namespace: string | undefined;
  matches(object: RawObject): boolean;
}

interface LoggedEvent {
  readonly version: number;
  readonly type: WatchEventType;
  readonly object: RawObject;
  readonly before: RawObject | undefined;
}

interface OpenWatch {
  readonly scope: RequestScope;
  /** Its resourceVersion. */
  readonly from: number;
  readonly response: ServerResponse;
}

/** A recorded response of the archive watch-protocol: `list-forbidden`, `watch-gone`, `list-continue-gone`, ... */
export function recorded(name: string): ScriptedResponse {
  const [head = '', ...rest] = archive('watch-protocol')
    .text(`${name}.http`)
    .split(/\r?\n\r?\n/);
  const [status = '', ...headers] = head.split(/\r?\n/);
  const used = headers
    .map((line) => line.split(': ', 2) as [string, string])
    .filter(([header]) => /^(content-type|retry-after)$/.test(header));
  return {
    status: Number(status.split(' ')[1]),
    headers: Object.fromEntries(used),
    body: rest.join('\n\n'),
  };
}

/** @param endsWatches after their timeoutSeconds, as a real server: for clients with a real clock */
export async function startKubeApi({ endsWatches = false } = {}): Promise<TestKubeApi> {
  const objects = new Map<string, Map<string, RawObject>>();
  const logs = new Map<string, LoggedEvent[]>();
  const watches = new Set<OpenWatch>();
  const sockets = new Set<Socket>();
  const requests: ReceivedRequest[] = [];
  const queued: { what: string; response: ScriptedResponse | ScriptedResponder }[] = [];
  const permanent = new Map<string, ScriptedResponse | ScriptedResponder>();
  let serverTime: (() => number) | undefined;
  let notServed: readonly string[] = [];
  let version = 0;
  /** The version of the last compaction. */
  let compacted = 0;
  let token: string | undefined;
  let opened = 0;

  const server = createServer((request, response) => serve(request, response));
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket) => {
    opened += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });

  const objectsOf = (resource: string): Map<string, RawObject> =>
    objects.get(resource) ?? objects.set(resource, new Map()).get(resource) ?? new Map();
  const logOf = (resource: string): LoggedEvent[] =>
    logs.get(resource) ?? logs.set(resource, []).get(resource) ?? [];

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://server');
    const query = Object.fromEntries(url.searchParams);
    const target = targetOf(url.pathname);
    const verb = target.name !== undefined ? 'get' : query['watch'] !== undefined ? 'watch' : 'list';
    const what = `${target.resource}:${verb}`;
    const { authorization, 'user-agent': userAgent } = request.headers;
    requests.push({ what, path: url.pathname, query, authorization, userAgent });
    const scope = scopeOf(target, url.searchParams);
    const found = scriptedFor([`${what}@${target.namespace ?? ''}`, what, verb, '*']);
    const scripted = typeof found === 'function' ? found(query) : found;
    if (serverTime !== undefined) response.setHeader('Date', new Date(serverTime()).toUTCString());
    if (token !== undefined && authorization !== `Bearer ${token}`)
      respond(response, { status: 401, body: status(401, 'Unauthorized', 'Unauthorized') });
    else if (notServed.some((each) => url.pathname.startsWith(`/apis/${each}/`)))
      respond(response, {
        status: 404,
        headers: { 'Content-Type': 'text/plain' },
        body: '404 page not found\n',
      });
    else if (scripted !== undefined) respond(response, scripted);
    else if (target.name !== undefined) get(response, scope, target.name);
    else if (verb === 'watch') watch(response, scope, query);
    else list(response, scope, query);
  }

  function scriptedFor(kinds: readonly string[]): ScriptedResponse | ScriptedResponder | undefined {
    const index = queued.findIndex(({ what }) => kinds.includes(what));
    if (index >= 0) return queued.splice(index, 1)[0]?.response;
    return kinds.map((kind) => permanent.get(kind)).find((each) => each !== undefined);
  }

  function get(response: ServerResponse, scope: RequestScope, name: string): void {
    const found = [...objectsOf(scope.resource).values()].find(
      (object) => scope.matches(object) && object.metadata.name === name,
    );
    if (found === undefined)
      respond(response, { status: 404, body: status(404, 'NotFound', `${name} not found`) });
    else respond(response, { status: 200, body: found });
  }

  function list(
    response: ServerResponse,
    scope: RequestScope,
    query: Readonly<Record<string, string>>,
  ): void {
    const [at, after = ''] = (query['continue'] ?? `${version}:`).split(/:(.*)/s);
    const listVersion = Number(at) === -1 ? version : Number(at);
    if (listVersion < compacted) {
      const body = status(410, 'Expired', 'The provided continue parameter is too old');
      respond(response, { status: 410, body: { ...body, metadata: { continue: `-1:${after}` } } });
      return;
    }
    const remaining = [...objectsOf(scope.resource).values()]
      .map((object) => ({ object, key: objectKey(object) }))
      .filter(({ object, key }) => key > after && scope.matches(object))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const limit = query['limit'] === undefined ? remaining.length : Number(query['limit']);
    const page = remaining.slice(0, limit);
    respond(response, {
      status: 200,
      body: {
        kind: listKinds.get(scope.resource) ?? 'List',
        metadata: {
          resourceVersion: String(listVersion),
          ...(remaining.length > page.length ? { continue: `${listVersion}:${page.at(-1)?.key}` } : {}),
        },
        items: page.map(({ object }) => object),
      },
    });
  }

  function watch(
    response: ServerResponse,
    scope: RequestScope,
    query: Readonly<Record<string, string>>,
  ): void {
    const from = Number(query['resourceVersion'] ?? 0);
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    if (from < compacted) {
      const expired = status(410, 'Expired', `too old resource version: ${from} (${compacted})`);
      response.end(`${JSON.stringify({ type: 'ERROR', object: expired })}\n`);
      return;
    }
    const opened: OpenWatch = { scope, from, response };
    for (const logged of logOf(scope.resource)) if (logged.version > from) send(opened, logged);
    watches.add(opened);
    const lifeMs = Number(query['timeoutSeconds']) * 1000;
    const end = endsWatches && lifeMs > 0 ? setTimeout(() => response.end(), lifeMs) : undefined;
    response.on('close', () => {
      clearTimeout(end);
      watches.delete(opened);
    });
  }

  function send({ scope, from, response }: OpenWatch, logged: LoggedEvent): void {
    if (logged.version <= from) return;
    const type = watchEventType(scope.matches, logged);
    if (type !== undefined) response.write(`${JSON.stringify({ type, object: logged.object })}\n`);
  }

  const api: TestKubeApi = {
    url: new URL('http://127.0.0.1'),
    requests,
    connections: () => opened,
    load(archiveName, moment) {
      const source = archive(archiveName);
      for (const path of source.paths) {
        const resource = new RegExp(`^${moment}/([a-z]+)\\.json$`).exec(path)?.[1];
        if (resource === undefined || resource === 'version') continue;
        const list = source.json(path) as { items: RawObject[]; metadata: { resourceVersion: string } };
        api.put(resource, list.items);
        version = Math.max(version, Number(list.metadata.resourceVersion));
      }
    },
    put(resource, list) {
      objects.set(resource, new Map(list.map((object) => [object.metadata.uid, object])));
      for (const { metadata } of list) version = Math.max(version, Number(metadata.resourceVersion));
    },
    emit(resource, type, sent) {
      version = Math.max(version + 1, Number(sent.metadata.resourceVersion));
      const object = { ...sent, metadata: { ...sent.metadata, resourceVersion: String(version) } };
      const before = objectsOf(resource).get(object.metadata.uid);
      if (type === 'DELETED') objectsOf(resource).delete(object.metadata.uid);
      else objectsOf(resource).set(object.metadata.uid, object);
      const logged = { version, type, object, before: before ?? (type === 'ADDED' ? undefined : object) };
      logOf(resource).push(logged);
      for (const each of watches) if (each.scope.resource === resource) send(each, logged);
    },
    replay(archiveName, resource, from, to) {
      for (const line of archive(archiveName).watch(resource).slice(from, to)) {
        const { type, object } = JSON.parse(line) as { type: string; object: RawObject };
        if (type === 'BOOKMARK') api.bookmark(resource);
        else api.emit(resource, type as WatchEventType, object);
      }
    },
    bookmark(resource) {
      const object = { kind: 'Bookmark', metadata: { resourceVersion: String(version) } };
      for (const { scope, response } of watches)
        if (scope.resource === resource) response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    },
    expire(resource) {
      for (const { scope, response } of watches)
        if (resource === undefined || scope.resource === resource) response.end();
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    compact() {
      version += 1;
      compacted = version;
      logs.clear();
    },
    restore(resource, list) {
      version = 0;
      logs.clear();
      api.put(
        resource,
        list.map((object) => ({ ...object, metadata: { ...object.metadata, resourceVersion: '7' } })),
      );
    },
    next: (what, ...responses) => void queued.push(...responses.map((each) => ({ what, response: each }))),
    always(what, response) {
      if (response === undefined) permanent.delete(what);
      else permanent.set(what, response);
    },
    setClock(now) {
      serverTime = now;
    },
    setNotServed(...versions) {
      notServed = versions;
    },
    requireToken(wanted) {
      token = wanted;
    },
    openWatches: (resource) =>
      [...watches].filter(({ scope }) => resource === undefined || scope.resource === resource).length,
    stop() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      api.cut();
      return promise;
    },
    start() {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      server.listen(Number(api.url.port), '127.0.0.1', () => {
        api.url.port = String((server.address() as AddressInfo).port);
        resolve();
      });
      return promise;
    },
    close: () => api.stop(),
  };
  await api.start();
  return api;
}

/** Parses `/api/v1/namespaces/gitlab/pods/gl-gitaly-0`, `/apis/apps/v1/statefulsets`. */
function targetOf(path: string): {
  namespace: string | undefined;
  resource: string;
  name: string | undefined;
} {
  const parts = path.split('/').slice(path.startsWith('/apis/') ? 4 : 3);
  const namespaced = parts[0] === 'namespaces' && parts.length > 2;
  const [resource = '', name] = namespaced ? parts.slice(2) : parts;
  return { namespace: namespaced ? parts[1] : undefined, resource, name };
}

function scopeOf(target: ReturnType<typeof targetOf>, query: URLSearchParams): RequestScope {
  return {
    resource: target.resource,
    namespace: target.namespace,
    matches: objectMatcher(target.namespace, query) ?? (() => false),
  };
}

const status = (code: number, reason: string, message: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason,
  code,
});

function respond(response: ServerResponse, scripted: ScriptedResponse): void {
  if (scripted === 'hang') return;
  if (scripted === 'reset') {
    response.socket?.destroy();
    return;
  }
  if ('flood' in scripted) {
    flood(response, scripted.flood);
    return;
  }
  if ('lines' in scripted) {
    void respondInParts(response, scripted);
    return;
  }
  const {
    status: code,
    headers = {},
    body = status(code, 'Scripted', `scripted by the test: ${code}`),
  } = scripted;
  response.writeHead(code, { 'Content-Type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function flood(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  const block = Buffer.from(text.repeat(Math.max(1, Math.ceil(65_536 / text.length))));
  const more = (): void => {
    while (!response.destroyed && response.write(block));
  };
  response.on('drain', more);
  more();
}

/** Each part in its own packet, as far as a local connection allows. */
async function respondInParts(
  response: ServerResponse,
  { lines, ending }: { readonly lines: readonly string[]; readonly ending: 'end' | 'cut' | 'hang' },
): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.flushHeaders();
  for (const line of lines) {
    await new Promise((resolve) => response.write(line, resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (ending === 'end') response.end();
  if (ending === 'cut') response.socket?.destroy();
}
