/** Lists a resource completely, page by page and object by object, each parsed as it arrives. */
import { createDeadline } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { durationText } from '../../../lib/format.ts';
import { createYielder } from '../../../lib/yielder.ts';
import { BrokenStream, type KubeApi, type KubeQuery } from '../api/api.ts';
import { fieldsOf, shortText } from '../objects/fields.ts';
import type { KubeObject } from '../objects/types.ts';
import { isSyntaxError, parseJsonText, parseObject, resourceVersionOf } from './json.ts';
import { maxRejected, type RejectedObject, rejectedObject } from './rejected.ts';
import { type Resource, resourcePath, type Scope, scopeText } from './resources.ts';
import { itemsOf, MalformedList, withIdleTimeout, withinBytes } from './stream.ts';
import { endByFailure, endByLimit, endByMalformed, endByResponse, type WatchEnd } from './watch-end.ts';

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
  /** Only the first `maxRejected`. */
  readonly rejected: readonly RejectedObject[];
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
/** Half the usual slice, because the lists and watches of several resources are parsed at the same time. */
export const parsingSliceMs = 2;

/** Bounds on one list with all of its pages, far above a cluster of 5000 nodes. */
const maxPages = 1000;
const maxListMs = 300_000;
const maxListBytes = 1024 ** 3;
/** Objects that are included and kept. */
export const maxKeptObjects = 20_000;
/** Only the last page of an honest server has fewer objects than requested. */
const maxSparsePages = 20;

/** What one list has received so far. */
interface Progress<T> {
  readonly objects: Map<string, Versioned<T>>;
  readonly rejected: RejectedObject[];
  pages: number;
  sparsePages: number;
  bytes: number;
}

type ListOutcome<T> =
  | { readonly ok: true; readonly list: ListResult<T> }
  | { readonly ok: false; readonly end: WatchEnd };

/** Settles within its time, whatever the server sends. */
export async function listObjects<T extends KubeObject>(options: ListOptions<T>): Promise<ListOutcome<T>> {
  const deadline = createDeadline(options.clock, maxListMs, options.signal);
  try {
    const outcome = await listPages({ ...options, signal: deadline.signal });
    if (outcome.ok || !deadline.isTimedOut()) return outcome;
    const what = `a list of ${scopeText(options.resource, options.scope)}`;
    return { ok: false, end: endByLimit(what, `it took more than ${durationText(maxListMs)}`) };
  } finally {
    deadline.release();
  }
}

async function listPages<T extends KubeObject>(options: ListOptions<T>): Promise<ListOutcome<T>> {
  const { resource, scope, consistency } = options;
  const what = `a list of ${scopeText(resource, scope)}`;
  const progress: Progress<T> = {
    ...{ objects: new Map<string, Versioned<T>>(), rejected: [] },
    ...{ pages: 0, sparsePages: 0, bytes: 0 },
  };
  let query: KubeQuery = { ...selectorQuery(scope), ...consistencyQuery(consistency), limit: pageSize };
  for (;;) {
    const page = await listPage(options, query, progress);
    if ('reason' in page) return { ok: false, end: page };
    const { objects, rejected } = progress;
    if (page.continueToken === '') return { ok: true, list: { objects, version: page.version, rejected } };
    if (page.continueToken === query['continue'])
      return { ok: false, end: endByMalformed(what, 'it repeats a page') };
    const over = overLimit(progress, page);
    if (over !== undefined) return { ok: false, end: endByLimit(what, over) };
    query = { ...selectorQuery(scope), limit: pageSize, continue: page.continueToken };
  }
}

function overLimit(progress: Progress<unknown>, { items }: Page): string | undefined {
  progress.pages += 1;
  if (items < pageSize / 2) progress.sparsePages += 1;
  if (progress.pages >= maxPages) return `it has more than ${maxPages} pages`;
  if (progress.sparsePages > maxSparsePages)
    return `more than ${maxSparsePages} of its pages have fewer objects than requested, and another one follows`;
  return undefined;
}

interface Page {
  readonly version: string;
  readonly continueToken: string;
  readonly items: number;
}

/** Adds the objects of one page. */
async function listPage<T extends KubeObject>(
  { api, clock, resource, scope, isIncluded, signal }: ListOptions<T>,
  query: KubeQuery,
  progress: Progress<T>,
): Promise<Page | WatchEnd> {
  const what = `a list of ${scopeText(resource, scope)}`;
  const { objects, rejected } = progress;
  const connection = new AbortController();
  const either = AbortSignal.any([signal, connection.signal]);
  let items = 0;
  try {
    const result = await api.stream(resourcePath(resource, scope.namespace), query, either);
    if (!result.ok) return endByFailure(result.failure);
    const { status, bytes } = result.response;
    if (status !== 200) return endByResponse(result.response, 'list', resource, scope);
    const yielder = createYielder(parsingSliceMs);
    const bounded = withinBytes(bytes, maxListBytes - progress.bytes, what);
    const received = withIdleTimeout(bounded, { clock, connection, timeoutMs: () => idleTimeoutMs });
    for await (const { kind, bytes: part } of itemsOf(received, maxObjectBytes)) {
      progress.bytes += part.length;
      if (kind === 'rest') return pageOf(part.toString('utf8'), what, resource, items);
      items += 1;
      const raw = parseObject(api.withoutSecrets(part));
      const outcome = resource.parse(raw);
      if (!outcome.ok) {
        if (rejected.length < maxRejected) rejected.push(rejectedObject(raw, outcome.why));
      } else if (isIncluded(raw, outcome.object))
        objects.set(outcome.object.uid, { object: outcome.object, version: resourceVersionOf(raw) });
      if (objects.size > maxKeptObjects)
        return endByLimit(what, `more than ${maxKeptObjects} of its objects would be kept`);
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

/** @param text the list without its objects */
function pageOf(text: string, what: string, { kind }: Resource<KubeObject>, count: number): Page | WatchEnd {
  const list = fieldsOf(parseJsonText(text));
  if (list['kind'] !== `${kind}List`)
    return endByMalformed(what, `its kind is ${shortText(list['kind'])}, expected "${kind}List"`);
  const { metadata, items } = list;
  // null is an empty list that was written by Go. Elements that are left are no objects.
  if (items !== null && !(Array.isArray(items) && items.length === 0))
    return endByMalformed(what, `its items are ${Array.isArray(items) ? 'no objects' : shortText(items)}`);
  const { resourceVersion, continue: continueToken } = fieldsOf(metadata);
  if (typeof resourceVersion !== 'string' || resourceVersion === '')
    return endByMalformed(what, 'it has no resourceVersion');
  return {
    ...{ version: resourceVersion, items: count },
    continueToken: typeof continueToken === 'string' ? continueToken : '',
  };
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
