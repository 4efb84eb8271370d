/** A whole list, page by page and object by object, each trimmed as it comes. */
import type { Clock } from '../../../lib/clock.ts';
import { BrokenStream, type KubeApi, type Query } from '../api/api.ts';
import type { KubeObject } from '../objects/types.ts';
import { breather } from './breather.ts';
import { brokenEnding, type Ending, endingOf, malformedEnding, statusOf } from './ending.ts';
import { itemsOf, MalformedList } from './items.ts';
import { parseObject } from './object-json.ts';
import { isSyntaxError, jsonOf, nameOf, record, versionOf } from './raw.ts';
import { pathOf, type Resource, type Scope, scopeText } from './resources.ts';
import { readWhileHeard } from './silence.ts';

export interface Held<T> {
  readonly object: T;
  readonly version: string;
}

export interface Listed<T> {
  /** By uid. */
  readonly objects: ReadonlyMap<string, Held<T>>;
  /** From which a watch goes on. */
  readonly version: string;
  /** Objects that could not be read, as `gitlab/gl-gitaly-0: why`; at most a few are named. */
  readonly unreadable: readonly string[];
}

/**
 * `any`: what the server has in memory. `atLeast`: the same, but no older than that version. `newest`: the state
 * behind it, asked of its store.
 */
export type Freshness =
  | { readonly kind: 'any' | 'newest' }
  | { readonly kind: 'atLeast'; readonly version: string };

export interface Listing<T extends KubeObject> {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  readonly freshness: Freshness;
  readonly keep: (raw: unknown, object: T) => boolean;
  readonly signal: AbortSignal;
}

const pageSize = 500;
/** etcd takes no object over 1.5 MiB. */
export const mostObjectBytes = 4 * 1024 * 1024;
const silenceMs = 60_000;
const mostUnreadable = 8;

export async function list<T extends KubeObject>(
  listing: Listing<T>,
): Promise<
  { readonly ok: true; readonly listed: Listed<T> } | { readonly ok: false; readonly ending: Ending }
> {
  const { resource, scope, freshness } = listing;
  const objects = new Map<string, Held<T>>();
  const unreadable: string[] = [];
  let query: Query = { ...asked(scope), ...versionQuery(freshness), limit: pageSize };
  for (;;) {
    const page = await listPage(listing, query, objects, unreadable);
    if ('end' in page) return { ok: false, ending: page };
    if (page.continueToken === '')
      return { ok: true, listed: { objects, version: page.version, unreadable } };
    if (page.continueToken === query['continue'])
      return {
        ok: false,
        ending: malformedEnding(`a ${scopeText(resource, scope)}`, 'its pages do not end'),
      };
    query = { ...asked(scope), limit: pageSize, continue: page.continueToken };
  }
}

interface Page {
  readonly version: string;
  readonly continueToken: string;
}

async function listPage<T extends KubeObject>(
  { api, clock, resource, scope, keep, signal }: Listing<T>,
  query: Query,
  objects: Map<string, Held<T>>,
  unreadable: string[],
): Promise<Page | Ending> {
  const what = `a list of ${scopeText(resource, scope)}`;
  const connection = new AbortController();
  const end = AbortSignal.any([signal, connection.signal]);
  try {
    const answered = await api.stream(pathOf(resource, scope.namespace), query, end);
    if (!answered.ok) return brokenEnding(answered.failure);
    const { status, retryAfterSeconds, body, bytes } = answered.answer;
    if (status !== 200)
      return endingOf(statusOf(jsonOf(body), status), 'list', resource, scope, retryAfterSeconds);
    const breathe = breather();
    const patient = readWhileHeard(bytes, { clock, connection, silenceMs: () => silenceMs });
    for await (const { kind, bytes: part } of itemsOf(patient, mostObjectBytes)) {
      if (kind === 'rest') return pageOf(part.toString('utf8'), what);
      take(parseObject(part), resource, keep, objects, unreadable);
      await breathe();
    }
    return malformedEnding(what, 'it is empty');
  } catch (error) {
    if (error instanceof BrokenStream) return brokenEnding(error.failure);
    if (error instanceof MalformedList) return malformedEnding(what, error.message);
    if (isSyntaxError(error)) return malformedEnding(what, 'it is not JSON');
    throw error;
  } finally {
    connection.abort();
  }
}

function take<T extends KubeObject>(
  raw: unknown,
  { parse }: Resource<T>,
  keep: Listing<T>['keep'],
  objects: Map<string, Held<T>>,
  unreadable: string[],
): void {
  const outcome = parse(raw);
  if (!outcome.ok) {
    if (unreadable.length < mostUnreadable) unreadable.push(`${nameOf(raw)}: ${outcome.why}`);
  } else if (keep(raw, outcome.object))
    objects.set(outcome.object.uid, { object: outcome.object, version: versionOf(raw) });
}

function pageOf(text: string, what: string): Page | Ending {
  const { metadata } = record(jsonOf(text));
  const { resourceVersion, continue: continueToken } = record(metadata);
  if (typeof resourceVersion !== 'string' || resourceVersion === '')
    return malformedEnding(what, 'it has no resourceVersion');
  return { version: resourceVersion, continueToken: typeof continueToken === 'string' ? continueToken : '' };
}

function versionQuery(freshness: Freshness): Query {
  switch (freshness.kind) {
    case 'any':
      return { resourceVersion: '0' };
    case 'atLeast':
      return { resourceVersion: freshness.version, resourceVersionMatch: 'NotOlderThan' };
    case 'newest':
      return {};
  }
}

/** The selectors of a scope, for list and watch alike. */
export const asked = ({ labelSelector, fieldSelector }: Scope): Query => ({ labelSelector, fieldSelector });
