/** One line per change of a collector's state or reason, not one per failure. */
import { expect, test } from '@jest/globals';
import { failed, type Outcome } from '../../src/scheduler/outcome.ts';
import type { CollectorChange } from '../../src/scheduler/status.ts';
import { createHarness, every, ok } from './harness.ts';

const empty: Outcome = { kind: 'empty', why: 'no such table in this version' };

test('a night of failures is two lines', async () => {
  const { clock, collector, lines, run } = createHarness();
  const a = collector('a', every(60_000), (_, nth) =>
    nth > 1 && nth < 500 ? failed('refused', `nobody listens (attempt ${nth})`) : ok('a'),
  );
  run([a]);
  await clock.advance(600 * 60_000);
  expect(lines).toEqual([
    'info a is ok',
    'warn a failed (refused): nobody listens (attempt 2)',
    'info a is ok again after 4.2 h',
  ]);
});

test('another reason is another line, a bug is an error with its stack', async () => {
  const { clock, collector, run } = createHarness();
  const outcomes = [failed('refused', 'nobody listens'), failed('permission', 'may not'), empty];
  const a = collector('a', every(60_000), (_, nth) => {
    const outcome = outcomes[nth - 1];
    if (outcome === undefined) throw new TypeError('x is undefined');
    return outcome;
  });
  const told: [string, object, string][] = [];
  const at = (level: string) => (fields: object, message: string) => {
    told.push([level, fields, message]);
  };
  run([a], { log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } });
  await clock.advance(400_000);
  const collectorA = { collector: 'a' };
  // biome-ignore format: a table
  expect(told).toEqual([
    ['warn', { ...collectorA, state: 'failed', from: 'pending', reason: 'refused' }, 'a failed (refused): nobody listens'],
    ['warn', { ...collectorA, state: 'failed', from: 'failed', reason: 'permission' }, 'a failed (permission): may not'],
    ['info', { ...collectorA, state: 'empty', from: 'failed' }, 'a is empty: no such table in this version'],
    ['error', { ...collectorA, state: 'failed', from: 'empty', reason: 'internal', stack: expect.stringContaining('changes.test.ts') }, 'a failed (internal): a bug in a: TypeError: x is undefined'],
  ]);
});

test('listeners hear of each change, with since when; one that throws harms nobody', async () => {
  const { clock, collector, lines, run } = createHarness();
  const startedAt = clock.now();
  const a = collector('a', every(60_000), (_, nth) => (nth === 2 ? failed('query', 'no') : ok('a')));
  const runner = run([a]);
  const heard: string[] = [];
  runner.subscribe(() => {
    throw new Error('deaf');
  });
  const leave = runner.subscribe(({ from, status }: CollectorChange) => {
    heard.push(`${from} to ${status.state} since ${(status.since - startedAt) / 1000} s`);
  });
  await clock.advance(80_000);
  expect(runner.status()[0]!.since).toBe(startedAt + 60_000);
  leave();
  await clock.advance(60_000);
  expect(heard).toEqual(['pending to ok since 0 s', 'ok to failed since 60 s']);
  expect(lines.filter((line) => line.startsWith('error'))[0]).toBe(
    'error a listener to collectors failed: Error: deaf',
  );
});
