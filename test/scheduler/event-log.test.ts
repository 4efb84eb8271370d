import { describe, expect, test } from '@jest/globals';
import { createEventLog, eventFamilies, eventKinds, eventMetrics } from '../../src/scheduler/event-log.ts';
import { lintMetrics } from '../support/lint-metrics.ts';
import { createManualClock } from '../support/manual-clock.ts';

const storageLabels = { virtual_storage: 'default', storage: 'gitaly-1' };

describe('the event log', () => {
  test('returns the newest event first, with the time at which each was added', async () => {
    const clock = createManualClock();
    const events = createEventLog(clock);
    const startedAt = clock.now();
    events.add('storage_unhealthy', 'gitaly-1 is unhealthy', storageLabels);
    await clock.advance(10_000);
    events.add('failover', '12 repositories moved off gitaly-1', storageLabels);
    expect(events.recent()).toEqual([
      {
        at: startedAt + 10_000,
        kind: 'failover',
        message: '12 repositories moved off gitaly-1',
        labels: storageLabels,
      },
      { at: startedAt, kind: 'storage_unhealthy', message: 'gitaly-1 is unhealthy', labels: storageLabels },
    ]);
  });

  test.each([
    [undefined, ['5', '4', '3']],
    [2, ['5', '4']],
    [1, ['5']],
    [0, []],
    [-1, []],
    [10, ['5', '4', '3']],
  ])('with a capacity of three, after five events, returns for recent(%p) %p', (limit, expected) => {
    const events = createEventLog(createManualClock(), 3);
    for (const message of ['1', '2', '3', '4', '5']) events.add('failover', message, {});
    expect(events.recent(limit).map(({ message }) => message)).toEqual(expected);
    expect(events.totals().failover).toBe(5);
  });

  test('keeps its copy of the labels when the caller changes them', () => {
    const events = createEventLog(createManualClock());
    const labels = { storage: 'gitaly-1' };
    events.add('failover', 'moved', labels);
    labels.storage = 'gitaly-2';
    expect(events.recent()[0]!.labels).toEqual({ storage: 'gitaly-1' });
  });

  test('counts every kind from 0', () => {
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
