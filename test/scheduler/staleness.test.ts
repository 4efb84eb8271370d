/** How long a snapshot is shown, and what the self-metrics report: only fresh data reads as healthy. */
import { describe, expect, test } from '@jest/globals';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import { createHarness, every, hang, ok, scrape, valueBlock } from './harness.ts';

const hangs = 'hangs' as const;
const fails = failed('refused', 'no process listens');
const empty: Outcome = { kind: 'empty', why: 'this schema has no such table' };

type Row = readonly [
  what: string,
  /**
   * Outcomes of the runs at 0 s, 60 s, 120 s, ..., and 30 s after a failed one; the last one is repeated. The
   * max age of a snapshot is 150 s.
   */
  runs: readonly (Outcome | typeof hangs)[],
  seconds: number,
  state: string,
  expected: { value: number | undefined; success: number; stale: number },
];

// biome-ignore format: a table
const rows: readonly Row[] = [
  ['the first run is in progress',                         [hangs],                         9, 'pending', { value: undefined, success: 0, stale: 0 }],
  ['the first run hangs',                                  [hangs],                       300, 'failed',  { value: undefined, success: 0, stale: 0 }],
  ['the first run failed',                                 [fails],                         1, 'failed',  { value: undefined, success: 0, stale: 0 }],
  ['the first run was good',                               [ok('a')],                       1, 'ok',      { value: 1,         success: 1, stale: 0 }],
  ['the second run returned another value',                [ok('a'), ok('a', 2)],          61, 'ok',      { value: 2,         success: 1, stale: 0 }],
  ['the source has no data',                               [empty],                       300, 'empty',   { value: undefined, success: 1, stale: 0 }],
  ['the source has no more data',                          [ok('a'), empty],               61, 'empty',   { value: undefined, success: 1, stale: 0 }],
  ['one run failed: snapshot shown, success 0',            [ok('a'), fails],               61, 'failed',  { value: 1,         success: 0, stale: 0 }],
  ['runs fail, the snapshot is at its limit',              [ok('a'), fails],              150, 'failed',  { value: 1,         success: 0, stale: 0 }],
  ['runs fail, the snapshot is over its limit',            [ok('a'), fails],              151, 'failed',  { value: undefined, success: 0, stale: 1 }],
  ['one run failed, the next was good',                    [ok('a'), fails, ok('a', 3)],  121, 'ok',      { value: 3,         success: 1, stale: 0 }],
  ['withdrawn, then good again',                           [ok('a'), fails, fails, fails, fails, ok('a', 4)], 181, 'ok',      { value: 4,         success: 1, stale: 0 }],
  ['a run is in progress, snapshot within its limit',      [ok('a'), hangs],               69, 'ok',      { value: 1,         success: 1, stale: 0 }],
  ['a run hangs',                                          [ok('a'), hangs],               71, 'failed',  { value: 1,         success: 0, stale: 0 }],
  ['a run still hangs, the snapshot is over its limit',    [ok('a'), hangs],              151, 'failed',  { value: undefined, success: 0, stale: 1 }],
  ['a failed run can still return samples',                [ok('a'), failed('refused', '', valueBlock('a', 0), 0)],  61, 'failed', { value: 0, success: 0, stale: 0 }],
  ['the run after such a failure hangs',                   [failed('refused', '', valueBlock('a', 0), 0), hangs], 151, 'failed', { value: undefined, success: 0, stale: 1 }],
];

test.each(rows)('%s', async (_, script, seconds, state, expected) => {
  const { clock, collector, run } = createHarness();
  const schedule = every(60_000, { timeoutMs: 10_000, maxAgeMs: 150_000 });
  const a = collector('a', schedule, (_run, nth) => {
    const outcome = script[Math.min(nth, script.length) - 1]!;
    return outcome === hangs ? hang() : outcome;
  });
  const runner = run([a]);
  await clock.advance(seconds * 1000);
  expect(await scrape(runner, 'a')).toEqual({ a: expected });
  expect(runner.latest(a)).toBe(expected.value);
  expect(runner.status()[0]!.state).toBe(state);
});

