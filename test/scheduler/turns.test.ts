/** Collectors that share a source: when the budget allows a run, and in which order they run. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Budget, createBudget } from '../../src/scheduler/budget.ts';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import { createWake } from '../../src/scheduler/wake.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { createHarness, every, flatten, hang, never, ok, scrape } from './harness.ts';

/** A query to the source: takes `ms`, and is charged for it. */
async function query(clock: ManualClock, budget: Budget, ms: number, outcome: Outcome): Promise<Outcome> {
  await clock.sleep(ms);
  budget.charge(ms);
  return outcome;
}

describe('due runs that share a budget', () => {
  test('wait until the budget allows them', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const a = collector('a', every(60_000, { budget }), () => query(clock, budget, 2000, ok('a')));
    run([a]);
    await clock.advance(650_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 200 s', 'due at 400 s', 'due at 600 s']);
  });

  test('run in the order of how long they are overdue, so that a cheap query does not starve', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const cheap = collector('cheap', every(60_000, { budget }), () => query(clock, budget, 100, ok('cheap')));
    const heavy = collector('heavy', every(60_000, { budget }), () =>
      query(clock, budget, 5000, ok('heavy')),
    );
    run([cheap, heavy]);
    await clock.advance(1_600_000);
    expect({ cheap: cheap.runs, heavy: heavy.runs }).toEqual({
      cheap: ['due at 0 s', 'due at 510 s', 'due at 1020 s', 'due at 1530 s'],
      heavy: ['due at 0.1 s', 'due at 520 s', 'due at 1030 s', 'due at 1540 s'],
    });
  });

  test('alternate even when the cheap one is due again whenever the budget allows a run', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const cheap = collector('cheap', every(1000, { budget }), () => query(clock, budget, 100, ok('cheap')));
    const heavy = collector('heavy', every(60_000, { budget }), () =>
      query(clock, budget, 1000, ok('heavy')),
    );
    run([cheap, heavy]);
    await clock.advance(400_000);
    expect(heavy.runs).toEqual(['due at 0.1 s', 'due at 120 s', 'due at 230 s', 'due at 340 s']);
    expect(cheap.runs.slice(0, 4)).toEqual(['due at 0 s', 'due at 110 s', 'due at 220 s', 'due at 330 s']);
  });

  test('do not run at the same time, so that none times out because of another', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(1, clock);
    let atSource = 0;
    let most = 0;
    const all = ['a', 'b', 'c'].map((name) =>
      collector(name, every(10_000, { budget }), async () => {
        most = Math.max(most, ++atSource);
        const outcome = await query(clock, budget, 2000, ok(name));
        atSource -= 1;
        return outcome;
      }),
    );
    run(all);
    await clock.advance(59_000);
    expect(most).toBe(1);
    expect(all.map(({ runs }) => runs.length)).toEqual([6, 6, 6]);
  });

  test('wait for a hanging run until its deadline, and no longer', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.5, clock);
    const a = collector('a', every(60_000, { budget, timeoutMs: 5000 }), hang);
    const b = collector('b', every(60_000, { budget }));
    run([a, b]);
    await clock.advance(60_000);
    expect(b.runs[0]).toBe('due at 5.5 s');
  });

  test('are independent of another budget', async () => {
    const { clock, collector, run } = createHarness();
    const [one, other] = [createBudget(0.01, clock), createBudget(0.01, clock)];
    const a = collector('a', every(60_000, { budget: one }), () => query(clock, one, 5000, ok('a')));
    const b = collector('b', every(60_000, { budget: other }));
    run([a, b]);
    await clock.advance(120_000);
    expect(b.runs).toEqual(['due at 0.005 s', 'due at 60.005 s']);
  });
});

