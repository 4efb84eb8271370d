/** Lists a resource completely, page by page and object by object, each parsed as it arrives. */
import type { Clock } from '../../../lib/clock.ts';
import { createYielder } from '../../../lib/yielder.ts';
import { BrokenStream, type KubeApi, type KubeQuery } from '../api/api.ts';
import { fieldsOf } from '../objects/fields.ts';
import type { KubeObject } from '../objects/types.ts';
import { isSyntaxError, objectName, parseJsonText, parseObject, resourceVersionOf } from './json.ts';
import { type Resource, resourcePath, type Scope, scopeText } from './resources.ts';
import { itemsOf, MalformedList, withIdleTimeout } from './stream.ts';
import { apiStatusOf, endByFailure, endByMalformed, endByStatus, type WatchEnd } from './watch-end.ts';

export interface Versioned<T> {
  readonly object: T;
  /** Its resourceVersion. */
  readonly version: string;
}

export interface ListResult<T> {
  /** By uid. */
  readonly objects: ReadonlyMap<string, Versioned<T>>;
  /** The resourceVersion from which a watch continues. */
  readonly version: string;
  /** Rejected objects, as `gitlab/gl-gitaly-0: why`; only the first few. */
  readonly rejected: readonly string[];
}

/**
 * Where the server reads the list from. `cache`: its cache, however old. `cacheSince`: its cache, not older than
 * the version. `etcd`: the most recent state, from etcd.
 */
export type ListConsistency =
  | { readonly kind: 'cache' | 'etcd' }
  | { readonly kind: 'cacheSince'; readonly version: string };

interface ListOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  readonly consistency: ListConsistency;
  readonly isIncluded: (raw: unknown, object: T) => boolean;
  readonly signal: AbortSignal;
}

const pageSize = 500;
/** etcd stores no object over 1.5 MiB. */
export const maxObjectBytes = 4 * 1024 * 1024;
const idleTimeoutMs = 60_000;
const maxRejected = 8;
/** Half the usual slice, because the lists and watches of several resources are parsed at the same time. */
export const parsingSliceMs = 2;

export async function listObjects<T extends KubeObject>(
  options: ListOptions<T>,
): Promise<
  { readonly ok: true; readonly list: ListResult<T> } | { readonly ok: false; readonly end: WatchEnd }
> {
  const { resource, scope, consistency } = options;
  const objects = new Map<string, Versioned<T>>();
  const rejected: string[] = [];
  let query: KubeQuery = { ...selectorQuery(scope), ...consistencyQuery(consistency), limit: pageSize };
  for (;;) {
    const page = await listPage(options, query, objects, rejected);
    if ('reason' in page) return { ok: false, end: page };
    if (page.continueToken === '') return { ok: true, list: { objects, version: page.version, rejected } };
    if (page.continueToken === query['continue'])
      return {
        ok: false,
        end: endByMalformed(`a list of ${scopeText(resource, scope)}`, 'it repeats a page'),
      };
    query = { ...selectorQuery(scope), limit: pageSize, continue: page.continueToken };
  }
}

interface Page {
  readonly version: string;
  readonly continueToken: string;
}

/** Adds the objects of one page to `objects` and `rejected`. */
async function listPage<T extends KubeObject>(
  { api, clock, resource, scope, isIncluded, signal }: ListOptions<T>,
  query: KubeQuery,
  objects: Map<string, Versioned<T>>,
  rejected: string[],
): Promise<Page | WatchEnd> {
  const what = `a list of ${scopeText(resource, scope)}`;
  const connection = new AbortController();
  const either = AbortSignal.any([signal, connection.signal]);
  try {
    const result = await api.stream(resourcePath(resource, scope.namespace), query, either);
    if (!result.ok) return endByFailure(result.failure);
    const { status, retryAfterSeconds, body, bytes } = result.response;
    if (status !== 200)
      return endByStatus(
        apiStatusOf(parseJsonText(body), status),
        'list',
        resource,
        scope,
        retryAfterSeconds,
      );
    const yielder = createYielder(parsingSliceMs);
    const received = withIdleTimeout(bytes, { clock, connection, timeoutMs: () => idleTimeoutMs });
    for await (const { kind, bytes: part } of itemsOf(received, maxObjectBytes)) {
      if (kind === 'rest') return pageOf(part.toString('utf8'), what);
      const raw = parseObject(part);
      const outcome = resource.parse(raw);
      if (!outcome.ok) {
        if (rejected.length < maxRejected) rejected.push(`${objectName(raw)}: ${outcome.why}`);
      } else if (isIncluded(raw, outcome.object))
        objects.set(outcome.object.uid, { object: outcome.object, version: resourceVersionOf(raw) });
      await yielder.yieldIfDue();
    }
    return endByMalformed(what, 'it is empty');
  } catch (error) {
    if (error instanceof BrokenStream) return endByFailure(error.failure);
    if (error instanceof MalformedList) return endByMalformed(what, error.message);
    if (isSyntaxError(error)) return endByMalformed(what, 'it is not JSON');
    throw error;
  } finally {
    connection.abort();
  }
}

function pageOf(text: string, what: string): Page | WatchEnd {
  const { metadata } = fieldsOf(parseJsonText(text));
  const { resourceVersion, continue: continueToken } = fieldsOf(metadata);
  if (typeof resourceVersion !== 'string' || resourceVersion === '')
    return endByMalformed(what, 'it has no resourceVersion');
  return { version: resourceVersion, continueToken: typeof continueToken === 'string' ? continueToken : '' };
}

function consistencyQuery(consistency: ListConsistency): KubeQuery {
  switch (consistency.kind) {
    case 'cache':
      return { resourceVersion: '0' };
    case 'cacheSince':
      return { resourceVersion: consistency.version, resourceVersionMatch: 'NotOlderThan' };
    case 'etcd':
      return {};
  }
}

/** The same for lists and watches. */
export const selectorQuery = ({ labelSelector, fieldSelector }: Scope): KubeQuery => ({
  labelSelector,
  fieldSelector,
});
