/** A bounded log of events (failovers, unhealthy storages, dropped requests, OOM kills), and their totals as metrics. */
import type { Clock } from '../lib/clock.ts';
import { counter, type Metric } from '../metrics/metric.ts';
import { createSamples, type Family } from '../metrics/samples.ts';

export const eventKinds = [
  'failover',
  'storage_unhealthy',
  'storage_recovered',
  'schema_changed',
  'limit_reached', // a concurrency limit began to drop requests
  'limit_cleared', // it has dropped none for two minutes
  'oom_kill', // processes were OOM-killed
  'pod_deleted', // a Gitaly pod is being deleted, or was evicted
  'pod_not_ready', // a Gitaly pod stays, but its node is lost or a container terminated
  'pod_rotated', // the pod or its replacement is Ready again
  'maintenance_started', // a maintenance window opened
  'maintenance_ended',
  'mirror_reloaded', // Praefect's tables were read from scratch: another server or database
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface Event {
  /** Clock.now() when the exporter saw it. */
  readonly at: number;
  readonly kind: EventKind;
  /** One sentence for people. */
  readonly message: string;
  /** Its subject: virtual_storage, storage, pod. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface EventLog {
  add(kind: EventKind, message: string, labels: Readonly<Record<string, string>>): void;
  /** Newest first, at most `limit` (all that are kept, by default). */
  recent(limit?: number): readonly Event[];
  /** How many of each kind since the start, dropped ones included. */
  totals(): Readonly<Record<EventKind, number>>;
}

/** Keeps the newest `capacity` events. */
export function createEventLog(clock: Clock, capacity = 200): EventLog {
  const events: Event[] = [];
  const totals = Object.fromEntries(eventKinds.map((kind) => [kind, 0])) as Record<EventKind, number>;
  return {
    add(kind, message, labels) {
      const event = Object.freeze({ at: clock.now(), kind, message, labels: Object.freeze({ ...labels }) });
      totals[kind] += 1;
      events.push(event);
      if (events.length > capacity) events.shift();
    },
    recent: (limit = capacity) => events.toReversed().slice(0, Math.max(0, limit)),
    totals: () => ({ ...totals }),
  };
}

export const eventsTotal = counter('gitaly_exporter_events_total', {
  help: 'Events since the exporter started, by kind.',
  details: 'The page and /api/v1/status show the newest ones.',
  origin: "the exporter's event log",
  labels: { kind: eventKinds },
});

/** All metrics of this module. */
export const eventMetrics: readonly Metric[] = Object.freeze([eventsTotal]);

/** For the runner, as extra families. Every kind exists from the start, at 0. */
export function eventFamilies(events: Pick<EventLog, 'totals'>): readonly Family[] {
  const totals = events.totals();
  const samples = createSamples();
  for (const kind of eventKinds) samples.set(eventsTotal, { kind }, totals[kind]);
  return samples.families();
}
