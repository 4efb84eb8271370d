/**
 * One watch that never gives up: lists, watches from where the list ended, and after whatever goes wrong goes on from
 * the last resourceVersion, or lists anew where that is gone.
 */
import type { Clock } from '../../../lib/clock.ts';
import type { Log } from '../../../lib/log.ts';
import { describeThrown, stackOf } from '../../../lib/thrown.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { BrokenStream, type KubeApi } from '../api/api.ts';
import type { KubeObject } from '../objects/types.ts';
import { type WatchEnd, watchEnds } from '../store.ts';
import { breather } from './breather.ts';
import { brokenEnding, type Ending, endingOf, malformedEnding, statusOf } from './ending.ts';
import { linesOf, tooLong } from './lines.ts';
import { asked, type Freshness, type Held, type Listed, list, mostObjectBytes } from './list.ts';
import { parseObject } from './object-json.ts';
import { createPace } from './pace.ts';
import { isSyntaxError, jsonOf, nameOf, record, versionOf } from './raw.ts';
import { pathOf, type Resource, type Scope, scopeText } from './resources.ts';
import { readWhileHeard } from './silence.ts';

/** Where what is heard goes. */
export interface Sink<T> {
  listed(listed: ReadonlyMap<string, Held<T>>): void;
  held(uid: string, held: Held<T>): void;
  deleted(uid: string, last: T): void;
  /** The object is there, but what it says now is not known. */
  unreadable(uid: string): void;
}

export interface LoopOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly clock: Clock;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Log;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  /** False: the object is none of ours, and treated as not there. */
  readonly keep: (raw: unknown, object: T) => boolean;
  readonly sink: Sink<T>;
  /** What was heard this long ago is stale; watches are kept short enough that a quiet one does not become it. */
  readonly staleMs: number;
  readonly signal: AbortSignal;
}

export interface Loop {
  /** Resolves once it was told to end by the signal. */
  readonly ended: Promise<void>;
  /** Resolves when the first list came, or failed for the first time. */
  readonly tried: Promise<void>;
  state(): LoopState;
}

export interface LoopState {
  readonly listed: boolean;
  readonly heardAt: number | undefined;
  /** The same by the monotonic clock. */
  readonly heardMonotonic: number | undefined;
  readonly failure: Failure | undefined;
  readonly restarts: Readonly<Record<WatchEnd, number>>;
}

/** The API server sends a bookmark about once a minute; one that does so and then nothing is gone. */
const bookmarkSilenceMs = 90_000;
/** After the end that was asked for, that much may pass. */
const graceMs = 10_000;
/** A watch that was not refused by now goes on from where the last one ended. */
const acceptedMs = 2_000;
/** A watch that lived this long was a good one: the next failure is the first again. */
const goodMs = 10_000;

