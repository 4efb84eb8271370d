/**
 * A small Kubernetes API server for tests: real HTTP on loopback, objects and watch streams as recorded
 * (test/fixtures/kubernetes), and any misbehaviour that is asked for.
 *
 *     const server = await startKubeApi();
 *     server.load('drain', '0-before');                    // lists of that moment
 *     const api = createHttpApi({ server: server.url, ... });
 *     server.replay('drain', 'pods');                      // the watch of the incident, to whoever watches
 *     server.next('pods:list', { status: 500 });           // the next list of pods fails
 *     server.next('pods:watch', recorded('watch-gone'));   // an answer as recorded
 *     server.next('pods:watch', { lines: ['{"type":'], ending: 'cut' });
 *     await server.close();
 *
 * It pages lists, filters by namespace, label and field selectors, keeps a log of events for watches that resume,
 * and answers 410 for what `compact()` made it forget. It knows no time unless it is told to: watches end by
 * `expire()`, bookmarks come by `bookmark()`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { parseSelector, selects } from '../../src/sources/kubernetes/objects/selector.ts';
import { archive } from './kubernetes-archive.ts';

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

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

export type Misbehaviour =
  /** An answer of HTTP. `body`: text as it is, anything else as JSON. */
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
  /** 200, these pieces one after the other exactly as they are, and how it ends. */
  | { readonly lines: readonly string[]; readonly ending: 'end' | 'cut' | 'silence' }
  /** The connection is closed without an answer. */
  | 'reset'
  /** The request is taken and never answered. */
  | 'silence';

export interface SeenRequest {
  /** `pods:list`, `pods:watch`, `pods:get`. */
  readonly what: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
  readonly userAgent: string | undefined;
}

export interface TestKubeApi {
  readonly url: URL;
  /** Everything that was asked, in order. */
  readonly requests: readonly SeenRequest[];
  /** How many connections were opened so far. */
  connections(): number;
  /** All lists of a recorded moment take the place of what was served before. */
  load(archiveName: string, moment: string): void;
  /** The objects of one resource, in place of those before. */
  put(resource: string, objects: readonly RawObject[]): void;
  /** A change, told to all watches that it concerns; its resourceVersion is raised if it is not a new one. */
  emit(resource: string, type: EventType, object: RawObject): void;
  /** Lines of a recorded watch, from..to; without them all. */
  replay(archiveName: string, resource: string, from?: number, to?: number): void;
  bookmark(resource: string): void;
  /** Ends open watches in order, as their timeoutSeconds does. */
  expire(resource?: string): void;
  /** Closes all connections at once, as when the server is killed; it listens on. */
  cut(): void;
  /** Forgets the log of events: older resourceVersions and continue tokens are gone (410). */
  compact(): void;
  /** The next request of that kind (`pods:watch`, `events:list@default`, `list`, `*`) gets this; several in turn. */
  next(what: string, ...answers: readonly Misbehaviour[]): void;
  /** Every request of that kind gets this, until `always(what, undefined)`. */
  always(what: string, answer: Misbehaviour | undefined): void;
  /** Refuses whoever does not show this token (401). */
  requireToken(token: string): void;
  openWatches(resource?: string): number;
  /** Stops listening and cuts all; `start` listens on the same port again. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Scope {
  readonly resource: string;
  readonly namespace: string | undefined;
  matches(object: RawObject): boolean;
}

interface Logged {
  readonly version: number;
  readonly type: EventType;
  readonly object: RawObject;
  readonly before: RawObject | undefined;
}

interface Watch {
  readonly scope: Scope;
  readonly response: ServerResponse;
}

/** One of watch-protocol's answers: `list-forbidden`, `watch-gone`, `list-continue-gone`, `list-too-new`, ... */
export function recorded(name: string): Misbehaviour {
  const [head = '', ...rest] = archive('watch-protocol')
    .text(`${name}.http`)
    .split(/\r?\n\r?\n/);
  const [status = '', ...headers] = head.split(/\r?\n/);
  const kept = headers
    .map((line) => line.split(': ', 2) as [string, string])
    .filter(([header]) => /^(content-type|retry-after)$/.test(header));
  return {
    status: Number(status.split(' ')[1]),
    headers: Object.fromEntries(kept),
    body: rest.join('\n\n'),
  };
}

/** @param keepsTime Ends each watch after its timeoutSeconds, as a real server does: for clients with a real clock. */
export async function startKubeApi({ keepsTime = false } = {}): Promise<TestKubeApi> {
  const objects = new Map<string, Map<string, RawObject>>();
  const logs = new Map<string, Logged[]>();
  const watches = new Set<Watch>();
  const sockets = new Set<Socket>();
  const requests: SeenRequest[] = [];
  const queued: { what: string; answer: Misbehaviour }[] = [];
  const standing = new Map<string, Misbehaviour>();
  let version = 0;
  /** Up to here the log is forgotten. */
  let forgotten = 0;
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

  const held = (resource: string): Map<string, RawObject> =>
    objects.get(resource) ?? objects.set(resource, new Map()).get(resource) ?? new Map();
  const logOf = (resource: string): Logged[] =>
    logs.get(resource) ?? logs.set(resource, []).get(resource) ?? [];

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://server');
    const query = Object.fromEntries(url.searchParams);
    const place = placeOf(url.pathname);
    const verb = place.name !== undefined ? 'get' : query['watch'] !== undefined ? 'watch' : 'list';
    const what = `${place.resource}:${verb}`;
    const { authorization, 'user-agent': userAgent } = request.headers;
    requests.push({ what, path: url.pathname, query, authorization, userAgent });
    const scope = scopeOf(place, query);
    const scripted = scriptedFor([`${what}@${place.namespace ?? ''}`, what, verb, '*']);
    if (token !== undefined && authorization !== `Bearer ${token}`)
      answer(response, { status: 401, body: status(401, 'Unauthorized', 'Unauthorized') });
    else if (scripted !== undefined) answer(response, scripted);
    else if (place.name !== undefined) get(response, scope, place.name);
    else if (verb === 'watch') watch(response, scope, query);
    else list(response, scope, query);
  }

