/**
 * Drops by limit: how many within a recent window, and episodes of ongoing drops, which begin and end with hysteresis
 * so that a limit at its edge makes one event and not one per read.
 *
 * A client that leaves a queue by itself (`other`) makes no episode.
 */
import type { RpcName } from '../../config/gitaly/gitaly-config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { type Identity, identityKey, identityText } from '../identity.ts';
import { rpcText } from './limits.ts';
import { type DropReason, dropReasons, queueDropReasons } from './metrics.ts';
import type { LimitUse, ServerUse } from './server-use.ts';

/** An episode begins with drops in two reads in a row, or with the first read of this rate. */
const episodeStartPerSecond = 1;

/** It ends after this long without a drop. */
const episodeEndMs = 120_000;

export type LimitSubject = 'pack-objects' | RpcName;

export type EpisodeReason = Exclude<DropReason, 'other'>;

/** One limit of one server has been dropping requests, for one reason. */
export interface DropEpisode {
  readonly identity: Identity;
  readonly limit: LimitSubject;
  readonly reason: EpisodeReason;
  /** Clock.now() of the first drop, to within an interval between reads. */
  readonly since: number;
  /** Between the last two reads with a drop. */
  readonly perSecond: number;
  /** Since the episode began. */
  readonly dropped: number;
}

/** What one limit of one server dropped and admitted within the window. Limits without a drop are left out. */
export interface WindowDrops {
  readonly identity: Identity;
  readonly limit: LimitSubject;
  /** Reasons with at least one drop. */
  readonly dropped: ReadonlyMap<DropReason, number>;
  /** Requests that passed the limit in the same time; undefined where the server does not count them. */
  readonly admitted: number | undefined;
}

export interface DropTracker {
  /**
   * Takes in what was read just now. `listed` are all known Gitalys, also those whose read failed: nothing is known
   * about these, so their episodes continue.
   */
  record(
    read: readonly { readonly identity: Identity; readonly use: ServerUse }[],
    listed: readonly Identity[],
  ): void;
  /** Oldest first. */
  episodes(): readonly DropEpisode[];
  /** Counted between reads, so to within an interval. */
  recent(): readonly WindowDrops[];
}

interface Counter {
  readonly identity: Identity;
  readonly limit: LimitSubject;
  readonly counts: DropReason | 'admitted';
  total: number;
  /** Increases within the window, oldest first; `at` is monotonic. */
  increases: { readonly at: number; readonly count: number }[];
  /** Drops of the last read, if it had any; `since` is Clock.now() of the read before it. */
  before: { readonly since: number; readonly dropped: number } | undefined;
  lastDropAt: number;
  episode: DropEpisode | undefined;
}

interface ServerDrops {
  /** Monotonic and wall clock of the last read. */
  readAt: number;
  readAtWall: number;
  readonly counters: Map<string, Counter>;
}

