/**
 * An ordinary week, in which no page is allowed: recorded operation and recorded events, with modeled ones for what
 * the demo does not have. Once as a week with a scrape per minute, once as its eventful hours with the step of the
 * recordings.
 */
import { ordinary } from '../record/demo.ts';
import { type RecordedScrapes, readRecording } from '../recording.ts';
import { compose, type Insertion, type Overlay } from './compose.ts';
import {
  counterResets,
  exporterRollout,
  flapping,
  housekeeping,
  largeImport,
  maintenanceWindow,
  nightlyBackup,
  noPressure,
  prometheusRestart,
} from './events.ts';

const ordinaryHours = 'ordinary-hours';
const ordinaryWeek = 'ordinary-week';
export const composedNames = [ordinaryHours, ordinaryWeek] as const;

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** `at`: seconds since Monday 00:00 in the week; `hourly`: the hour in which it is among the eventful ones. */
interface WeekEvent {
  readonly what: string;
  readonly at: readonly number[];
  readonly hours: number;
  readonly overlays?: (at: number) => readonly Overlay[];
  /** The recording that is inserted. */
  readonly recording?: string;
}

const everyNight = (time: number): readonly number[] => Array.from({ length: 7 }, (_, i) => i * day + time);

export const weekEvents: readonly WeekEvent[] = [
  {
    what: 'nightly backup (modelled)',
    ...{ at: everyNight(2 * hour), hours: 2 },
    overlays: (from) => [nightlyBackup({ from, to: from + 90 * minute })],
  },
  {
    what: 'housekeeping (modelled)',
    ...{ at: everyNight(4 * hour), hours: 2 },
    overlays: (from) => [housekeeping({ from, to: from + hour })],
  },
  {
    what: 'large import (modelled)',
    ...{ at: [day + 10 * hour], hours: 3 },
    overlays: (from) => [largeImport({ from, to: from + 2 * hour })],
  },
  { what: 'rollout of Gitaly (recorded)', at: [2 * day + 11 * hour], hours: 1, recording: 'rollout' },
  {
    what: 'rollout of the exporter (modelled)',
    ...{ at: [2 * day + 14 * hour], hours: 1 },
    overlays: (from) => [exporterRollout(from)],
  },
  {
    what: 'restart of Prometheus (modelled)',
    ...{ at: [3 * day + 3 * hour + 40 * minute], hours: 1 },
    overlays: (from) => [prometheusRestart(from)],
  },
  { what: 'node drain (recorded)', at: [3 * day + 10 * hour], hours: 1, recording: 'node-drained' },
  { what: 'deleted pod (recorded)', at: [3 * day + 15 * hour], hours: 1, recording: 'pod-deleted' },
  {
    what: 'planned window (modelled) in which a Gitaly is down for 8 minutes (recorded)',
    ...{ at: [5 * day + 6 * hour], hours: 2, recording: 'storage-dies' },
    overlays: (from) => [maintenanceWindow({ from: from - 5 * minute, to: from + 65 * minute })],
  },
  {
    what: 'values on both sides of thresholds (modelled)',
    ...{ at: [6 * day + 10 * hour], hours: 3 },
    overlays: (from) => [flapping({ from, to: from + 2 * hour })],
  },
  {
    what: 'counters that begin again (modelled)',
    ...{ at: [6 * day + 15 * hour], hours: 1 },
    overlays: (from) => [counterResets(from)],
  },
];

/** @param folder of the recordings */
export function composedRecording(
  name: typeof ordinaryHours | typeof ordinaryWeek,
  folder?: string,
): RecordedScrapes {
  const read = (each: string): RecordedScrapes => readRecording(each, folder);
  const placed =
    name === ordinaryWeek ? weekEvents.flatMap((event) => event.at.map((at) => ({ event, at }))) : hourly();
  const last = placed.at(-1);
  const seconds = name === ordinaryWeek ? 7 * day : (last?.at ?? 0) + (last?.event.hours ?? 0) * hour;
  const insertions = placed.flatMap(({ event, at }): Insertion[] =>
    event.recording === undefined ? [] : [{ at, recording: read(event.recording) }],
  );
  return {
    ...compose({
      ...{ name, insertions, seconds, stepSeconds: name === ordinaryWeek ? 60 : 15 },
      base: read(ordinary),
      overlays: [
        noPressure({ from: 0, to: seconds }),
        ...placed.flatMap(({ event, at }) => event.overlays?.(at) ?? []),
      ],
    }),
    source: name === ordinaryWeek ? 'a week, a scrape a minute' : 'its events, a scrape every 15 s',
    truth: placed.map(({ event, at }) => ({ at, what: event.what })),
  };
}

/** One event after the other, each in its hours. */
function hourly(): readonly { readonly event: WeekEvent; readonly at: number }[] {
  let next = hour / 2;
  return weekEvents.map((event) => {
    const at = next;
    next += event.hours * hour;
    return { event, at };
  });
}
