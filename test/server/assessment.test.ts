import { describe, expect, test } from '@jest/globals';
import { assess } from '../../src/server/assessment.ts';
import type { CollectorView, StatusView } from '../../src/server/status-view.ts';
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
  assess({ ...healthy, problems: [], collectors, ...more }, now);

describe('the verdict', () => {
  test('is that nothing is wrong only when everything was read, and says how old that is', () => {
    const { verdict, headline, knowledge } = assess(healthy, now);
    expect({ verdict, headline, knowledge }).toEqual({
      verdict: 'ok',
      headline: 'Nothing is wrong',
      knowledge: 'All 7 collectors have read their source; the oldest values are 2 min 10 s old.',
    });
  });

  test('is unknown while a collector has not finished its first run', () => {
    expect(assess(starting, now)).toMatchObject({ verdict: 'unknown', headline: 'Not known yet' });
    expect(of([one(), one({ name: 'mirror', state: 'pending' })])).toMatchObject({
      verdict: 'unknown',
      knowledge: 'What is said here is incomplete: 1 of 2 collectors have not finished a first run.',
    });
  });

  test('is unknown when nothing is watched', () => {
    expect(of([])).toMatchObject({
      verdict: 'unknown',
      knowledge: expect.stringContaining('no collector is enabled'),
    });
  });

  test.each(['failed', 'stale'] as const)('is never good while a collector is %s', (state) => {
    const { verdict, problems } = of([
      one(),
      one({
        name: 'mirror',
        title: 'Repositories',
        state,
        reason: 'timeout',
        message: 'no answer within 5 s',
      }),
    ]);
    expect(verdict).toBe('warning');
    expect(problems[0]?.title).toContain('Repositories');
    expect(problems[0]?.detail).toContain('timeout: no answer within 5 s.');
  });

  test('distrusts a collector that calls itself ok with values older than they hold for', () => {
    const { verdict, collectors, problems } = of([one({ readAt: now - 61_000 }), one({ name: 'mirror' })]);
    expect(verdict).toBe('warning');
    expect(collectors[0]?.state).toBe('stale');
    expect(problems[0]?.title).toContain('too old to be believed');
  });

  test('is critical when no source can be read', () => {
    expect(
      of([one({ state: 'failed', reason: 'refused' }), one({ name: 'x', state: 'empty' })]).verdict,
    ).toBe('critical');
  });

  test('counts a database that is down as one thing wrong, not one for each collector', () => {
    const down = { state: 'failed', reason: 'refused', message: 'nothing listens on db:5432' } as const;
    const { headline, problems } = of([
      one(down),
      one({ ...down, name: 'queue' }),
      one({ ...down, name: 'mirror', since: now - 9000 }),
    ]);
    expect(headline).toBe('One thing is wrong');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({
      since: now - 9000,
      title: 'Cannot be read: 3 collectors (health, queue, mirror)',
    });
  });

  test('says what a failure means for the metrics', () => {
    const detail = (more: Partial<CollectorView>) =>
      of([one({ state: 'failed', reason: 'query', ...more })]).problems[0]?.detail;
    expect(detail({})).toBe('query. The values read before are still served until they are 1 min old.');
    expect(detail({ series: 0 })).toBe(
      'query. Meanwhile its metrics are absent, and nothing that rests on them is known.',
    );
  });

  test('puts the worst first, and what is known before what cannot be seen', () => {
    expect(assess(incident, now).problems.map(({ severity, title }) => `${severity}: ${title}`)).toEqual([
      'critical: 37 repositories of virtual storage default are unavailable',
      'warning: 12 replicas on gitaly-3 are stuck behind',
      'warning: Cannot be read: Size, bloat and wraparound of the tables',
      'warning: What was read is too old to be believed: Replication jobs by storage and state',
    ]);
  });
});
