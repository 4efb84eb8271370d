/** One line per change of a collector's state or reason, not one per failure. */
import { expect, test } from '@jest/globals';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import { createHarness, every, ok } from './harness.ts';

const empty: Outcome = { kind: 'empty', why: 'no such table in this version' };

test('a source that is down for a night is logged once at the start and once at the end', async () => {
  const { clock, collector, lines, run } = createHarness();
  const a = collector('a', every(60_000), (_, nth) =>
    nth > 1 && nth < 500 ? failed('refused', `nothing listens (attempt ${nth})`) : ok('a'),
  );
  run([a]);
  await clock.advance(600 * 60_000);
  expect(lines).toEqual([
    'info collector is ok: a',
    'warn collector failed: a refused nothing listens (attempt 2)',
    'info collector recovered: a 4 h 9 min',
  ]);
});

test('a new reason is logged again, and an internal error at level error with its stack', async () => {
  const { clock, collector, run } = createHarness();
  const outcomes = [failed('refused', 'nothing listens'), failed('permission', 'denied'), empty];
  const a = collector('a', every(60_000), (_, nth) => {
    const outcome = outcomes[nth - 1];
    if (outcome === undefined) throw new TypeError('x is undefined');
    return outcome;
  });
  const logged: [string, object, string][] = [];
  const at = (level: string) => (fields: object, message: string) => {
    logged.push([level, fields, message]);
  };
  run([a], { log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } });
  await clock.advance(400_000);
  const collectorA = { collector: 'a' };
  // biome-ignore format: a table
  expect(logged).toEqual([
    ['warn', { ...collectorA, state: 'failed', from: 'pending', reason: 'refused', message: 'nothing listens' }, 'collector failed'],
    ['warn', { ...collectorA, state: 'failed', from: 'failed', reason: 'permission', message: 'denied' }, 'collector failed'],
    ['info', { ...collectorA, state: 'empty', from: 'failed', message: 'no such table in this version' }, 'collector has no data'],
    ['error', { ...collectorA, state: 'failed', from: 'empty', reason: 'internal', message: 'internal error in a: TypeError: x is undefined', stack: expect.stringContaining('state-changes.test.ts') }, 'collector failed'],
  ]);
});

test('a change of state dates it', async () => {
  const { clock, collector, run } = createHarness();
  const startedAt = clock.now();
  const runner = run([
    collector('a', every(60_000), (_, nth) => (nth === 2 ? failed('query', 'no') : ok('a'))),
  ]);
  await clock.advance(80_000);
  expect(runner.status()[0]).toMatchObject({ state: 'failed', since: startedAt + 60_000 });
  await clock.advance(60_000);
  expect(runner.status()[0]).toMatchObject({ state: 'ok', since: startedAt + 90_000 });
});
