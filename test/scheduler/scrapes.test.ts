/** Collectors that run at each scrape: one run at a time, and a response to every scrape within its deadline. */
import { describe, expect, test } from '@jest/globals';
import { failed } from '../../src/scheduler/outcome.ts';
import type { Runner } from '../../src/scheduler/runner.ts';
import {
  createHarness,
  every,
  flatten,
  hang,
  ignoringSignal,
  never,
  ok,
  scrape,
  scrapeSchedule,
  seen,
  slow,
  valueBlock,
} from './harness.ts';

const absent = { value: undefined, success: 0, stale: 0 };

/** Begins a scrape. `shown`: what the response has of collector `a`; `after`: seconds until the response. */
function begin(runner: Runner, seconds: () => number, timeoutMs?: number, signal = never) {
  const from = seconds();
  const response = { shown: undefined as unknown, after: undefined as number | undefined };
  void runner.blocks({ timeoutMs, signal }).then((blocks) => {
    response.shown = seen(flatten(blocks), 'a');
    response.after = seconds() - from;
  });
  return response;
}

describe('a scrape', () => {
  test('shows the result of its own run, never of an earlier one', async () => {
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

  test('shows the samples that a failed run still returns', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', scrapeSchedule, () =>
      failed('refused', 'no process listens', valueBlock('a', 0)),
    );
    const runner = run([a]);
    await clock.advance(100);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 0, success: 0, stale: 0 } });
  });

  test('that arrives during a run joins it', async () => {
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

    const result = { value: 2, success: 1, stale: 0 };
    expect(first).toEqual({ shown: result, after: 2 });
    expect(second).toEqual({ shown: result, after: 0.5 });
    expect(a.runs).toEqual(['due at 0 s', 'scrape at 1 s']);
  });

  test('with less time than the run it joined gets a response without it, and the run continues for the other scrape', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 3000, r, ok('a', nth)),
    );
    const runner = run([a]);
    await clock.advance(1000);

    const longScrape = begin(runner, seconds, 10_000);
    const shortScrape = begin(runner, seconds, 1000);
    await clock.advance(10_000);

    expect(shortScrape).toEqual({ shown: absent, after: 1 });
    expect(longScrape).toEqual({ shown: { value: 2, success: 1, stale: 0 }, after: 3 });
    expect(runner.status()[0]!.failures.get('timeout')).toBe(0);
  });

  test('with more time than the run it joined extends that run', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 3000, r, ok('a', nth)),
    );
    const runner = run([a]);
    await clock.advance(1000);

    const shortScrape = begin(runner, seconds, 1000);
    const longScrape = begin(runner, seconds, 10_000);
    await clock.advance(10_000);

    expect(shortScrape).toEqual({ shown: absent, after: 1 });
    expect(longScrape).toEqual({ shown: { value: 2, success: 1, stale: 0 }, after: 3 });
  });

  test.each([
    ['of its own', 2000, 2000],
    ['of Prometheus by default', undefined, 10_000],
    ['of Prometheus by default, when the header is out of range', -1, 10_000],
    ['of Prometheus by default, when the header is not a number', Number.NaN, 10_000],
    ['of one millisecond', 1, 1],
  ])(
    'gets its response by the deadline %s when a collector ignores its signal',
    async (_, timeoutMs, limitMs) => {
      const { clock, collector, run, seconds } = createHarness();
      const schedule = { kind: 'scrape', timeoutMs: 60_000 } as const;
      const a = collector('a', schedule, (_, nth) => (nth === 1 ? ok('a') : hang()));
      const runner = run([a]);
      await clock.advance(100);

      const response = begin(runner, seconds, timeoutMs);
      await clock.advance(60_000);

      expect(response.shown).toEqual(absent);
      expect(response.after! * 1000).toBeLessThanOrEqual(limitMs + 0.001);
      expect(response.after! * 1000).toBeGreaterThan(limitMs * 0.9);
      expect(runner.status()[0]!.failures.get('timeout')).toBe(1);
    },
  );

  test('aborts a run early enough to include the outcome that the run then returns', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const schedule = { kind: 'scrape', timeoutMs: 60_000 } as const;
    const a = collector('a', schedule, async (r, nth) => {
      if (nth === 1) return ok('a');
      await clock.sleep(Infinity, r.signal);
      return failed('timeout', 'the file system does not respond', valueBlock('a', 0));
    });
    const runner = run([a]);
    await clock.advance(100);
    const response = begin(runner, seconds, 2000);
    await clock.advance(2000);
    expect(response.shown).toEqual({ value: 0, success: 0, stale: 0 });
    expect(runner.status()[0]!.message).toBe('the file system does not respond');
  });

  test("ends a run at the collector's own timeout when that is shorter", async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) =>
      slow(clock, nth === 1 ? 0 : 60_000, r, ok('a')),
    );
    const runner = run([a]);
    await clock.advance(100);
    const response = begin(runner, seconds, 30_000);
    await clock.advance(30_000);
    expect(response).toEqual({ shown: absent, after: 5 });
  });

  test('whose client has disconnected ends immediately, and its run does not count as a failure', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, async (r, nth) => slow(clock, nth === 1 ? 0 : 3000, r, ok('a')));
    const runner = run([a]);
    await clock.advance(100);
    const disconnected = new AbortController();
    const response = begin(runner, seconds, 10_000, disconnected.signal);
    await clock.advance(1000);
    disconnected.abort();
    await clock.advance(0);
    expect(response.after).toBe(1);
    await clock.advance(5000);
    const [status] = runner.status();
    expect(status?.state).toBe('ok');
    expect(status?.failures.get('timeout')).toBe(0);
  });

  test('never waits for a collector on an interval', async () => {
    const { clock, collector, run, seconds } = createHarness();
    const runner = run([collector('a', every(60_000), hang)]);
    const response = begin(runner, seconds);
    await clock.advance(0);
    expect(response).toEqual({ shown: absent, after: 0 });
  });

  test('leaves no timer running', async () => {
    const { clock, collector, run } = createHarness();
    const runner = run([collector('a', scrapeSchedule)]);
    await clock.advance(100);
    await scrape(runner, 'a');
    expect(clock.sleepers()).toBe(0);
  });
});

