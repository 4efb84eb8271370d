/**
 * A local Kubernetes API server over objects in memory: lists with pages, watches with resourceVersions and
 * bookmarks, single objects, and the kubelets' stats/summary. Read-only over HTTP; the demo changes the objects.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listKinds, objectKey, objectMatcher, watchEventType } from './selection.ts';

type KubeResource = 'pods' | 'statefulsets' | 'poddisruptionbudgets' | 'nodes' | 'events' | 'configmaps';

/** An object without its resourceVersion, which the store adds. */
export interface StoredObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly resourceVersion?: string;
  };
}

export interface ObjectStore {
  list(resource: KubeResource): readonly StoredObject[];
  /** Adds the object, or replaces the one with its uid. */
  put(resource: KubeResource, object: StoredObject): void;
  remove(resource: KubeResource, uid: string): void;
  /** The version of the last change. */
  version(): number;
  /** Changes after the version; undefined when they are no longer in the log. */
  changesSince(resource: KubeResource, version: number): readonly StoredChange[] | undefined;
  subscribe(listener: (change: StoredChange) => void): () => void;
}

interface StoredChange {
  readonly resource: KubeResource;
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
  readonly before: StoredObject | undefined;
}

/** etcd keeps old versions for 5 minutes; this log keeps a number of changes. */
const maxLoggedChanges = 2000;

