/** What happened, newest last, bounded: failovers, storages that fell ill, and later OOM kills and limit hits. */
import type { Clock } from '../runtime/clock.ts';

export const eventKinds = [
  'failover',
  'storage_unhealthy',
  'storage_recovered',
  'schema_changed',
  'reloaded',
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface Event {
  /** Clock.now() when we saw it. */
  readonly at: number;
  readonly kind: EventKind;
  /** One sentence for people. */
  readonly message: string;
  /** What it was about: virtual_storage, storage, pod. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface EventLog {
  add(kind: EventKind, message: string, labels: Readonly<Record<string, string>>): void;
  /** Newest first. */
  recent(limit?: number): readonly Event[];
  /** How many of each kind since the start, dropped ones included. */
  totals(): Readonly<Record<EventKind, number>>;
}

export function createEventLog(clock: Clock, capacity = 200): EventLog {
  const events: Event[] = [];
  const totals = Object.fromEntries(eventKinds.map((kind) => [kind, 0])) as Record<EventKind, number>;
  return {
    add(kind, message, labels) {
      totals[kind] += 1;
      events.push({ at: clock.now(), kind, message, labels });
      if (events.length > capacity) events.shift();
    },
    recent: (limit = capacity) => events.slice(-limit).reverse(),
    totals: () => ({ ...totals }),
  };
}
