/** Collectors that are read at each scrape: one run at a time, and every scrape answered in time. */
import { describe, expect, test } from '@jest/globals';
import { failed } from '../../src/scheduler/outcome.ts';
import type { Runner } from '../../src/scheduler/runner.ts';
import {
  createHarness,
  deaf,
  every,
  flatten,
  hang,
  never,
  ok,
  scrape,
  scrapeSchedule,
  seen,
  slow,
  valueBlock,
} from './harness.ts';

const absent = { value: undefined, success: 0, stale: 0 };

/** A scrape begun now; `says` of the collector `a` once answered, and after how many seconds. */
function begin(runner: Runner, seconds: () => number, timeoutMs?: number, signal = never) {
  const from = seconds();
  const answer = { says: undefined as unknown, after: undefined as number | undefined };
  void runner.blocks({ timeoutMs, signal }).then((blocks) => {
    answer.says = seen(flatten(blocks), 'a');
    answer.after = seconds() - from;
  });
  return answer;
}

describe('a scrape', () => {
  test('shows what its own run read, never what an earlier one did', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', scrapeSchedule, (_, nth) => (nth === 3 ? failed('query', 'no') : ok('a', nth)));
    const runner = run([a]);
    await clock.advance(100);
    expect(a.runs).toEqual(['due at 0 s']);

    expect(await scrape(runner, 'a')).toEqual({ a: { value: 2, success: 1, stale: 0 } });
    expect(await scrape(runner, 'a')).toEqual({ a: absent });
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 4, success: 1, stale: 0 } });
    expect(a.runs).toHaveLength(4);
  });

  test('shows what a failed run can still say', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', scrapeSchedule, () =>
      failed('refused', 'no process listens', valueBlock('a', 0)),
    );
    const runner = run([a]);
    await clock.advance(100);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 0, success: 0, stale: 0 } });
  });

  test('arriving while a run goes on joins it', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 2000, r, ok('a', nth)),
    );
    const runner = run([a]);
    await clock.advance(1000);

    const first = begin(runner, seconds);
    await clock.advance(1500);
    const second = begin(runner, seconds);
    await clock.advance(600);

    const both = { value: 2, success: 1, stale: 0 };
    expect(first).toEqual({ says: both, after: 2 });
    expect(second).toEqual({ says: both, after: 0.5 });
    expect(a.runs).toEqual(['due at 0 s', 'scrape at 1 s']);
  });

  test('with less time than the run it joined is answered without it, and the run goes on for the other', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 3000, r, ok('a', nth)),
    );
    const runner = run([a]);
    await clock.advance(1000);

    const patient = begin(runner, seconds, 10_000);
    const hasty = begin(runner, seconds, 1000);
    await clock.advance(10_000);

    expect(hasty).toEqual({ says: absent, after: 1 });
    expect(patient).toEqual({ says: { value: 2, success: 1, stale: 0 }, after: 3 });
    expect(runner.status()[0]!.failures.get('timeout')).toBe(0);
  });

  test('with more time than the run it joined prolongs that run', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 3000, r, ok('a', nth)),
    );
    const runner = run([a]);
    await clock.advance(1000);

    const hasty = begin(runner, seconds, 1000);
    const patient = begin(runner, seconds, 10_000);
    await clock.advance(10_000);

    expect(hasty).toEqual({ says: absent, after: 1 });
    expect(patient).toEqual({ says: { value: 2, success: 1, stale: 0 }, after: 3 });
  });

  test.each([
    ['of its own', 2000, 2000],
    ['of Prometheus by default', undefined, 10_000],
    ['of Prometheus by default, when the header is nonsense', -1, 10_000],
    ['of Prometheus by default, when the header is no number', Number.NaN, 10_000],
    ['however short', 1, 1],
  ])('is answered by the deadline %s, when a collector ignores its signal', async (_, timeoutMs, limitMs) => {
    const { clock, collector, run, seconds } = createHarness();
    const schedule = { kind: 'scrape', timeoutMs: 60_000 } as const;
    const a = collector('a', schedule, (_, nth) => (nth === 1 ? ok('a') : hang()));
    const runner = run([a]);
    await clock.advance(100);

    const answer = begin(runner, seconds, timeoutMs);
    await clock.advance(60_000);

    expect(answer.says).toEqual(absent);
    expect(answer.after! * 1000).toBeLessThanOrEqual(limitMs + 0.001);
    expect(answer.after! * 1000).toBeGreaterThan(limitMs * 0.9);
    expect(runner.status()[0]!.failures.get('timeout')).toBe(1);
  });

  test('tells a collector to stop early enough to hear what it says of that', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const schedule = { kind: 'scrape', timeoutMs: 60_000 } as const;
    const a = collector('a', schedule, async (r, nth) => {
      if (nth === 1) return ok('a');
      await clock.sleep(Infinity, r.signal);
      return failed('timeout', 'the file system does not answer', valueBlock('a', 0));
    });
    const runner = run([a]);
    await clock.advance(100);
    const answer = begin(runner, seconds, 2000);
    await clock.advance(2000);
    expect(answer.says).toEqual({ value: 0, success: 0, stale: 0 });
    expect(runner.status()[0]!.message).toBe('the file system does not answer');
  });

  test("ends a run at the collector's own limit, when that is shorter", async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 60_000, r, ok('a')),
    );
    const runner = run([a]);
    await clock.advance(100);
    const answer = begin(runner, seconds, 30_000);
    await clock.advance(30_000);
    expect(answer).toEqual({ says: absent, after: 5 });
  });

  test('whose client has disconnected is answered immediately, and its run is no failure', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) => slow(clock, nth === 1 ? 0 : 3000, r, ok('a')));
    const runner = run([a]);
    await clock.advance(100);
    const gone = new AbortController();
    const answer = begin(runner, seconds, 10_000, gone.signal);
    await clock.advance(1000);
    gone.abort();
    await clock.advance(0);
    expect(answer.after).toBe(1);
    await clock.advance(5000);
    const [status] = runner.status();
    expect(status?.state).toBe('ok');
    expect(status?.failures.get('timeout')).toBe(0);
  });

  test('never waits for what runs on an interval', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const runner = run([collector('a', every(60_000), hang)]);
    const answer = begin(runner, seconds);
    await clock.advance(0);
    expect(answer).toEqual({ says: absent, after: 0 });
  });

  test('leaves no timer behind', async () => {
    const { clock, collector, run } = createHarness();
    const runner = run([collector('a', scrapeSchedule)]);
    await clock.advance(100);
    await scrape(runner, 'a');
    expect(clock.sleepers()).toBe(0);
  });
});

