import { describe, expect, test } from '@jest/globals';
import { emptyBlock } from '../../src/metrics/samples.ts';
import type { Run } from '../../src/scheduler/collector.ts';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import {
  createHarness,
  every,
  flatten,
  hang,
  ignoringSignal,
  never,
  ok,
  scrapeSchedule,
  seen,
  valueBlock,
  valueMetric,
} from './harness.ts';

/** Every property of it throws. */
const throwingProxy = new Proxy(
  {},
  // biome-ignore format: one thought
  new Proxy({}, { get: () => () => { throw new Error('trap'); } }),
);

// biome-ignore format: a table
const faults: readonly [what: string, collect: (run: Run) => Promise<Outcome>, reason: string, message: RegExp][] = [
  ['hands back a failure', async () => failed('refused', 'no process listens'), 'refused', /no process listens/],
  ['quotes control characters and a right-to-left override', async () => failed('refused', 'no\n\u001b[31m \u202eprocess'), 'refused', /^no \[31m process$/],
  ['fails with a message of a megabyte', async () => failed('refused', 'x'.repeat(1_000_000)), 'refused', /^.{3900,4000}$/],
  ['rejects with an Error', async () => Promise.reject(new TypeError('x is not a function')), 'internal', /internal error in bad: TypeError: x is not a function/],
  ['throws before it promises anything', () => { throw new RangeError('synchronous'); }, 'internal', /RangeError: synchronous/],
  ['throws a string', () => { throw 'just text'; }, 'internal', /internal error in bad: just text/],
  ['throws undefined', () => { throw undefined; }, 'internal', /internal error in bad: undefined/],
  ['throws an object without a prototype', () => { throw Object.create(null); }, 'internal', /cannot be described/],
  ['throws a Proxy whose every trap throws', () => { throw throwingProxy; }, 'internal', /cannot be described/],
  ['throws ten thousand characters', () => { throw 'x'.repeat(10_000); }, 'internal', /^.{500,600}$/],
  ['resolves to a Proxy whose every trap throws', () => Promise.resolve().then(() => throwingProxy as Outcome), 'internal', /internal error in bad: Error: trap/],
  ['resolves to undefined', async () => undefined as unknown as Outcome, 'internal', /neither data, nor empty, nor failed/],
  ['hands back an unknown kind', async () => ({ kind: 'fine' }) as unknown as Outcome, 'internal', /neither data/],
  ['hands back an unknown reason', async () => failed('tired' as 'query', ''), 'internal', /no failure reason tired/],
  ['returns data without a block', async () => ({ kind: 'data' }) as unknown as Outcome, 'internal', /internal error in bad/],
  ['emits a family without samples', async () => ({ kind: 'data', block: { families: [{ metric: valueMetric('bad') }] } }) as unknown as Outcome, 'internal', /internal error in bad: /],
  ['emits samples that are not a list', async () => ({ kind: 'data', block: { families: [{ metric: valueMetric('bad'), samples: {} }] } }) as unknown as Outcome, 'internal', /a family without samples/],
  ['emits a metric of another collector', async () => ok('good'), 'internal', /good_value, which it does not declare/],
  ['hangs and ignores its signal', hang, 'timeout', /the run does not stop/],
  ['throws when its signal aborts', (run) => new Promise((_, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason))), 'timeout', /no result within 5 s \(TimeoutError/],
  ['returns a failure when its signal aborts', (run) => new Promise((resolve) => run.signal.addEventListener('abort', () => resolve(failed('timeout', 'PostgreSQL accepts and never responds')))), 'timeout', /PostgreSQL accepts and never responds/],
];

describe.each([
  ['read at each scrape', scrapeSchedule],
  ['on an interval', every(60_000, { timeoutMs: 5000 })],
])('one collector %s that', (_, schedule) => {
  test.each(faults)('%s affects no other collector', async (_what, collect, reason, message) => {
    const { clock, collector, run } = createHarness();
    const runner = run([collector('bad', schedule, collect), collector('good', schedule)]);
    await clock.advance(6000);

    const response = runner.blocks({ signal: never });
    await clock.advance(6000);
    const flat = flatten(await response);

    expect(seen(flat, 'good')).toEqual({ value: 1, success: 1, stale: 0 });
    expect(seen(flat, 'bad')).toEqual({ value: undefined, success: 0, stale: 0 });
    const [bad, good] = runner.status();
    expect(bad).toMatchObject({ state: 'failed', reason });
    expect(bad!.message).toMatch(message);
    expect(good).toMatchObject({ state: 'ok' });
  });
});

test('an outcome after the deadline, but before the run is given up, counts', async () => {
  const { clock, collector, run } = createHarness();
  const late = collector('late', every(60_000, { timeoutMs: 5000 }), () =>
    ignoringSignal(clock, 5400, ok('late')),
  );
  const runner = run([late]);
  await clock.advance(5500);
  expect(runner.status()[0]).toMatchObject({ state: 'ok', lastDurationMs: 5400 });
});

describe('families that other modules add', () => {
  test('a callback for extra families that throws loses only its own families', async () => {
    const { clock, collector, lines, run } = createHarness();
    const runner = run([collector('good', every(60_000))], {
      // biome-ignore format: a list
      extraFamilies: [
        () => { throw new Error('no'); },
        () => valueBlock('extra', 7).families,
      ],
    });
    await clock.advance(0);
    for (const _ of [1, 2]) {
      const flat = flatten(await runner.blocks({ signal: never }));
      expect(flat.get('good_value{of="good"}')).toBe(1);
      expect(flat.get('extra_value{of="extra"}')).toBe(7);
    }
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([
      'error internal error: own metrics are missing: Error: no',
    ]);
  });
});

describe('declarations that contradict each other stop the start', () => {
  const { collector, run } = createHarness();
  // biome-ignore format: a table
  test.each([
    ['two of one name', [collector('a', every(1000)), collector('a', every(1000))], /two collectors are named a/],
    ['one metric with two owners', [collector('a', every(1000)), { ...collector('b', every(1000)), metrics: collector('a', every(1000)).metrics }], /both a and b declare the metric a_value/],
    ['a name that is no label value of ours', [collector('A-b', every(1000))], /snake_case, not "A-b"/],
    ['an interval of nothing', [collector('a', every(0))], /everyMs is over 0 and finite, not 0/],
    ['a staleness limit under the interval', [collector('a', every(1000, { maxAgeMs: 999 }))], /maxAgeMs is at least everyMs/],
    ['a timeout that is not a number', [collector('a', { kind: 'scrape', timeoutMs: Number.NaN })], /timeoutMs is over 0 and finite, not NaN/],
  ])('%s', (_, collectors, message) => {
    expect(() => run(collectors)).toThrow(message);
  });

  test('a collector may own no metric at all', async () => {
    const bare = {
      ...collector('bare', every(1000), () => ({ kind: 'data', block: emptyBlock })),
      metrics: [],
    };
    expect(run([bare]).status()).toHaveLength(1);
  });
});
