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

  test('is unknown when no collector is enabled', () => {
    expect(of([])).toMatchObject({
      verdict: 'unknown',
      summary: expect.stringContaining('No collector is enabled'),
    });
  });

  test.each(['failed', 'stale'] as const)('is never ok while a collector is %s', (state) => {
    const { verdict, problems } = of([
      one(),
      one({
        name: 'mirror',
        title: 'Repositories',
        state,
        reason: 'timeout',
        message: 'no response within 5 s',
      }),
    ]);
    expect(verdict).toBe('warning');
    expect(problems[0]?.title).toContain('Repositories');
    expect(problems[0]?.detail).toContain('timeout: no response within 5 s.');
  });

  test('treats a collector as stale that reports ok with data older than its max age', () => {
    const { verdict, collectors, problems } = of([one({ readAt: now - 61_000 }), one({ name: 'mirror' })]);
    expect(verdict).toBe('warning');
    expect(collectors[0]?.state).toBe('stale');
    expect(problems[0]?.title).toContain('Data is stale');
  });

  test('is critical when every collector is failing', () => {
    expect(
      of([one({ state: 'failed', reason: 'refused' }), one({ name: 'x', state: 'empty' })]).verdict,
    ).toBe('critical');
  });

  test('has one problem for a database that is down, not one for each collector', () => {
    const down = { state: 'failed', reason: 'refused', message: 'nothing listens on db:5432' } as const;
    const { headline, problems } = of([
      one(down),
      one({ ...down, name: 'queue' }),
      one({ ...down, name: 'mirror', since: now - 9000 }),
    ]);
    expect(headline).toBe('1 problem detected');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({
      since: now - 9000,
      title: 'Collector failing: 3 of 3 collectors (health, queue, mirror)',
    });
  });

  test('explains the effect of a failure on the metrics', () => {
    const detail = (more: Partial<CollectorView>) =>
      of([one({ state: 'failed', reason: 'query', ...more })]).problems[0]?.detail;
    expect(detail({})).toBe('query. The previous values are still served until they are 1 min old.');
    expect(detail({ series: 0 })).toBe(
      'query. Its metrics are absent, and what depends on them is unknown until it recovers.',
    );
  });

  test('lists the most severe problems first, and those of collectors last', () => {
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