describe('a collector that hangs beyond its deadline', () => {
  test('is not run again until it returns, and reads as timed out until then', async () => {
    const { clock, collector, lines, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, (_, nth) =>
      nth === 2 ? deaf(clock, 60_000, ok('a')) : ok('a', nth),
    );
    const runner = run([a]);
    await clock.advance(100);
    begin(runner, seconds);
    await clock.advance(10_000);
    expect(runner.status()[0]).toMatchObject({
      state: 'failed',
      reason: 'timeout',
      hung: true,
      running: false,
    });

    const during = begin(runner, seconds);
    await clock.advance(0);
    expect(during).toEqual({ says: absent, after: 0 });
    expect(
      flatten(await runner.blocks({ signal: never })).get('gitaly_exporter_collector_hung{collector="a"}'),
    ).toBe(1);

    await clock.advance(60_000);
    expect(runner.status()[0]).toMatchObject({ state: 'failed', reason: 'timeout', hung: false });
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 3, success: 1, stale: 0 } });
    expect(runner.status()[0]!.failures.get('timeout')).toBe(1);
    expect(a.runs).toHaveLength(3);
    expect(lines).toEqual([
      'info collector is ok: a',
      'warn collector failed: a timeout no result within 5 s, and the run does not stop; the collector is not run again until it does',
      'info hung collector returned: a timed out: returned after 1 min',
      'info collector recovered: a 1 min 4 s',
    ]);
  });

  test('on an interval, skips the runs that it missed and keeps its grid', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(10_000, { timeoutMs: 5000 }), (_, nth) =>
      nth === 2 ? deaf(clock, 33_000, ok('a')) : ok('a'),
    );
    run([a]);
    await clock.advance(65_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 10 s', 'due at 50 s', 'due at 60 s']);
  });
});

describe('the page, without scrapes', () => {
  test('knows of each collector soon after the start, and says when its last word is old', async () => {
    const { clock, collector, run } = createHarness();
    const runner = run([collector('a', scrapeSchedule)]);
    expect(runner.ready()).toBe(false);
    await clock.advance(100);
    expect(runner.ready()).toBe(true);
    expect(runner.status()[0]).toMatchObject({ state: 'ok', ageMs: 100 });

    await clock.advance(6 * 60_000);
    expect(runner.status()[0]).toMatchObject({
      state: 'stale',
      stale: false,
      message: 'last read 6 min ago; no scrape since',
    });
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 1, success: 1, stale: 0 } });
  });

  test('is current without a scrape: a collector that was idle for long enough is read again, once', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', scrapeSchedule);
    const runner = run([a]);
    await clock.advance(10_000);
    runner.readIdle(15_000);
    await clock.advance(0);
    expect(a.runs).toEqual(['due at 0 s']);
    await clock.advance(5000);
    runner.readIdle(15_000);
    runner.readIdle(15_000);
    await clock.advance(0);
    expect(a.runs).toEqual(['due at 0 s', 'due at 15 s']);
    expect(runner.status()[0]).toMatchObject({ state: 'ok', ageMs: 0 });
    await runner.stop();
    runner.readIdle(0);
    expect(a.runs).toHaveLength(2);
  });

  test('a scrape that is there before the first run makes it', async () => {
    const { clock, collector, run } = createHarness();
    const [first, a] = [collector('first', scrapeSchedule), collector('a', scrapeSchedule)];
    const runner = run([first, a]);
    await scrape(runner, 'a');
    await clock.advance(1000);
    expect(a.runs).toEqual(['scrape at 0 s']);
  });
});
