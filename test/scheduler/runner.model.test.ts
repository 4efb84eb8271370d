/**
 * Random collectors (good, empty, failing, throwing, slow, ignoring their signal, hanging forever), random
 * scrapes and random time steps, checked against the runner's guarantees. The model records each run from
 * inside the collectors, so that it shares no code with the runner.
 */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import type { Runner } from '../../src/scheduler/runner.ts';
import { createWake } from '../../src/scheduler/wake.ts';
import { settle } from '../support/manual-clock.ts';
import { createHarness, flatten, type Harness, never, valueBlock } from './harness.ts';

const timeoutMs = 4000;
const maxAgeMs = 25_000;
/** How long a run has after its deadline to return an outcome. */
const graceMs = 500;

const behavior = fc.oneof(
  fc.record({ kind: fc.constant('good' as const), ms: fc.integer({ min: 0, max: 3900 }) }),
  fc.record({ kind: fc.constantFrom('empty', 'failed', 'thrown', 'rejected') }),
  fc.record({ kind: fc.constant('ignores signal' as const), ms: fc.integer({ min: 0, max: 30_000 }) }),
  fc.record({ kind: fc.constant('slow' as const), ms: fc.integer({ min: 4000, max: 30_000 }) }),
  fc.record({ kind: fc.constant('hang' as const) }),
);

const scripted = fc.record({
  scrape: fc.boolean(),
  everyMs: fc.integer({ min: 1000, max: 20_000 }),
  script: fc.array(behavior, { minLength: 1, maxLength: 6 }),
});

const step = fc.oneof(
  fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 12_000 }) }),
  fc.record({ do: fc.constant('stall' as const), ms: fc.integer({ min: 0, max: 60_000 }) }),
  fc.record({ do: fc.constant('scrape' as const), ms: fc.integer({ min: 1, max: 12_000 }) }),
  fc.record({ do: fc.constant('wake' as const) }),
  fc.record({ do: fc.constant('wall' as const), ms: fc.integer({ min: -1e8, max: 1e8 }) }),
);

type Behavior = typeof behavior extends fc.Arbitrary<infer B> ? B : never;

/** One run as its collector saw it: its result, and when. Monotonic times. */
interface Seen {
  readonly startedAt: number;
  readonly value: number;
  end: { readonly at: number; readonly good: boolean; readonly data: boolean } | undefined;
  /** The process was suspended during the run. */
  stalled: boolean;
}

/** How a run counts at `now`: still open; or ended, in time or by being given up. */
function verdict({ end, stalled, startedAt }: Seen, now: number): 'open' | 'good' | 'bad' | 'unclear' {
  const givenUpAt = startedAt + timeoutMs + graceMs;
  // At the moment of its end, its outcome may not have arrived yet.
  if (end?.at === now) return 'unclear';
  if (end !== undefined && end.at <= givenUpAt) return end.good ? 'good' : 'bad';
  if (now < givenUpAt) return 'open';
  // When a suspended process resumes, the outcome and the deadline arrive at the same moment.
  return stalled || now === givenUpAt ? 'unclear' : 'bad';
}

function modelCollector(harness: Harness, name: string, { everyMs, scrape, script }: Scripted, wake: Wake) {
  const { clock } = harness;
  const runs: Seen[] = [];
  let open = 0;
  let mostOpen = 0;
  const schedule = scrape
    ? ({ kind: 'scrape', timeoutMs } as const)
    : ({ kind: 'interval', everyMs, timeoutMs, maxAgeMs, wake } as const);
  const collector = harness.collector(name, schedule, (run, nth) => {
    const seen: Seen = { startedAt: clock.monotonic(), value: nth, end: undefined, stalled: false };
    runs.push(seen);
    mostOpen = Math.max(mostOpen, ++open);
    const end = (good: boolean, data: boolean): void => {
      open -= 1;
      seen.end = { at: clock.monotonic(), good, data };
    };
    return behave(script[(nth - 1) % script.length]!, run.signal, end, nth);
  });

  async function behave(
    how: Behavior,
    signal: AbortSignal,
    end: (good: boolean, data: boolean) => void,
    value: number,
  ): Promise<Outcome> {
    switch (how.kind) {
      case 'good':
      case 'slow':
        await clock.sleep(how.ms, signal);
        if (signal.aborted) {
          end(false, false);
          return failed('timeout', 'aborted');
        }
        break;
      case 'ignores signal':
        await clock.sleep(how.ms);
        break;
      case 'hang':
        return new Promise(() => undefined);
      case 'empty':
        end(true, false);
        return { kind: 'empty', why: 'nothing there' };
      case 'failed':
        end(false, false);
        return failed('query', 'refused');
      default:
        end(false, false);
        if (how.kind === 'thrown') throw new Error('a bug');
        return Promise.reject(null);
    }
    end(true, true);
    return { kind: 'data', block: valueBlock(name, value) };
  }

  return { collector, name, runs, scrape, mostOpen: () => mostOpen };
}