  function scriptedFor(kinds: readonly string[]): Misbehaviour | undefined {
    const index = queued.findIndex(({ what }) => kinds.includes(what));
    if (index >= 0) return queued.splice(index, 1)[0]?.answer;
    return kinds.map((kind) => standing.get(kind)).find((each) => each !== undefined);
  }

  function get(response: ServerResponse, scope: Scope, name: string): void {
    const found = [...held(scope.resource).values()].find(
      (object) => scope.matches(object) && object.metadata.name === name,
    );
    if (found === undefined)
      answer(response, { status: 404, body: status(404, 'NotFound', `${name} not found`) });
    else answer(response, { status: 200, body: found });
  }

  function list(response: ServerResponse, scope: Scope, query: Readonly<Record<string, string>>): void {
    const [at, after = ''] = (query['continue'] ?? `${version}:`).split(/:(.*)/s);
    const asked = Number(at) === -1 ? version : Number(at);
    if (asked < forgotten) {
      const body = status(410, 'Expired', 'The provided continue parameter is too old');
      answer(response, { status: 410, body: { ...body, metadata: { continue: `-1:${after}` } } });
      return;
    }
    const rest = [...held(scope.resource).values()]
      .map((object) => ({ object, key: keyOf(object) }))
      .filter(({ object, key }) => key > after && scope.matches(object))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const limit = query['limit'] === undefined ? rest.length : Number(query['limit']);
    const page = rest.slice(0, limit);
    answer(response, {
      status: 200,
      body: {
        kind: 'List',
        metadata: {
          resourceVersion: String(asked),
          ...(rest.length > page.length ? { continue: `${asked}:${page.at(-1)?.key}` } : {}),
        },
        items: page.map(({ object }) => object),
      },
    });
  }

