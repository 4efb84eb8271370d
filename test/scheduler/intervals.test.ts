/** When interval collectors run: on a grid without drift, without bursts, and when woken. */
import { describe, expect, test } from '@jest/globals';
import { failed } from '../../src/scheduler/outcome.ts';
import { createWake } from '../../src/scheduler/wake.ts';
import { createHarness, every, hang, ignoringSignal, ok, slow } from './harness.ts';

describe('runs of an interval', () => {
  test('start one shortly after the other at first, and then keep a grid each', async () => {
    const { clock, collector, run } = createHarness();
    const all = ['a', 'b', 'c'].map((name) => collector(name, every(10_000)));
    run(all);
    await clock.advance(20_005);
    expect(all.map(({ runs }) => runs)).toEqual([
      ['due at 0 s', 'due at 10 s', 'due at 20 s'],
      ['due at 0.005 s', 'due at 10.005 s', 'due at 20.005 s'],
      ['due at 0.01 s', 'due at 10.01 s'],
    ]);
    expect(clock.sleepers()).toBe(1);
  });

  test('are counted from start to start, regardless of their duration', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(10_000), (r, nth) => slow(clock, nth * 1000, r, ok('a')));
    run([a]);
    await clock.advance(41_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 10 s', 'due at 20 s', 'due at 30 s', 'due at 40 s']);
  });

  test('that outlast the interval skip the slots that they missed', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(10_000, { timeoutMs: 60_000 }), (r, nth) =>
      slow(clock, nth === 1 ? 25_000 : 0, r, ok('a')),
    );
    run([a]);
    await clock.advance(45_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 30 s', 'due at 40 s']);
  });

  test('that failed are retried after half a minute, and the grid stays', async () => {
    const { clock, collector, run } = createHarness();
    const fails = () => failed('refused', 'no process listens');
    const rare = collector('rare', every(100_000), (_, nth) => (nth < 3 ? fails() : ok('rare')));
    const frequent = collector('frequent', every(20_000), fails);
    run([rare, frequent]);
    await clock.advance(210_000);
    expect(rare.runs).toEqual(['due at 0 s', 'due at 30 s', 'due at 60 s', 'due at 100 s', 'due at 200 s']);
    expect(frequent.runs.slice(0, 3)).toEqual(['due at 0.005 s', 'due at 20.005 s', 'due at 40.005 s']);
  });

  test('happen once, not 360 times, after the process was suspended for an hour', async () => {
    const { clock, collector, run } = createHarness();
    const all = ['a', 'b'].map((name) => collector(name, every(10_000)));
    run(all);
    await clock.advance(5000);
    clock.stall(3_600_000);
    await clock.advance(10_050);
    expect(all.map(({ runs }) => runs)).toEqual([
      ['due at 0 s', 'due at 3605 s', 'due at 3610 s'],
      ['due at 0.005 s', 'due at 3605 s', 'due at 3610.005 s'],
    ]);
  });

  test.each([
    ['a day ahead', 86_400_000],
    ['a day back', -86_400_000],
  ])('are not affected when the wall clock is set %s', async (_, by) => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(10_000));
    const runner = run([a]);
    await clock.advance(15_000);
    clock.setWall(clock.now() + by);
    await clock.advance(20_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 10 s', 'due at 20 s', 'due at 30 s']);
    expect(runner.status()[0]).toMatchObject({ state: 'ok', ageMs: 5000 });
  });

  test('have to end once, successfully or not, before the exporter is ready', async () => {
    const { clock, collector, run } = createHarness();
    const runner = run([
      collector('a', every(60_000), () => failed('query', 'no')),
      collector('b', every(60_000, { timeoutMs: 3000 }), hang),
    ]);
    const early = runner.whenReady(AbortSignal.abort());
    let isReady: boolean | undefined;
    void runner.whenReady(new AbortController().signal).then((ready) => {
      isReady = ready;
    });
    await clock.advance(3000);
    expect(await early).toBe(false);
    expect([runner.ready(), isReady]).toEqual([false, undefined]);
    expect(runner.status()[1]).toMatchObject({
      state: 'pending',
      message: 'the first run is in progress',
    });
    await clock.advance(1000);
    expect([runner.ready(), isReady]).toEqual([true, true]);
    expect(await runner.whenReady(AbortSignal.abort())).toBe(true);
  });
});