export function runLoop<T extends KubeObject>(options: LoopOptions<T>): Loop {
  const { api, clock, random, log, resource, scope, keep, sink, staleMs, signal } = options;
  const pace = createPace(random);
  const restarts = Object.fromEntries(watchEnds.map((end) => [end, 0])) as Record<WatchEnd, number>;
  const tried = Promise.withResolvers<void>();
  let version = '';
  /** The next list; undefined while a watch can go on from `version`. */
  let freshness: Freshness | undefined = { kind: scope.few === true ? 'any' : 'newest' };
  let listed = false;
  let heardAt: number | undefined;
  let heardMonotonic: number | undefined;
  let connection: Failure | undefined;
  /** Of objects that could not be read, by uid or by place in the list. */
  const unreadable = new Map<string, string>();

  function heard(): void {
    heardAt = clock.now();
    heardMonotonic = clock.monotonic();
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const ending = await (freshness === undefined ? watch() : listAnew(freshness)).catch(bug);
      if (signal.aborted) break;
      if (ending !== undefined) await pause(ending);
      tried.resolve();
    }
    tried.resolve();
  }

  /** Whatever is thrown is a bug of ours; the watch goes on all the same. */
  function bug(thrown: unknown): Ending {
    const message = `a bug: the watch of ${scopeText(resource, scope)} failed: ${describeThrown(thrown)}`;
    log.error({ stack: stackOf(thrown) }, message);
    return { end: 'other', failure: { reason: 'internal', message }, relist: true };
  }

  async function pause(ending: Ending): Promise<void> {
    restarts[ending.end] += 1;
    connection = ending.failure;
    tried.resolve();
    if (ending.relist === true) freshness = freshnessAfter(ending);
    const waitMs = pace.waitMs(ending, listed);
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  }

  /** A list that failed itself, or was asked for more than there is, is asked of the store behind the server. */
  function freshnessAfter({ tooNew }: Ending): Freshness {
    const fromMemory = scope.few === true && version !== '' && tooNew !== true && freshness === undefined;
    return fromMemory ? { kind: 'atLeast', version } : { kind: 'newest' };
  }

  async function listAnew(from: Freshness): Promise<Ending | undefined> {
    const outcome = await list({ api, clock, resource, scope, keep, freshness: from, signal });
    if (!outcome.ok) return outcome.ending;
    if (signal.aborted) return undefined;
    take(outcome.listed);
    return undefined;
  }

  function take({ objects, version: listedVersion, unreadable: named }: Listed<T>): void {
    heard();
    connection = undefined;
    listed = true;
    freshness = undefined;
    version = listedVersion;
    unreadable.clear();
    for (const [index, text] of named.entries()) unreadable.set(`listed ${index}`, text);
    sink.listed(objects);
  }

  async function watch(): Promise<Ending | undefined> {
    const end = new AbortController();
    const either = AbortSignal.any([signal, end.signal]);
    // Half to three quarters of what would be stale: a server without bookmarks is heard in time all the same.
    const lifeMs = Math.round((staleMs * (0.5 + 0.25 * random())) / 1000) * 1000;
    const startedAt = clock.monotonic();
    let bookmarked = false;
    try {
      const answered = await api.stream(
        pathOf(resource, scope.namespace),
        {
          ...asked(scope),
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: version,
          timeoutSeconds: lifeMs / 1000,
        },
        either,
      );
      if (!answered.ok) return brokenEnding(answered.failure);
      const { status, retryAfterSeconds, body, bytes } = answered.answer;
      if (status !== 200)
        return endingOf(statusOf(jsonOf(body), status), 'watch', resource, scope, retryAfterSeconds);
      connection = undefined;
      // Not yet heard: where the version is gone, the first event of a good answer says that, at once.
      void clock.sleep(acceptedMs, either).then(() => {
        if (!either.aborted) heard();
      });
      const breathe = breather();
      const patient = readWhileHeard(bytes, {
        clock,
        connection: end,
        silenceMs: () => (bookmarked ? Math.min(bookmarkSilenceMs, lifeMs + graceMs) : lifeMs + graceMs),
      });
      for await (const line of linesOf(patient, mostObjectBytes)) {
        if (signal.aborted) return undefined;
        if (line === tooLong) return malformedEnding(...oversized());
        const raw = record(parseObject(line));
        const ending = tell(raw['type'], raw['object']);
        if (ending !== undefined) return ending;
        bookmarked ||= raw['type'] === 'BOOKMARK';
        heard();
        await breathe();
      }
      const inTime = clock.monotonic() - startedAt >= lifeMs - 2000;
      // A quiet watch without bookmarks: nothing was missed.
      if (inTime) heard();
      return closed(inTime);
    } catch (error) {
      if (error instanceof BrokenStream) return brokenEnding(error.failure);
      if (isSyntaxError(error)) return malformedEnding(watchText(), 'a line of it is not JSON');
      throw error;
    } finally {
      end.abort();
      if (clock.monotonic() - startedAt >= goodMs) pace.reset();
    }
  }

  const watchText = (): string => `a watch of ${scopeText(resource, scope)}`;
  const oversized = (): [string, string] => [watchText(), `an object of it is over ${mostObjectBytes} bytes`];

  const closed = (inTime: boolean): Ending =>
    inTime
      ? { end: 'expired', failure: undefined }
      : {
          end: 'closed',
          failure: { reason: 'refused', message: `the API server closed ${watchText()} before its time` },
        };

  /** One event; what it means for the watch when it is its last one. */
  function tell(type: unknown, raw: unknown): Ending | undefined {
    if (type === 'ERROR') return endingOf(statusOf(raw, 500), 'watch', resource, scope);
    const told = versionOf(raw);
    if (told === '') return malformedEnding(watchText(), 'an event without a resourceVersion');
    if (type === 'BOOKMARK') {
      version = told;
      return undefined;
    }
    if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED')
      return malformedEnding(watchText(), 'an event of an unknown type');
    const outcome = resource.parse(raw);
    if (!outcome.ok) {
      const { uid } = record(record(raw)['metadata']);
      if (typeof uid !== 'string' || uid === '' || uid.length > 128)
        return malformedEnding(watchText(), outcome.why);
      if (type === 'DELETED') unreadable.delete(uid);
      else if (unreadable.size < 64) unreadable.set(uid, `${nameOf(raw)}: ${outcome.why}`);
      sink.unreadable(uid);
    } else {
      const { object } = outcome;
      unreadable.delete(object.uid);
      if (type === 'DELETED') sink.deleted(object.uid, object);
      else if (keep(raw, object)) sink.held(object.uid, { object, version: told });
      else sink.deleted(object.uid, object);
    }
    version = told;
    return undefined;
  }

  function failure(): Failure | undefined {
    if (connection !== undefined || unreadable.size === 0) return connection;
    const [first = ''] = unreadable.values();
    const more = unreadable.size > 1 ? `, and ${unreadable.size - 1} more` : '';
    return {
      reason: 'parse',
      message: `of ${scopeText(resource, scope)} not all could be read: ${first}${more}`,
    };
  }

  return {
    ended: run(),
    tried: tried.promise,
    state: () => ({ listed, heardAt, heardMonotonic, failure: failure(), restarts: { ...restarts } }),
  };
}