  function watch(response: ServerResponse, scope: Scope, query: Readonly<Record<string, string>>): void {
    const from = Number(query['resourceVersion'] ?? 0);
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    if (from < forgotten) {
      const gone = status(410, 'Expired', `too old resource version: ${from} (${forgotten})`);
      response.end(`${JSON.stringify({ type: 'ERROR', object: gone })}\n`);
      return;
    }
    const opened: Watch = { scope, response };
    for (const logged of logOf(scope.resource)) if (logged.version > from) tell(opened, logged);
    watches.add(opened);
    const lifeMs = Number(query['timeoutSeconds']) * 1000;
    const end = keepsTime && lifeMs > 0 ? setTimeout(() => response.end(), lifeMs) : undefined;
    response.on('close', () => {
      clearTimeout(end);
      watches.delete(opened);
    });
  }

  /** To a selector, an object that stops matching is deleted and one that starts is added. */
  function tell({ scope, response }: Watch, { type, object, before }: Logged): void {
    const was = before !== undefined && scope.matches(before);
    const is = type !== 'DELETED' && scope.matches(object);
    const told = is ? (was ? 'MODIFIED' : 'ADDED') : was ? 'DELETED' : undefined;
    if (told !== undefined) response.write(`${JSON.stringify({ type: told, object })}\n`);
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
      const before = held(resource).get(object.metadata.uid);
      if (type === 'DELETED') held(resource).delete(object.metadata.uid);
      else held(resource).set(object.metadata.uid, object);
      const logged = { version, type, object, before: before ?? (type === 'ADDED' ? undefined : object) };
      logOf(resource).push(logged);
      for (const each of watches) if (each.scope.resource === resource) tell(each, logged);
    },
    replay(archiveName, resource, from, to) {
      for (const line of archive(archiveName).watch(resource).slice(from, to)) {
        const { type, object } = JSON.parse(line) as { type: string; object: RawObject };
        if (type === 'BOOKMARK') api.bookmark(resource);
        else api.emit(resource, type as EventType, object);
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
      forgotten = version;
      logs.clear();
    },
    next: (what, ...answers) => void queued.push(...answers.map((each) => ({ what, answer: each }))),
    always(what, misbehaviour) {
      if (misbehaviour === undefined) standing.delete(what);
      else standing.set(what, misbehaviour);
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

const keyOf = ({ metadata }: RawObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

/** `/api/v1/namespaces/gitlab/pods/gl-gitaly-0`, `/apis/apps/v1/statefulsets`. */
function placeOf(path: string): {
  namespace: string | undefined;
  resource: string;
  name: string | undefined;
} {
  const parts = path.split('/').slice(path.startsWith('/apis/') ? 4 : 3);
  const namespaced = parts[0] === 'namespaces' && parts.length > 2;
  const [resource = '', name] = namespaced ? parts.slice(2) : parts;
  return { namespace: namespaced ? parts[1] : undefined, resource, name };
}

function scopeOf(place: ReturnType<typeof placeOf>, query: Readonly<Record<string, string>>): Scope {
  const labels = parseSelector(query['labelSelector'] ?? '');
  const fields = (query['fieldSelector'] ?? '').split(',').filter((each) => each !== '');
  return {
    resource: place.resource,
    namespace: place.namespace,
    matches: (object) =>
      (place.namespace === undefined || object.metadata.namespace === place.namespace) &&
      labels !== undefined &&
      selects(labels, object.metadata.labels ?? {}) &&
      fields.every((each) => {
        const [path = '', value] = each.split('=');
        return String(valueAt(object, path) ?? '') === value;
      }),
  };
}

const valueAt = (object: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], object);

const status = (code: number, reason: string, message: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason,
  code,
});

function answer(response: ServerResponse, misbehaviour: Misbehaviour): void {
  if (misbehaviour === 'silence') return;
  if (misbehaviour === 'reset') {
    response.socket?.destroy();
    return;
  }
  if ('lines' in misbehaviour) {
    void drip(response, misbehaviour);
    return;
  }
  const {
    status: code,
    headers = {},
    body = status(code, 'Scripted', `as the test asks: ${code}`),
  } = misbehaviour;
  response.writeHead(code, { 'Content-Type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** Each piece in a packet of its own, as far as a local connection lets one say. */
async function drip(
  response: ServerResponse,
  { lines, ending }: { readonly lines: readonly string[]; readonly ending: 'end' | 'cut' | 'silence' },
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