describe('a snapshot over its staleness limit', () => {
  test('is withdrawn by the scrape itself, without a timer or a run', async () => {
    const { clock, collector, run } = createHarness();
    const runner = run([collector('a', every(60_000, { maxAgeMs: 90_000 }))]);
    await clock.advance(1000);
    clock.stall(90_000);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: undefined, success: 0, stale: 1 } });
  });

  test('is withdrawn from the page too, which starts no run', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(60_000, { maxAgeMs: 90_000 }), (_, nth) =>
      nth === 1 ? { kind: 'data', block: valueBlock('a', 1), snapshot: 'read' } : hang(),
    );
    const runner = run([a]);
    await clock.advance(1000);
    expect(runner.latest(a)).toBe('read');
    await clock.advance(90_000);
    expect(runner.latest(a)).toBe(undefined);
    expect(a.runs).toHaveLength(2);
  });

  test('is reported as stale during the next run, and logged once', async () => {
    const { clock, collector, lines, run } = createHarness();
    const a = collector('a', every(60_000, { maxAgeMs: 60_000, timeoutMs: 50_000 }), async (r, nth) => {
      if (nth > 1) await clock.sleep(20_000, r.signal);
      return ok('a', nth);
    });
    const runner = run([a]);
    await clock.advance(61_000);
    for (const _ of [1, 2])
      expect(await scrape(runner, 'a')).toEqual({ a: { value: undefined, success: 0, stale: 1 } });
    expect(runner.status()[0]).toMatchObject({ state: 'stale', ageMs: 61_000, series: 0 });
    await clock.advance(20_000);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 2, success: 1, stale: 0 } });
    expect(lines).toEqual([
      'info collector is ok: a',
      'warn collector is stale: a the data is 1 min 1 s old, over the limit of 1 min',
      'info collector recovered: a 19 s',
    ]);
  });
});

describe('the age of data', () => {
  /** Each run returns, from memory, what was read at 0 s. */
  function memory() {
    const harness = createHarness();
    const readAt = harness.clock.now();
    const a = harness.collector('a', every(60_000, { maxAgeMs: 150_000 }), () => ({
      kind: 'data',
      block: valueBlock('a', 1),
      readAt,
    }));
    return { ...harness, readAt, runner: harness.run([a]) };
  }

  test('counts from the read, however often the data is returned', async () => {
    const { clock, readAt, runner } = memory();
    await clock.advance(140_000);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: 1, success: 1, stale: 0 } });
    expect(runner.status()[0]).toMatchObject({
      lastSuccessAt: readAt,
      ageMs: 140_000,
    });
    await clock.advance(11_000);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: undefined, success: 0, stale: 1 } });
  });

  test('counts from this run when the time of the read is in the future (the wall clock was set back)', async () => {
    const { clock, runner } = memory();
    await clock.advance(50_000);
    clock.setWall(clock.now() - 3_600_000);
    await clock.advance(15_000);
    expect(runner.status()[0]).toMatchObject({ state: 'ok', ageMs: 5000 });
  });

  test('is over every limit when the time of the read is invalid', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(60_000), () => ({
      kind: 'data',
      block: valueBlock('a', 1),
      readAt: Number.NaN,
    }));
    const runner = run([a]);
    await clock.advance(1000);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: undefined, success: 0, stale: 1 } });
  });

  test('counts from the start of the run that read it, which is the oldest that it can be', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(60_000), async (r) => {
      await clock.sleep(8000, r.signal);
      return ok('a');
    });
    const startedAt = clock.now();
    const runner = run([a]);
    await clock.advance(9000);
    expect(runner.status()[0]).toMatchObject({ ageMs: 9000, lastSuccessAt: startedAt, lastDurationMs: 8000 });
  });
});
