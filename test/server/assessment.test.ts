import { describe, expect, test } from '@jest/globals';
import type { CollectorView, StatusView } from '../../src/app/status-view.ts';
import { assessStatus } from '../../src/server/assessment.ts';
import { healthy, incident, now, starting } from './support/status-fixtures.ts';

const one = (more: Partial<CollectorView> = {}): CollectorView => ({
  name: 'health',
  title: 'Health of the storages',
  state: 'ok',
  readAt: now - 3000,
  maxAgeMs: 60_000,
  series: 3,
  ...more,
});
const of = (collectors: CollectorView[], more: Partial<StatusView> = {}) =>
  assessStatus({ ...healthy, problems: [], collectors, ...more }, now);

describe('the verdict', () => {
  test('is ok only when every collector has data, and names its age', () => {
    const { verdict, headline, summary } = assessStatus(healthy, now);
    expect({ verdict, headline, summary }).toEqual({
      verdict: 'ok',
      headline: 'No problems detected',
      summary: 'All 7 collectors are up to date; the oldest data is 2 min 10 s old.',
    });
  });

  test('is unknown while a collector has not completed its first run', () => {
    expect(assessStatus(starting, now)).toMatchObject({ verdict: 'unknown', headline: 'Status unknown' });
    expect(of([one(), one({ name: 'mirror', state: 'pending' })])).toMatchObject({
      verdict: 'unknown',
      summary: 'Data is incomplete: 1 of 2 collectors have not completed a run.',
    });
  });

  test('of an exporter with nothing configured is a state of its own, which names the settings', () => {
    expect(of([one()], { isUnconfigured: true })).toMatchObject({
      verdict: 'unknown',
      headline: 'Nothing is monitored',
      summary: expect.stringContaining('praefect.database.url'),
    });
  });

  test('of an exporter that finds nothing to monitor is unknown: that there are no problems shows nothing', () => {
    expect(of([one({ state: 'empty' })], { isIdle: true })).toMatchObject({
      verdict: 'unknown',
      headline: 'Nothing to monitor was found',
    });
  });

  test('is unknown when no collector is enabled', () => {
    expect(of([])).toMatchObject({
      verdict: 'unknown',
      summary: expect.stringContaining('No collector is enabled'),
    });
  });

  test.each(['failed', 'stale'] as const)('is never ok while a collector is %s', (state) => {
    expect(of([one(), one({ name: 'mirror', state, reason: 'timeout' })])).toMatchObject({
      verdict: 'warning',
      headline: 'Data is incomplete',
      summary: 'Data is incomplete: 1 of 2 collectors failing.',
    });
  });

  test('treats a collector as stale that reports ok with data older than its max age', () => {
    const { verdict, collectors } = of([one({ readAt: now - 61_000 }), one({ name: 'mirror' })]);
    expect(verdict).toBe('warning');
    expect(collectors[0]?.state).toBe('stale');
  });

  test('is ok with a problem that a maintenance window suppresses, and lists it', () => {
    const suppressed = { severity: 'info', title: 'gitaly-2 is not Ready' } as const;
    const { verdict, headline, problems } = of([one()], { problems: [suppressed] });
    expect({ verdict, headline }).toEqual({ verdict: 'ok', headline: 'No problems detected' });
    expect(problems).toEqual([suppressed]);
  });

  test('lists the most severe problems first, then the oldest', () => {
    expect(
      assessStatus(incident, now).problems.map(({ severity, title }) => `${severity}: ${title}`),
    ).toEqual([
      'critical: 37 repositories of virtual storage default are unavailable',
      'warning: 12 replicas on gitaly-3 are stuck behind',
      'warning: Collector failing: Size, bloat and wraparound of the tables',
      'warning: Data is stale: Replication jobs by storage and state',
    ]);
  });
});