/** @param windowMs what `recent` covers */
export function createDropTracker(clock: Clock, events: EventLog, windowMs: number): DropTracker {
  const servers = new Map<string, ServerDrops>();

  function recordServer(identity: Identity, use: ServerUse): void {
    const now = clock.monotonic();
    const key = identityKey(identity);
    const known = servers.get(key);
    const server = known ?? { readAt: now, readAtWall: clock.now(), counters: new Map<string, Counter>() };
    servers.set(key, server);
    const reported = new Set<string>();
    for (const { limit, counts, total } of totalsOf(use)) {
      reported.add(limitKey(limit));
      const counterKey = JSON.stringify([limit, counts]);
      const counter = server.counters.get(counterKey);
      if (counter !== undefined) advance(counter, total, server);
      else {
        // On a server that was read before, a counter that was not there was 0; on a new one its past is unknown.
        const fresh: Counter = {
          identity,
          limit,
          counts,
          total: known === undefined ? total : 0,
          increases: [],
          before: undefined,
          lastDropAt: 0,
          episode: undefined,
        };
        server.counters.set(counterKey, fresh);
        if (known !== undefined) advance(fresh, total, server);
      }
    }
    for (const [counterKey, counter] of server.counters) {
      if (reported.has(limitKey(counter.limit))) continue;
      // Gitaly was restarted and has not used the limit since, or no longer has it.
      counter.total = 0;
      counter.before = undefined;
      endEpisodeIfQuiet(counter);
      counter.increases = counter.increases.filter(({ at }) => at > now - windowMs);
      if (counter.episode === undefined && counter.increases.length === 0) server.counters.delete(counterKey);
    }
    server.readAt = now;
    server.readAtWall = clock.now();
  }

  function advance(counter: Counter, total: number, server: ServerDrops): void {
    const now = clock.monotonic();
    // A counter that fell was reset by a restart.
    const count = total >= counter.total ? total - counter.total : total;
    counter.total = total;
    counter.increases = counter.increases.filter(({ at }) => at > now - windowMs);
    if (count > 0) counter.increases.push({ at: now, count });
    if (counter.counts === 'admitted' || counter.counts === 'other') return;
    if (count > 0) extendEpisode(counter, counter.counts, count, server);
    else {
      counter.before = undefined;
      endEpisodeIfQuiet(counter);
    }
  }

  function extendEpisode(counter: Counter, reason: EpisodeReason, count: number, server: ServerDrops): void {
    const now = clock.monotonic();
    const { identity, limit, before, episode } = counter;
    const perSecond = count / Math.max(0.001, (now - server.readAt) / 1000);
    counter.lastDropAt = now;
    if (episode !== undefined) {
      counter.episode = { ...episode, perSecond, dropped: episode.dropped + count };
      return;
    }
    const { since, dropped } = before ?? { since: server.readAtWall, dropped: 0 };
    if (before === undefined && perSecond < episodeStartPerSecond) {
      counter.before = { since, dropped: count };
      return;
    }
    counter.episode = { identity, limit, reason, since, perSecond, dropped: dropped + count };
    events.add(
      'limit_reached',
      `${identityText(identity)}: ${limitText(limit)} drops requests, ${rateText(perSecond)}: ${whyText[reason]}`,
      labelsOf(counter.episode),
    );
  }

  function endEpisodeIfQuiet(counter: Counter): void {
    const { episode, identity, limit } = counter;
    if (episode === undefined || clock.monotonic() - counter.lastDropAt < episodeEndMs) return;
    counter.episode = undefined;
    counter.before = undefined;
    events.add(
      'limit_cleared',
      `${identityText(identity)}: ${limitText(limit)} dropped no requests for ${episodeEndMs / 60_000} minutes (${whyText[episode.reason]}); it had dropped ${episode.dropped}`,
      labelsOf(episode),
    );
  }

  /** A server that is no longer listed is not read: its episodes end, and then it is forgotten. */
  function forgetUnlisted(listed: ReadonlySet<string>): void {
    for (const [key, server] of servers) {
      if (listed.has(key)) continue;
      for (const counter of server.counters.values()) endEpisodeIfQuiet(counter);
      if ([...server.counters.values()].every(({ episode }) => episode === undefined)) servers.delete(key);
    }
  }

  function recentOf({ counters }: ServerDrops): readonly WindowDrops[] {
    const from = clock.monotonic() - windowMs;
    const countOf = ({ increases }: Counter): number =>
      increases.reduce((sum, { at, count }) => (at > from ? sum + count : sum), 0);
    const byLimit = Map.groupBy(counters.values(), ({ limit }) => limitKey(limit));
    return [...byLimit.values()].flatMap((ofLimit): WindowDrops[] => {
      const dropped = new Map<DropReason, number>();
      let admitted: number | undefined;
      for (const counter of ofLimit) {
        const count = countOf(counter);
        if (counter.counts === 'admitted') admitted = count;
        else if (count > 0) dropped.set(counter.counts, count);
      }
      const [first] = ofLimit;
      if (first === undefined || dropped.size === 0) return [];
      return [{ identity: first.identity, limit: first.limit, dropped, admitted }];
    });
  }

  return {
    record(read, listed) {
      for (const { identity, use } of read) recordServer(identity, use);
      forgetUnlisted(new Set(listed.map(identityKey)));
    },
    episodes: () =>
      [...servers.values()]
        .flatMap(({ counters }) => [...counters.values()].flatMap(({ episode }) => episode ?? []))
        .sort((a, b) => a.since - b.since),
    recent: () => [...servers.values()].flatMap(recentOf),
  };
}

type Total = Pick<Counter, 'limit' | 'counts' | 'total'>;

function* totalsOf({ rpcs, packObjects }: ServerUse): Generator<Total> {
  for (const { service, method, ...use } of rpcs) yield* totalsOfLimit({ service, method }, use, dropReasons);
  if (packObjects !== undefined) yield* totalsOfLimit('pack-objects', packObjects, queueDropReasons);
}

function* totalsOfLimit(
  limit: LimitSubject,
  { dropped, wait }: LimitUse,
  reasons: readonly DropReason[],
): Generator<Total> {
  for (const reason of reasons)
    if (dropped !== undefined) yield { limit, counts: reason, total: dropped.get(reason) ?? 0 };
  if (wait !== undefined) yield { limit, counts: 'admitted', total: wait.count };
}

const whyText: Readonly<Record<EpisodeReason, string>> = {
  queue_full: 'the queue is full',
  queue_wait: 'they waited too long',
  rate: 'over the rate limit',
  load_shed: 'ended by the load shedder',
};

/** Distinguishes the limits of one server. */
export const limitKey = (limit: LimitSubject): string => (limit === 'pack-objects' ? limit : rpcText(limit));

/** `SSHUploadPackWithSidechannel`, or `pack-objects`. */
export const limitText = (limit: LimitSubject): string => (limit === 'pack-objects' ? limit : limit.method);

/** `3.2 per second`, `0.5 per minute`. */
export function rateText(perSecond: number): string {
  return perSecond >= 0.1 ? `${twoDigits(perSecond)} per second` : `${twoDigits(perSecond * 60)} per minute`;
}

const twoDigits = (value: number): number => Number(value.toPrecision(2));

function labelsOf({ identity, limit, reason }: DropEpisode): Readonly<Record<string, string>> {
  const { namespace, pod, node } = identity;
  return {
    ...(pod === '' ? {} : { namespace, pod }),
    node,
    ...(limit === 'pack-objects' ? { limit } : { grpc_service: limit.service, grpc_method: limit.method }),
    reason,
  };
}
