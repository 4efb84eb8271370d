/** The system clock, and a runner on it. */
import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import { createRunner } from '../../src/scheduler/runner.ts';
import { createHarness, every, flatten, hang, ok, scrapeSchedule, seen } from '../scheduler/harness.ts';

describe('a sleep', () => {
  test('takes its time by the monotonic clock', async () => {
    const from = systemClock.monotonic();
    await systemClock.sleep(20);
    expect(systemClock.monotonic() - from).toBeGreaterThanOrEqual(18);
  });

  test.each([60_000, 2 ** 31, Infinity])(
    'of %p ms lasts until its signal aborts, and then ends immediately',
    async (ms) => {
      const stop = new AbortController();
      let over = false;
      const sleep = systemClock.sleep(ms, stop.signal).then(() => {
        over = true;
      });
      await systemClock.sleep(10);
      expect(over).toBe(false);
      stop.abort();
      await sleep;
    },
  );

  test('whose signal has already aborted ends immediately', async () => {
    await systemClock.sleep(60_000, AbortSignal.abort());
  });
});

test('a runner on the system clock runs, responds in time next to a collector that hangs, and stops', async () => {
  const { collector } = createHarness();
  const often = collector('often', every(20), (_, nth) => ok('often', nth));
  const runner = createRunner({
    collectors: [often, collector('stuck', scrapeSchedule, hang)],
    clock: systemClock,
    log: silentLog,
    version: '',
    stopTimeoutMs: 50,
  });
  runner.start();
  const { signal } = new AbortController();
  const from = performance.now();
  const flat = flatten(await runner.blocks({ timeoutMs: 300, signal }));
  expect(performance.now() - from).toBeLessThan(3000);
  expect(seen(flat, 'often').success).toBe(1);
  expect(seen(flat, 'stuck')).toEqual({ value: undefined, success: 0, stale: 0 });
  await runner.stop();

  const { length } = often.runs;
  expect(length).toBeGreaterThan(1);
  await systemClock.sleep(60);
  expect(often.runs).toHaveLength(length);
});
