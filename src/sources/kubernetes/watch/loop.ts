/**
 * One list-watch loop: lists, watches from the list's resourceVersion, and after any failure watches again from
 * the last resourceVersion, or lists again where the server no longer has it. It ends only by its signal.
 */
import type { Clock } from '../../../lib/clock.ts';
import { describeThrown, stackOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { createYielder } from '../../../lib/yielder.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { BrokenStream, type KubeApi } from '../api/api.ts';
import { fieldsOf } from '../objects/fields.ts';
import type { KubeObject } from '../objects/types.ts';
import { noRestarts, type WatchState } from '../store.ts';
import { createEventParser, isSyntaxError, resourceVersionOf } from './json.ts';
import {
  type ListConsistency,
  type ListResult,
  listObjects,
  maxObjectBytes,
  parsingSliceMs,
  selectorQuery,
  type Versioned,
} from './list.ts';
import { createRejectedObjects, type RejectedObject, rejectedObject } from './rejected.ts';
import { type Resource, resourcePath, type Scope, scopeText } from './resources.ts';
import { endIfRestored } from './restored.ts';
import { linesOf, oversizedLine, withIdleTimeout, withinBytes } from './stream.ts';
import {
  createRetryPolicy,
  endByClose,
  endByErrorEvent,
  endByFailure,
  endByLimit,
  endByMalformed,
  endByResponse,
  notServedText,
  type WatchEnd,
} from './watch-end.ts';

/** Receives the objects. */
export interface WatchSink<T> {
  listed(objects: ReadonlyMap<string, Versioned<T>>, rejected: readonly RejectedObject[]): void;
  /** The server's state became an older one: the versions of all objects so far mean nothing. */
  restored(): void;
  /** False: the store is full, and the object is not in it. */
  put(uid: string, versioned: Versioned<T>): boolean;
  deleted(uid: string, last: T): void;
  /** A malformed object was deleted. */
  gone(uid: string): void;
  /** The object exists, but its present state was rejected: its state before is kept until it is stale. */
  rejected(uid: string): void;
}

interface WatchLoopOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly clock: Clock;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Log;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  /** False: the object is treated as if it did not exist. */
  readonly isIncluded: (raw: unknown, object: T) => boolean;
  readonly sink: WatchSink<T>;
  /** Data of this age is stale; watches are short enough that a watch without events does not become stale. */
  readonly staleMs: number;
  readonly signal: AbortSignal;
}

export interface WatchLoop {
  /** Resolves after the signal has aborted. */
  readonly ended: Promise<void>;
  /** Resolves after the first list, or the first failure. */
  readonly tried: Promise<void>;
  state(): WatchLoopState;
}

export interface WatchLoopState extends Omit<WatchState, 'current' | 'objects' | 'unread'> {
  readonly listed: boolean;
  /** `lastEventAt` by the monotonic clock. */
  readonly lastEventMonotonic: number | undefined;
}

/** The API server sends a bookmark about once a minute; after one, a longer gap means that the peer is dead. */
const bookmarkTimeoutMs = 90_000;
/** How late the requested end may be. */
const endGraceMs = 10_000;
/** A watch that has not been refused after this long continues where the last one ended. */
const acceptedMs = 2_000;
/** After a watch of this length, the next failure is the first one again. */
const successMs = 10_000;

/** Bounds on one watch, some ten times what the events of a large cluster need in its few minutes. */
const maxWatchBytes = 512 * 1024 ** 2;
const maxWatchLines = 200_000;