describe('a reserved collector', () => {
  test('does not wait for the debt of a heavy query, and the debt is paid nevertheless', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const health = collector('health', every(10_000, { budget, priority: 'reserved' }), () =>
      query(clock, budget, 10, ok('health')),
    );
    const heavy = collector('heavy', every(60_000, { budget }), () =>
      query(clock, budget, 5000, ok('heavy')),
    );
    const runner = run([health, heavy]);
    await clock.advance(595_000);
    expect(health.runs).toHaveLength(60);
    // 5 s at 1% are 500 s; the 50 queries of health in that time are 1 s each, and another 5 s for those 50 s.
    expect(heavy.runs).toEqual(['due at 0.01 s', 'due at 556 s']);
    expect(runner.status().map(({ schedule }) => schedule)).toMatchObject([
      { budgetLimited: false, everyMs: 10_000, maxAgeMs: 30_000 },
      { budgetLimited: true },
    ]);
  });

  test('that needs more than half the budget is limited to half, and both series report it', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const schedule = every(10_000, { budget, priority: 'reserved', timeoutMs: 5000 });
    const health = collector('health', schedule, () => query(clock, budget, 100, ok('health')));
    const runner = run([health]);
    await clock.advance(65_000);
    expect(health.runs).toEqual(['due at 0 s', 'due at 20 s', 'due at 40 s', 'due at 60 s']);
    const flat = flatten(await runner.blocks({ signal: never }));
    expect(flat.get('gitaly_exporter_collector_interval_seconds{collector="health"}')).toBe(20);
    expect(flat.get('gitaly_exporter_collector_budget_limited{collector="health"}')).toBe(1);
  });

  test('runs again within half a minute after a slow query, which the others do not repay', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const schedule = every(1000, { budget, priority: 'reserved', timeoutMs: 2000, maxAgeMs: 10_000 });
    const health = collector('health', schedule, (_, nth) =>
      query(clock, budget, nth === 11 ? 1900 : 2, ok('health')),
    );
    const shared = collector('shared', every(15_000, { budget }), () =>
      query(clock, budget, 10, ok('shared')),
    );
    const runner = run([health, shared]);
    await clock.advance(41_000);
    expect(runner.status()[0]!.schedule!.maxAgeMs).toBeLessThan(70_000);
    await clock.advance(60_000);
    expect(health.runs.slice(10, 12)).toEqual(['due at 10 s', 'due at 41.9 s']);
    expect(shared.runs.slice(0, 4)).toEqual([
      'due at 0.005 s',
      'due at 25.95 s',
      'due at 30.005 s',
      'due at 45.2 s',
    ]);
  });

  test('runs before shared ones when the budget allows both', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.5, clock);
    const take = (name: string, ms: number) => async () => {
      await clock.sleep(ms);
      return ok(name);
    };
    const blocker = collector('blocker', every(60_000, { budget }), take('blocker', 9000));
    const shared = collector('shared', every(60_000, { budget }), take('shared', 1000));
    const health = collector('health', every(60_000, { budget, priority: 'reserved' }), take('health', 1000));
    run([blocker, shared, health]);
    await clock.advance(20_000);
    expect([health.runs, shared.runs]).toEqual([['due at 9 s'], ['due at 10 s']]);
  });
});

describe('a woken run', () => {
  test('does not wait for the budget', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const wake = createWake();
    const a = collector('a', every(60_000, { budget, wake }), ({ cause }) =>
      cause === 'woken' ? ok('a') : query(clock, budget, 5000, ok('a')),
    );
    run([a]);
    await clock.advance(100_000);
    wake.call();
    await clock.advance(410_000);
    expect(a.runs).toEqual(['due at 0 s', 'woken at 100 s', 'due at 500 s']);
  });
});

describe('the staleness limit of a collector that the budget limits', () => {
  test('is extended with its interval, so that the snapshot stays during the next run', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const schedule = every(60_000, { budget, maxAgeMs: 120_000, timeoutMs: 30_000 });
    const a = collector('a', schedule, () => query(clock, budget, 10_000, ok('a')));
    const runner = run([a]);
    await clock.advance(11_000);
    for (let second = 11; second < 4000; second += 10) {
      expect(await scrape(runner, 'a')).toEqual({ a: { value: 1, success: 1, stale: 0 } });
      await clock.advance(10_000);
    }
    expect(runner.status()[0]!.schedule).toMatchObject({
      everyMs: 1_000_000,
      maxAgeMs: 1_200_000, // 2 x 1,000 s + 30 s would be more than ten times the configured limit
      budgetLimited: true,
    });
  });

  test('is still enforced when runs fail', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const schedule = every(60_000, { budget, maxAgeMs: 120_000, timeoutMs: 30_000 });
    const a = collector('a', schedule, (_, nth) =>
      query(clock, budget, 2000, nth === 1 ? ok('a') : failed('query', 'no')),
    );
    const runner = run([a]);
    const at = async (seconds: number, from: number) => {
      await clock.advance((seconds - from) * 1000);
      return (await scrape(runner, 'a'))['a'];
    };
    expect(await at(199, 0)).toEqual({ value: 1, success: 1, stale: 0 });
    expect(await at(210, 199)).toEqual({ value: 1, success: 0, stale: 0 });
    expect(await at(430, 210)).toEqual({ value: 1, success: 0, stale: 0 });
    expect(await at(431, 430)).toEqual({ value: undefined, success: 0, stale: 1 });
  });

  test('is still enforced when constant wakes prevent its due run', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const wake = createWake();
    const startedAt = clock.now();
    const a = collector('a', every(60_000, { budget, wake, maxAgeMs: 120_000 }), async ({ cause }) => {
      const outcome = ok('a') as Extract<Outcome, { kind: 'data' }>;
      return query(clock, budget, 200, cause === 'woken' ? { ...outcome, readAt: startedAt } : outcome);
    });
    const runner = run([a]);
    for (let second = 0; second < 1300; second += 5) {
      await clock.advance(5000);
      wake.call();
    }
    expect(a.runs.filter((line) => line.startsWith('due'))).toHaveLength(1);
    expect(await scrape(runner, 'a')).toEqual({ a: { value: undefined, success: 0, stale: 1 } });
  });

  test('stays as configured when a longer interval is within it, which is not reported as limited', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const schedule = every(10_000, { budget, maxAgeMs: 60_000, timeoutMs: 5000 });
    const a = collector('a', schedule, () => query(clock, budget, 200, ok('a')));
    const runner = run([a]);
    await clock.advance(50_000);
    expect(a.runs).toEqual(['due at 0 s', 'due at 20 s', 'due at 40 s']);
    expect(runner.status()[0]!.schedule).toMatchObject({
      everyMs: 20_000,
      maxAgeMs: 60_000,
      budgetLimited: false,
    });
  });

  test('is not extended for the time of a suspension, even if there is a debt again', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const reserved = { budget, priority: 'reserved' } as const;
    const probe = collector('probe', every(10_000, reserved), async () => {
      budget.charge(3);
      await clock.sleep(100);
      return ok('probe');
    });
    const health = collector('health', every(1000, { ...reserved, maxAgeMs: 10_000, timeoutMs: 2000 }), () =>
      query(clock, budget, 2, ok('health')),
    );
    const shared = collector('shared', every(15_000, { budget, maxAgeMs: 60_000 }));
    const runner = run([probe, health, shared]);
    await clock.advance(9990);
    expect(await scrape(runner, 'health')).toEqual({ health: { value: 1, success: 1, stale: 0 } });
    clock.stall(90_000);
    await clock.advance(150);
    const withdrawn = { value: undefined, success: 0, stale: 1 };
    expect(probe.runs.at(-1)).toMatch(/^due at 99/);
    expect(await scrape(runner, 'health', 'shared')).toEqual({ health: withdrawn, shared: withdrawn });
    await clock.advance(30_000);
    expect(await scrape(runner, 'health')).toEqual({ health: { value: 1, success: 1, stale: 0 } });
  });

  test('is not reported as limited when a run only waits for its turn', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const all = ['a', 'b', 'c'].map((name) =>
      collector(name, every(60_000, { budget }), () => query(clock, budget, 10, ok(name))),
    );
    const runner = run(all);
    await clock.advance(300_000);
    expect(runner.status().map(({ schedule }) => schedule?.budgetLimited)).toEqual([false, false, false]);
  });
});