type Scripted = typeof scripted extends fc.Arbitrary<infer S> ? S : never;
type Wake = ReturnType<typeof createWake>;
type ModeledCollector = ReturnType<typeof modelCollector>;

/** What one scrape may show of an interval collector. */
function checkInterval(
  { name, runs }: ModeledCollector,
  flat: ReadonlyMap<string, number>,
  now: number,
): void {
  const value = flat.get(`${name}_value{of="${name}"}`);
  const success = flat.get(`gitaly_exporter_collector_success{collector="${name}"}`);
  const isFresh = ({ startedAt }: Seen): boolean => now - startedAt <= maxAgeMs;
  const ended = runs.map((run) => ({ run, how: verdict(run, now) })).filter(({ how }) => how !== 'open');
  const last = ended.at(-1);
  const newest = ended.findLast(({ how }) => how === 'good');
  const shown = runs.find((run) => run.value === value);

  if (value !== undefined) expect(shown).toMatchObject({ end: { good: true, data: true } });
  if (shown !== undefined) expect(isFresh(shown)).toBe(true);
  if (ended.some(({ how, run }) => how === 'unclear' && run.startedAt >= (newest?.run.startedAt ?? 0))) {
    // Each of these may count as good, as bad, or, at that exact moment, as still running.
    const sure = ended.filter(({ how, run }) => how !== 'unclear' || run.end?.good);
    if (success === 1) expect(['good', 'unclear']).toContain(sure.at(-1)?.how);
    return;
  }
  const fresh = newest !== undefined && isFresh(newest.run);
  expect(success).toBe(fresh && last === newest ? 1 : 0);
  expect(value).toBe(fresh && newest.run.end?.data ? newest.run.value : undefined);
}

/** What one scrape may show of a collector that runs at each scrape: only a run that was open during this scrape. */
function checkScraped(
  { name, runs }: ModeledCollector,
  flat: ReadonlyMap<string, number>,
  from: number,
): void {
  const value = flat.get(`${name}_value{of="${name}"}`);
  const success = flat.get(`gitaly_exporter_collector_success{collector="${name}"}`);
  const run = runs.find((one) => one.value === value);
  if (value !== undefined) {
    expect(run?.end).toMatchObject({ good: true, data: true });
    expect(run!.end!.at).toBeGreaterThanOrEqual(from);
    expect(success).toBe(1);
  }
  const goodDuring = runs.some(({ end }) => end?.good && end.at >= from);
  if (success === 1) expect(goodDuring).toBe(true);
  expect([0, 1]).toContain(success);
}

test('regardless of what collectors do, scrapes end in time and no stale or failed value reads as healthy', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(scripted, { minLength: 1, maxLength: 4 }),
      fc.array(step, { minLength: 1, maxLength: 25 }),
      async (scripts, steps) => {
        const harness = createHarness();
        const { clock } = harness;
        const wake = createWake();
        const all = scripts.map((script, index) => modelCollector(harness, `c${index}`, script, wake));
        const runner: Runner = harness.run(all.map(({ collector }) => collector));
        let stalled = 0;
        let waiting = 0;
        const faults: unknown[] = [];

        async function scrape(limitMs: number): Promise<void> {
          const from = { at: clock.monotonic(), stalled };
          waiting += 1;
          const flat = flatten(await runner.blocks({ timeoutMs: limitMs, signal: never }));
          waiting -= 1;
          const now = clock.monotonic();
          // A process that is suspended sends no response.
          expect(now - from.at).toBeLessThanOrEqual(limitMs + stalled - from.stalled + 1e-3);
          for (const one of all) {
            if (one.scrape) checkScraped(one, flat, from.at);
            else checkInterval(one, flat, now);
          }
        }

        for (const one of steps) {
          await settle();
          if (one.do === 'advance') await clock.advance(one.ms);
          else if (one.do === 'wake') wake.call();
          else if (one.do === 'wall') clock.setWall(clock.now() + one.ms);
          else if (one.do === 'scrape') scrape(one.ms).catch((fault) => faults.push(fault));
          else {
            for (const { runs } of all) for (const run of runs) run.stalled ||= run.end === undefined;
            stalled += one.ms;
            clock.stall(one.ms);
            // Due timers fire before anything else runs.
            await clock.advance(0);
          }
        }
        await clock.advance(12_000);
        scrape(1000).catch((fault) => faults.push(fault));
        await clock.advance(1000);

        if (faults.length > 0) throw faults[0];
        expect(waiting).toBe(0);
        expect(all.map(({ mostOpen }) => mostOpen()).filter((most) => most > 1)).toEqual([]);
        const byState = runner.status().map(({ hung, state }) => hung && state !== 'failed');
        expect(byState).not.toContain(true);
      },
    ),
    { numRuns: 200 },
  );
});
