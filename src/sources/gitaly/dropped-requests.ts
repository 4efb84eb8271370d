/**
 * Which limits turn clients away right now, since when and how fast: told as events with hysteresis, so that a limit
 * at its edge is one event and not one in each look.
 *
 * A client that leaves a queue by itself (`cancelled`) was not turned away, and makes no event.
 */

import type { Clock } from '../../lib/clock.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { type Identity, identityKey, identityText } from '../identity.ts';
import type { Rpc } from './history.ts';
import type { DropReason } from './metrics.ts';
import type { ServerUse } from './server-use.ts';

/** It begins with drops in two looks in a row, or at once when there are this many. */
export const startsAtPerSecond = 1;

/** It ends when there was no drop for so long. */
export const endsAfterMs = 120_000;

export type TurningReason = Exclude<DropReason, 'cancelled'>;

export interface TurnedAway {
  readonly identity: Identity;
  readonly limit: 'pack-objects' | Rpc;
  readonly reason: TurningReason;
  /** Clock.now() of the first drop, to within a look. */
  readonly since: number;
  /** Between the last two looks with a drop. */
  readonly perSecond: number;
  /** How many since it began. */
  readonly clients: number;
}

export interface TurnedAwayWatch {
  /**
   * Takes in what was read just now. `listed` are all servers that are known, also those that could not be read:
   * of them nothing new is known, and nothing ends.
   */
  look(
    read: readonly { readonly identity: Identity; readonly use: ServerUse }[],
    listed: readonly Identity[],
  ): void;
  /** Longest first. */
  current(): readonly TurnedAway[];
}

export const turningReasons = [
  'queue_full',
  'queue_wait',
  'rate',
  'load_shed',
] as const satisfies readonly TurningReason[];

interface Counter {
  readonly identity: Identity;
  readonly limit: 'pack-objects' | Rpc;
  readonly reason: TurningReason;
  total: number;
  /** Drops of the last look, if it had any; `since` is its beginning by Clock.now(). */
  before: { readonly since: number; readonly clients: number } | undefined;
  lastDropAt: number;
  active: TurnedAway | undefined;
}

interface Server {
  /** Monotonic and wall clock of the last look at it. */
  readAt: number;
  readAtWall: number;
  readonly counters: Map<string, Counter>;
}

export function createTurnedAwayWatch(clock: Clock, events: EventLog): TurnedAwayWatch {
  const servers = new Map<string, Server>();

  function lookAt(identity: Identity, use: ServerUse): void {
    const now = clock.monotonic();
    const key = identityKey(identity);
    const known = servers.get(key);
    const server = known ?? { readAt: now, readAtWall: clock.now(), counters: new Map() };
    servers.set(key, server);
    for (const found of totalsOf(identity, use)) {
      const counterKey = JSON.stringify([found.limit, found.reason]);
      const counter = server.counters.get(counterKey);
      if (counter !== undefined) count(counter, found.total, server);
      else {
        // On a server that was seen before, what was not there was 0; on a new one nobody knows.
        const fresh: Counter = { ...found, before: undefined, lastDropAt: 0, active: undefined };
        if (known !== undefined) fresh.total = 0;
        server.counters.set(counterKey, fresh);
        if (known !== undefined) count(fresh, found.total, server);
      }
    }
    server.readAt = now;
    server.readAtWall = clock.now();
  }

  function count(counter: Counter, total: number, { readAt, readAtWall }: Server): void {
    const now = clock.monotonic();
    // A counter that fell was reset by a restart.
    const drops = total >= counter.total ? total - counter.total : total;
    counter.total = total;
    if (drops === 0) {
      counter.before = undefined;
      endIfOver(counter, now);
      return;
    }
    const perSecond = drops / Math.max(0.001, (now - readAt) / 1000);
    counter.lastDropAt = now;
    if (counter.active !== undefined) {
      counter.active = { ...counter.active, perSecond, clients: counter.active.clients + drops };
      return;
    }
    const { since, clients } = counter.before ?? { since: readAtWall, clients: 0 };
    if (counter.before !== undefined || perSecond >= startsAtPerSecond)
      begin(counter, since, perSecond, clients + drops);
    else counter.before = { since, clients: drops };
  }

  function begin(counter: Counter, since: number, perSecond: number, clients: number): void {
    const { identity, limit, reason } = counter;
    counter.active = { identity, limit, reason, since, perSecond, clients };
    events.add(
      'limit_reached',
      `${identityText(identity)}: ${limitText(limit)} turns clients away, ${rateText(perSecond)}: ${whyText[reason]}`,
      labelsOf(counter),
    );
  }

  function endIfOver(counter: Counter, now: number): void {
    const { active, identity, limit } = counter;
    if (active === undefined || now - counter.lastDropAt < endsAfterMs) return;
    counter.active = undefined;
    counter.before = undefined;
    events.add(
      'limit_cleared',
      `${identityText(identity)}: ${limitText(limit)} has turned nobody away for ${endsAfterMs / 60_000} minutes (${whyText[active.reason]}); ${active.clients} were before`,
      labelsOf(counter),
    );
  }

  /** A server that is not known any more turns nobody away, which nobody can see. */
  function forget(listed: ReadonlySet<string>): void {
    for (const [key, server] of servers) {
      if (listed.has(key)) continue;
      for (const counter of server.counters.values()) endIfOver(counter, clock.monotonic());
      if ([...server.counters.values()].every(({ active }) => active === undefined)) servers.delete(key);
    }
  }

  return {
    look(read, listed) {
      for (const { identity, use } of read) lookAt(identity, use);
      forget(new Set(listed.map(identityKey)));
    },
    current: () =>
      [...servers.values()]
        .flatMap(({ counters }) => [...counters.values()].flatMap(({ active }) => active ?? []))
        .sort((a, b) => a.since - b.since),
  };
}

function* totalsOf(
  identity: Identity,
  use: ServerUse,
): Generator<Pick<Counter, 'identity' | 'limit' | 'reason' | 'total'>> {
  for (const { service, method, dropped } of use.rpcs)
    for (const reason of turningReasons)
      if (dropped !== undefined)
        yield { identity, limit: { service, method }, reason, total: dropped.get(reason) ?? 0 };
  for (const reason of ['queue_full', 'queue_wait'] as const)
    if (use.packObjects?.dropped !== undefined)
      yield { identity, limit: 'pack-objects', reason, total: use.packObjects.dropped.get(reason) ?? 0 };
}

const whyText: Readonly<Record<TurningReason, string>> = {
  queue_full: 'the queue is full',
  queue_wait: 'they waited too long',
  rate: 'there are too many in too short a time',
  load_shed: 'the load shedder ends the costliest',
};

/** `SSHUploadPackWithSidechannel`, or `pack-objects`. */
export const limitText = (limit: 'pack-objects' | Rpc): string =>
  limit === 'pack-objects' ? limit : limit.method;

/** `3.2 per second`, `0.5 per minute`. */
export function rateText(perSecond: number): string {
  return perSecond >= 0.1 ? `${tidy(perSecond)} per second` : `${tidy(perSecond * 60)} per minute`;
}

const tidy = (value: number): number => Number(value.toPrecision(2));

function labelsOf({ identity, limit, reason }: Counter): Readonly<Record<string, string>> {
  const { namespace, pod, node } = identity;
  return {
    ...(pod === '' ? {} : { namespace, pod }),
    node,
    ...(limit === 'pack-objects' ? { limit } : { grpc_service: limit.service, grpc_method: limit.method }),
    reason,
  };
}