describe('a wake', () => {
  test('runs a collector immediately, and its next due run stays on schedule', async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const a = collector('a', every(10_000, { wake }));
    run([a]);
    await clock.advance(3000);
    wake.call();
    await clock.advance(8000);
    expect(a.runs).toEqual(['due at 0 s', 'woken at 3 s', 'due at 10 s']);
  });

  test('during a run leads to one more run after it, regardless of the number of calls', async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const a = collector('a', every(60_000, { wake }), (r) => slow(clock, 3000, r, ok('a')));
    run([a]);
    await clock.advance(1000);
    for (const _ of [1, 2, 3]) wake.call();
    await clock.advance(30_000);
    expect(a.runs).toEqual(['due at 0 s', 'woken at 3 s']);
  });

  test('that is called constantly runs a collector at most twice a second', async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const a = collector('a', every(60_000, { wake }), () => {
      wake.call();
      return ok('a');
    });
    run([a]);
    await clock.advance(1200);
    expect(a.runs).toEqual(['due at 0 s', 'woken at 0 s', 'woken at 0.5 s', 'woken at 1 s']);
  });

  test('before the first run does nothing, as that run covers it', async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const [first, a] = [collector('first', every(60_000)), collector('a', every(60_000, { wake }))];
    run([first, a]);
    wake.call();
    await clock.advance(5000);
    expect(a.runs).toEqual(['due at 0.005 s']);
  });

  test('waits while a run hangs', async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const a = collector('a', every(60_000, { wake, timeoutMs: 1000 }), (_, nth) =>
      nth === 1 ? ignoringSignal(clock, 20_000, ok('a')) : ok('a'),
    );
    run([a]);
    await clock.advance(5000);
    wake.call();
    await clock.advance(16_000);
    expect(a.runs).toEqual(['due at 0 s', 'woken at 20 s']);
  });

  test("from inside another collector's run does not run inside it", async () => {
    const { clock, collector, run } = createHarness();
    const wake = createWake();
    const order: string[] = [];
    const health = collector('health', every(10_000), (_, nth) => {
      if (nth === 2) wake.call();
      order.push('health read');
      return ok('health');
    });
    const mirror = collector('mirror', every(60_000, { wake }), ({ cause }) => {
      order.push(`mirror ${cause}`);
      return ok('mirror');
    });
    run([health, mirror]);
    await clock.advance(10_000);
    expect(order).toEqual(['health read', 'mirror due', 'health read', 'mirror woken']);
  });
});

describe('stop', () => {
  test('aborts runs, waits for them, counts no failure, and starts no further run', async () => {
    const { clock, collector, lines, run } = createHarness();
    const wake = createWake();
    let abortReason: unknown;
    const a = collector('a', every(10_000, { wake }), async (r, nth) => {
      if (nth === 1) return ok('a');
      await clock.sleep(60_000, r.signal);
      abortReason = r.signal.reason;
      await clock.sleep(200);
      return ok('a');
    });
    const runner = run([a]);
    await clock.advance(12_000);

    let done = false;
    const stopped = runner.stop().then(() => {
      done = true;
    });
    expect(runner.stop()).toBe(runner.stop());
    await clock.advance(100);
    expect({ done, abortReason }).toEqual({
      done: false,
      abortReason: expect.objectContaining({ name: 'AbortError' }),
    });
    await clock.advance(100);
    await stopped;

    wake.call();
    await clock.advance(60_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 10 s']);
    expect(runner.status()[0]!.failures.get('timeout')).toBe(0);
    expect(clock.sleepers()).toBe(0);
    expect(lines.filter((line) => !line.includes('stale'))).toEqual(['info collector is ok: a']);
    expect(() => runner.start()).toThrow('cannot start again');
  });

  test('waits up to its limit for a run that does not stop, and logs its name', async () => {
    const { clock, collector, lines, run } = createHarness();
    const runner = run([collector('a', every(10_000), hang)], { stopTimeoutMs: 2000 });
    await clock.advance(1000);
    const stopped = runner.stop();
    await clock.advance(2000);
    await stopped;
    expect(lines).toEqual(['warn collector does not stop: a 3 s']);
  });

  test('before the start, or with no collectors, ends immediately', async () => {
    const { run } = createHarness();
    const runner = run([]);
    await runner.stop();
    await runner.stop();
    expect(await runner.blocks({ signal: new AbortController().signal })).toHaveLength(1);
  });
});