describe('a collector that hangs beyond its deadline', () => {
  test('is not run again until it returns, and is reported as timed out until then', async () => {
    const { clock, collector, lines, run, seconds } = createHarness();
    const a = collector('a', scrapeSchedule, (_, nth) =>
      nth === 2 ? ignoringSignal(clock, 60_000, ok('a')) : ok('a', nth),
    );
    const runner = run([a]);
    await clock.advance(100);
    begin(runner, seconds);
    await clock.advance(10_000);
    expect(runner.status()[0]).toMatchObject({
      state: 'failed',
      reason: 'timeout',
      hung: true,
    });

    const during = begin(runner, seconds);
    await clock.advance(0);
    expect(during).toEqual({ shown: absent, after: 0 });
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

  test('on an interval skips the runs that it missed and keeps its grid', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(10_000, { timeoutMs: 5000 }), (_, nth) =>
      nth === 2 ? ignoringSignal(clock, 33_000, ok('a')) : ok('a'),
    );
    run([a]);
    await clock.advance(65_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 10 s', 'due at 50 s', 'due at 60 s']);
  });
});

describe('the page, without scrapes', () => {
  test('shows each collector soon after the start, and reports when its data is old', async () => {
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

  test('is current: a collector that was idle for long enough is read again, once', async () => {
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

  test('a scrape before the first run starts that run', async () => {
    const { clock, collector, run } = createHarness();
    const [first, a] = [collector('first', scrapeSchedule), collector('a', scrapeSchedule)];
    const runner = run([first, a]);
    await scrape(runner, 'a');
    await clock.advance(1000);
    expect(a.runs).toEqual(['scrape at 0 s']);
  });
});