export function createObjectStore(): ObjectStore {
  const objects = new Map<KubeResource, Map<string, StoredObject>>();
  const listeners = new Set<(change: StoredChange) => void>();
  const log: StoredChange[] = [];
  let version = 1000;
  /** Versions up to this one are no longer complete in the log. */
  let compactedVersion = 0;

  function objectsOf(resource: KubeResource): Map<string, StoredObject> {
    const found = objects.get(resource) ?? new Map<string, StoredObject>();
    objects.set(resource, found);
    return found;
  }

  function record(change: Omit<StoredChange, 'version' | 'object'>, object: StoredObject): StoredObject {
    version += 1;
    const versioned = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    const recorded = { ...change, version, object: versioned };
    log.push(recorded);
    if (log.length > maxLoggedChanges) compactedVersion = log.shift()?.version ?? compactedVersion;
    for (const listener of [...listeners]) listener(recorded);
    return versioned;
  }

  return {
    list: (resource) => [...objectsOf(resource).values()],
    put(resource, object) {
      const { uid } = object.metadata;
      const before = objectsOf(resource).get(uid);
      const type = before === undefined ? 'ADDED' : 'MODIFIED';
      objectsOf(resource).set(uid, record({ resource, type, before }, object));
    },
    remove(resource, uid) {
      const before = objectsOf(resource).get(uid);
      if (before === undefined) return;
      objectsOf(resource).delete(uid);
      record({ resource, type: 'DELETED', before }, before);
    },
    version: () => version,
    changesSince: (resource, from) =>
      from < compactedVersion
        ? undefined
        : log.filter((change) => change.resource === resource && change.version > from),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

interface ApiServerOptions {
  readonly store: ObjectStore;
  /** Bearer token that requests need. */
  readonly token: string;
  /** The kubelet's stats/summary; undefined for an unknown node. */
  readonly statsSummary: (node: string) => object | undefined;
}

interface KubeApiServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** A real API server sends them once a minute. */
const bookmarkIntervalMs = 15_000;
const defaultWatchSeconds = 1800;

/** Listens on a free port of the loopback. */
export async function startKubeApiServer(options: ApiServerOptions): Promise<KubeApiServer> {
  const { store, token, statsSummary } = options;
  const server = createServer((request, response) => {
    if (request.headers.authorization !== `Bearer ${token}`)
      respondStatus(response, 401, 'Unauthorized', 'Unauthorized');
    else if (request.method !== 'GET')
      respondStatus(response, 405, 'MethodNotAllowed', 'this API server is read-only');
    else handle(request, response);
  });

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const node = /^\/api\/v1\/nodes\/([^/]+)\/proxy\/stats\/summary$/.exec(url.pathname)?.[1];
    const target = targetOf(url);
    if (url.pathname === '/version') respond(response, 200, { gitVersion: 'v1.35.4' });
    else if (node !== undefined) getStats(response, decodeURIComponent(node));
    else if (target === undefined) respondStatus(response, 404, 'NotFound', 'unknown path');
    else if (target.name !== undefined) get(response, target);
    else if (url.searchParams.get('watch') === null) list(response, target, url.searchParams);
    else watch(response, target, url.searchParams);
  }

  function getStats(response: ServerResponse, node: string): void {
    const summary = statsSummary(node);
    if (summary === undefined) respondStatus(response, 404, 'NotFound', `node ${node} not found`);
    else respond(response, 200, summary);
  }

  function get(response: ServerResponse, target: RequestTarget): void {
    const found = store
      .list(target.resource)
      .find((object) => target.matches(object) && object.metadata.name === target.name);
    if (found === undefined) respondStatus(response, 404, 'NotFound', `${target.name} not found`);
    else respond(response, 200, found);
  }

  function list(
    response: ServerResponse,
    { resource, matches }: RequestTarget,
    query: URLSearchParams,
  ): void {
    const after = query.get('continue') ?? '';
    const remaining = store
      .list(resource)
      .filter((object) => matches(object) && objectKey(object) > after)
      .sort((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
    const items = remaining.slice(0, Number(query.get('limit') ?? remaining.length) || remaining.length);
    const last = items.at(-1);
    respond(response, 200, {
      kind: listKinds.get(resource) ?? 'List',
      apiVersion: 'v1',
      metadata: {
        resourceVersion: String(store.version()),
        ...(items.length < remaining.length && last !== undefined ? { continue: objectKey(last) } : {}),
      },
      items,
    });
  }

  function watch(
    response: ServerResponse,
    { resource, matches }: RequestTarget,
    query: URLSearchParams,
  ): void {
    const from = Number(query.get('resourceVersion') ?? 0);
    const missed = from === 0 ? [] : store.changesSince(resource, from);
    if (missed === undefined) {
      respondStatus(response, 410, 'Expired', `too old resource version: ${from}`);
      return;
    }
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.flushHeaders();
    const write = (type: string, object: unknown): void => {
      response.write(`${JSON.stringify({ type, object })}\n`);
    };
    const send = (change: StoredChange): void => {
      const type = watchEventType(matches, change);
      if (type !== undefined) write(type, change.object);
    };
    for (const change of missed) send(change);
    const unsubscribe = store.subscribe((change) => {
      if (change.resource === resource) send(change);
    });
    const bookmarks = setInterval(
      () => write('BOOKMARK', { kind: 'Bookmark', metadata: { resourceVersion: String(store.version()) } }),
      bookmarkIntervalMs,
    );
    const seconds = Number(query.get('timeoutSeconds') ?? 0) || defaultWatchSeconds;
    const end = setTimeout(() => response.end(), seconds * 1000);
    response.on('close', () => {
      unsubscribe();
      clearInterval(bookmarks);
      clearTimeout(end);
    });
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close().closeAllConnections();
      await closed;
    },
  };
}

interface RequestTarget {
  readonly resource: KubeResource;
  readonly name: string | undefined;
  matches(object: StoredObject): boolean;
}

const resources: ReadonlyMap<string, KubeResource> = new Map([
  ['/api/v1 pods', 'pods'],
  ['/api/v1 nodes', 'nodes'],
  ['/api/v1 events', 'events'],
  ['/api/v1 configmaps', 'configmaps'],
  ['/apis/apps/v1 statefulsets', 'statefulsets'],
  ['/apis/policy/v1 poddisruptionbudgets', 'poddisruptionbudgets'],
]);

/** `/api/v1/namespaces/gitlab/pods/gitaly-1`, `/apis/apps/v1/statefulsets?labelSelector=app%3Dgitaly`. */
function targetOf({ pathname, searchParams }: URL): RequestTarget | undefined {
  const path = /^(\/api\/v1|\/apis\/[^/]+\/v1)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?$/.exec(
    pathname,
  );
  const [, group, namespace, plural, name] = path ?? [];
  const resource = resources.get(`${group} ${plural}`);
  const matches = objectMatcher(
    namespace === undefined ? undefined : decodeURIComponent(namespace),
    searchParams,
  );
  if (resource === undefined || matches === undefined) return undefined;
  return { resource, name: name === undefined ? undefined : decodeURIComponent(name), matches };
}

function respondStatus(response: ServerResponse, code: number, reason: string, message: string): void {
  respond(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code });
}

function respond(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}