describe('first runs', () => {
  test('wait only for their turn, not for the cost of the others; the debt is paid afterwards', async () => {
    const { clock, collector, run } = createHarness();
    const budget = createBudget(0.01, clock);
    const all = ['a', 'b', 'c'].map((name, index) =>
      collector(name, every(60_000, { budget, ...(index === 1 && { priority: 'reserved' }) }), () =>
        query(clock, budget, 2000, ok(name)),
      ),
    );
    const runner = run(all);
    await clock.advance(3000);
    expect(runner.status().map(({ state, message }) => message ?? state)).toEqual([
      'ok',
      'the first run is in progress',
      'waiting for the first run',
    ]);
    await clock.advance(3000);
    expect(runner.ready()).toBe(true);
    await clock.advance(900_000);
    expect(all.map(({ runs }) => runs.slice(0, 2))).toEqual([
      ['due at 0 s', 'due at 560 s'],
      ['due at 2 s', 'due at 60.005 s'],
      ['due at 4 s', 'due at 824 s'],
    ]);
  });
});

test('all queries together never take more than the ratio, the first runs, one query of each priority, and a reserved one each half minute', async () => {
  const collectorModel = fc.record({
    reserved: fc.boolean(),
    everySeconds: fc.integer({ min: 1, max: 120 }),
    costMs: fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0.005, 0.01, 0.05, 0.3),
      fc.array(collectorModel, { minLength: 1, maxLength: 5 }),
      async (ratio, collectorModels) => {
        const { clock, collector, run, seconds } = createHarness();
        const budget = createBudget(ratio, clock);
        const most = { shared: 0, reserved: 0 };
        const first = collectorModels.reduce((sum, { costMs }) => sum + costMs[0]! / 1000, 0);
        const collectors = collectorModels.map(({ costMs, everySeconds, reserved }, index) => {
          const priority = reserved ? 'reserved' : 'shared';
          for (const cost of costMs) most[priority] = Math.max(most[priority], cost / 1000);
          const schedule = every(everySeconds * 1000, { budget, priority });
          return collector(`c${index}`, schedule, (_, nth) =>
            query(clock, budget, costMs[(nth - 1) % costMs.length]!, ok(`c${index}`)),
          );
        });
        run(collectors);
        for (let step = 0; step < 30; step += 1) {
          await clock.advance(20_000);
          const reserved = most.reserved * (1 + seconds() / 30);
          const allowed = ratio * seconds() + first + most.shared + reserved;
          expect(budget.spentSeconds()).toBeLessThanOrEqual(allowed + 1e-6);
        }
      },
    ),
    { numRuns: 25 },
  );
});
