/** Long recordings that are composed of short ones. */
import { describe, expect, test } from '@jest/globals';
import type { RecordedScrapes } from '../../replay/recording.ts';
import type { Values } from '../../replay/values.ts';
import { compose, type Overlay } from '../../replay/week/compose.ts';

const recording = (name: string, series: Readonly<Record<string, Values>>): RecordedScrapes => ({
  ...{ name, source: '', startedAt: 1_000_000, stepSeconds: 15, began: 0, ended: 0, truth: [] },
  scrapes: Object.values(series)[0]?.length ?? 0,
  series: new Map(Object.entries(series)),
});

const composed = (
  base: Readonly<Record<string, Values>>,
  seconds: number,
  overlays: readonly Overlay[] = [],
  inserted?: Readonly<Record<string, Values>>,
) =>
  compose({
    ...{ name: 'long', seconds, overlays, stepSeconds: 15, base: recording('base', base) },
    insertions: inserted === undefined ? [] : [{ at: 30, recording: recording('event', inserted) }],
  }).series;

describe('a composed recording', () => {
  test('repeats gauges, continues counters, and keeps the age of timestamps', () => {
    const found = composed(
      {
        queue: [1, 2],
        jobs_total: [10, 13],
        heartbeat_timestamp_seconds: [999_999, 1_000_014],
        start_time_seconds: [500, 500],
      },
      60,
    );
    expect(found.get('queue')).toEqual([1, 2, 1, 2]);
    expect(found.get('jobs_total')).toEqual([10, 13, 13, 16]);
    expect(found.get('heartbeat_timestamp_seconds')).toEqual([-1, 14, 29, 44]);
    expect(new Set(found.get('start_time_seconds')).size).toBe(1);
  });

  test('has the scrapes of an inserted recording at its time', () => {
    const found = composed({ up: [1, 1] }, 75, [], { up: [0, 0] });
    expect(found.get('up')).toEqual([1, 1, 0, 0, 1]);
  });

  test('has no sample, and no staleness marker, while Prometheus does not run', () => {
    const found = composed({ up: [1, 1] }, 60, [{ from: 15, to: 30, absent: () => 'unmarked' }]);
    expect(found.get('up')).toEqual([1, null, 1, 1]);
  });

  test('has the modeled rate of a counter during an event', () => {
    const found = composed({ jobs_total: [0, 1] }, 60, [{ from: 15, to: 45, rate: () => 2 }]);
    expect(found.get('jobs_total')).toEqual([0, 30, 60, 61]);
  });
});
