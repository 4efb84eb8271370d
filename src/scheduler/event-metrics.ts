/** The totals of the event log as metrics; `eventFamilies` is handed to the runner as extra families. */
import { counter, type Metric } from '../metrics/metric.ts';
import { type Family, samplesOf } from '../metrics/samples.ts';
import { type EventLog, eventKinds } from './event-log.ts';

export const eventsTotal = counter('gitaly_exporter_events_total', {
  help: 'Events since the exporter started, by kind.',
  details: 'The page and /api/v1/status show the newest ones.',
  origin: "the exporter's event log",
  labels: { kind: eventKinds },
});

/** All metrics of this module. */
export const eventMetrics: readonly Metric[] = Object.freeze([eventsTotal]);

/** Every kind exists from the start, at 0. */
export function eventFamilies(events: Pick<EventLog, 'totals'>): readonly Family[] {
  const totals = events.totals();
  const samples = samplesOf(eventsTotal);
  for (const kind of eventKinds) samples.set({ kind }, totals[kind]);
  return [samples.family()];
}