export function runWatchLoop<T extends KubeObject>(options: WatchLoopOptions<T>): WatchLoop {
  const { api, clock, random, log, scope, isIncluded, sink, staleMs, signal } = options;
  const retryPolicy = createRetryPolicy(random);
  const restarts = noRestarts();
  const tried = Promise.withResolvers<void>();
  const watchText = `a watch of ${scopeText(options.resource, scope)}`;
  /** In the version that the API server has. */
  let resource = options.resource;
  let unavailable: string | undefined;
  let version = '';
  /** Of the next list; undefined while a watch can continue from `version`. */
  let nextList: ListConsistency | undefined = { kind: scope.isSmall === true ? 'cache' : 'etcd' };
  let listed = false;
  let lastEventAt: number | undefined;
  let lastEventMonotonic: number | undefined;
  let connectionFailure: Failure | undefined;
  const rejected = createRejectedObjects();

  function markEvent(): void {
    lastEventAt = clock.now();
    lastEventMonotonic = clock.monotonic();
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const end = await (nextList === undefined ? watch() : list(nextList)).catch(internalError);
      if (signal.aborted) break;
      if (end !== undefined) await waitAfter(end);
      tried.resolve();
    }
    tried.resolve();
  }

  /** Nothing is expected to throw; the loop continues all the same. */
  function internalError(thrown: unknown): WatchEnd {
    const what = scopeText(resource, scope);
    const error = describeThrown(thrown);
    log.error({ watch: what, error, stack: stackOf(thrown) }, 'internal error in a watch of kubernetes');
    const message = `internal error in the watch of ${what}: ${error}`;
    return { reason: 'other', failure: { reason: 'internal', message }, needsList: true };
  }

  async function waitAfter(end: WatchEnd): Promise<void> {
    if (end.reason === 'not_served' && resource.older !== undefined) {
      resource = resource.older;
      return;
    }
    restarts[end.reason] += 1;
    const isServed = end.reason !== 'not_served';
    connectionFailure = isServed ? end.failure : undefined;
    if (!isServed) {
      unavailable = notServedText(options.resource);
      // The cluster may be upgraded.
      resource = options.resource;
      listed = false;
    }
    tried.resolve();
    if (end.needsList === true) nextList = consistencyAfter(end);
    const delayMs = retryPolicy.delayMs(end, listed);
    if (delayMs > 0) await clock.sleep(delayMs, signal);
  }

  /** From etcd after a list that failed, or when the server's cache is behind. */
  function consistencyAfter({ isCacheBehind }: WatchEnd): ListConsistency {
    const canUseCache =
      scope.isSmall === true && version !== '' && isCacheBehind !== true && nextList === undefined;
    return canUseCache ? { kind: 'cacheSince', version } : { kind: 'etcd' };
  }

  async function list(consistency: ListConsistency): Promise<WatchEnd | undefined> {
    const outcome = await listObjects({ api, clock, resource, scope, isIncluded, consistency, signal });
    if (!outcome.ok) return outcome.end;
    if (!signal.aborted) apply(outcome.list);
    return undefined;
  }

  function apply({ objects, version: listVersion, rejected: malformed }: ListResult<T>): void {
    markEvent();
    connectionFailure = undefined;
    unavailable = undefined;
    listed = true;
    nextList = undefined;
    version = listVersion;
    rejected.replace(malformed);
    sink.listed(objects, malformed);
  }

  const endIfStateIsOlder = (): Promise<WatchEnd | undefined> =>
    endIfRestored({ api, resource, scope, version, what: watchText, signal, onRestored: sink.restored });

  async function watch(): Promise<WatchEnd | undefined> {
    const connection = new AbortController();
    const either = AbortSignal.any([signal, connection.signal]);
    // Half to three quarters of the time until the data is stale, so that it stays current without bookmarks too.
    const lifetimeMs = Math.round((staleMs * (0.5 + 0.25 * random())) / 1000) * 1000;
    const startedAt = clock.monotonic();
    let hasBookmarks = false;
    let lines = 0;
    try {
      const result = await api.stream(
        resourcePath(resource, scope.namespace),
        {
          ...selectorQuery(scope),
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: version,
          timeoutSeconds: lifetimeMs / 1000,
        },
        either,
      );
      if (!result.ok) return endByFailure(result.failure);
      const { status, bytes } = result.response;
      if (status !== 200) return endByResponse(result.response, 'watch', resource, scope);
      connectionFailure = undefined;
      // Not current yet: a lost resourceVersion is reported by the first event of a successful response, immediately.
      void clock.sleep(acceptedMs, either).then(() => {
        if (!either.aborted) markEvent();
      });
      const yielder = createYielder(parsingSliceMs);
      const parseEvent = createEventParser();
      const received = withIdleTimeout(withinBytes(bytes, maxWatchBytes, watchText), {
        clock,
        connection,
        timeoutMs: () =>
          hasBookmarks ? Math.min(bookmarkTimeoutMs, lifetimeMs + endGraceMs) : lifetimeMs + endGraceMs,
      });
      for await (const line of linesOf(received, maxObjectBytes)) {
        if (signal.aborted) return undefined;
        if (line === oversizedLine)
          return endByMalformed(watchText, `one of its objects is over ${maxObjectBytes} bytes`);
        lines += 1;
        if (lines > maxWatchLines) return endByLimit(watchText, `it has more than ${maxWatchLines} events`);
        const raw = fieldsOf(parseEvent(api.withoutSecrets(line)));
        const end = handleEvent(raw['type'], raw['object']);
        if (end !== undefined) return end;
        hasBookmarks ||= raw['type'] === 'BOOKMARK';
        markEvent();
        await yielder.yieldIfDue();
      }
      const isExpired = clock.monotonic() - startedAt >= lifetimeMs - 2000;
      const restored = isExpired && lines === 0 ? await endIfStateIsOlder() : undefined;
      if (restored !== undefined || signal.aborted) return restored;
      // A watch without events or bookmarks has missed nothing.
      if (isExpired) markEvent();
      // Nothing else would end the report of a rejected object without a uid.
      if (isExpired && !rejected.isEmpty()) nextList = { kind: 'etcd' };
      return isExpired ? { reason: 'expired', failure: undefined } : endByClose(watchText);
    } catch (error) {
      if (error instanceof BrokenStream) return endByFailure(error.failure);
      if (isSyntaxError(error)) return endByMalformed(watchText, 'one of its lines is not JSON');
      throw error;
    } finally {
      connection.abort();
      if (clock.monotonic() - startedAt >= successMs) retryPolicy.reset();
    }
  }

  /** Returns the end of the watch if the event causes it. */
  function handleEvent(type: unknown, raw: unknown): WatchEnd | undefined {
    if (type === 'ERROR') return endByErrorEvent(raw, 'watch', resource, scope);
    const eventVersion = resourceVersionOf(raw);
    if (eventVersion === '') return endByMalformed(watchText, 'an event without a resourceVersion');
    if (type === 'BOOKMARK') {
      version = eventVersion;
      return undefined;
    }
    if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED')
      return endByMalformed(watchText, 'an event of an unknown type');
    const outcome = resource.parse(raw);
    if (!outcome.ok) {
      const malformed = rejectedObject(raw, outcome.why);
      if (malformed.uid === '') return endByMalformed(watchText, outcome.why);
      if (type === 'DELETED') {
        rejected.delete(malformed.uid);
        sink.gone(malformed.uid);
      } else {
        rejected.add(malformed);
        sink.rejected(malformed.uid);
      }
    } else {
      const { object } = outcome;
      rejected.delete(object.uid);
      if (type === 'DELETED' || !isIncluded(raw, object)) sink.deleted(object.uid, object);
      else if (!sink.put(object.uid, { object, version: eventVersion }))
        return endByLimit(watchText, 'the exporter keeps no more of its objects');
    }
    version = eventVersion;
    return undefined;
  }

  return {
    ended: run(),
    tried: tried.promise,
    state: () => ({
      ...{ listed, lastEventAt, lastEventMonotonic },
      failure: connectionFailure ?? rejected.failure(scopeText(resource, scope)),
      ...{ malformed: rejected.names(), unavailable, restarts: { ...restarts } },
    }),
  };
}
