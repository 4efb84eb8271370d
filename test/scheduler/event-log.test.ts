import { describe, expect, test } from '@jest/globals';
import { lintMetrics } from '../../src/metrics/lint.ts';
import { createEventLog, eventKinds } from '../../src/scheduler/event-log.ts';
import { eventFamilies, eventMetrics } from '../../src/scheduler/event-metrics.ts';
import { createManualClock } from '../support/manual-clock.ts';

const about = { virtual_storage: 'default', storage: 'gitaly-1' };

describe('the event log', () => {
  test('gives the newest first, with the time at which it saw each', async () => {
    const clock = createManualClock();
    const events = createEventLog(clock);
    const startedAt = clock.now();
    events.add('storage_unhealthy', 'gitaly-1 is unhealthy', about);
    await clock.advance(10_000);
    events.add('failover', '12 repositories moved off gitaly-1', about);
    expect(events.recent()).toEqual([
      {
        at: startedAt + 10_000,
        kind: 'failover',
        message: '12 repositories moved off gitaly-1',
        labels: about,
      },
      { at: startedAt, kind: 'storage_unhealthy', message: 'gitaly-1 is unhealthy', labels: about },
    ]);
  });

  test.each([
    [undefined, ['5', '4', '3']],
    [2, ['5', '4']],
    [1, ['5']],
    [0, []],
    [-1, []],
    [10, ['5', '4', '3']],
  ])('of five events with room for three, recent(%p) is %p', (limit, expected) => {
    const events = createEventLog(createManualClock(), 3);
    for (const message of ['1', '2', '3', '4', '5']) events.add('failover', message, {});
    expect(events.recent(limit).map(({ message }) => message)).toEqual(expected);
    expect(events.totals().failover).toBe(5);
  });

  test('keeps what was said, whatever becomes of the labels that it was given', () => {
    const events = createEventLog(createManualClock());
    const labels = { storage: 'gitaly-1' };
    events.add('failover', 'moved', labels);
    labels.storage = 'gitaly-2';
    expect(events.recent()[0]!.labels).toEqual({ storage: 'gitaly-1' });
  });

  test('tells listeners of each event until they leave', () => {
    const events = createEventLog(createManualClock());
    const heard: string[] = [];
    const leave = events.subscribe(({ message }) => heard.push(message));
    events.add('failover', 'one', {});
    leave();
    events.add('failover', 'two', {});
    expect(heard).toEqual(['one']);
  });

  test('counts every kind, from 0 on', () => {
    const events = createEventLog(createManualClock(), 1);
    events.add('failover', 'one', {});
    events.add('failover', 'two', {});
    expect(lintMetrics(eventMetrics)).toEqual([]);
    const [family] = eventFamilies(events);
    const samples = family !== undefined && 'samples' in family ? family.samples : [];
    expect(samples).toEqual(
      eventKinds.map((kind) => ({ labelValues: [kind], value: kind === 'failover' ? 2 : 0 })),
    );
  });
});
