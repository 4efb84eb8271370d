/** The helpers for waiting: abort signals, deadlines, the serial queue, backoff. */
import { describe, expect, test } from '@jest/globals';
import { createDeadline, onAbort, unlessAborted, untilAborted } from '../../src/lib/abort.ts';
import { createBackoff } from '../../src/lib/backoff.ts';
import { codeOf } from '../../src/lib/errors.ts';
import { createSerialQueue } from '../../src/lib/serial-queue.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('abort', () => {
  test('calls a listener once, also for a signal that has already aborted', () => {
    let calls = 0;
    const controller = new AbortController();
    onAbort(controller.signal, () => calls++);
    controller.abort();
    onAbort(controller.signal, () => calls++);
    expect(calls).toBe(2);
  });

  test('ends the wait for a promise that never settles with undefined', async () => {
    const controller = new AbortController();
    const waiting = unlessAborted(new Promise<number>(() => undefined), controller.signal);
    const aborted = untilAborted(controller.signal);
    controller.abort();
    expect(await waiting).toBeUndefined();
    await aborted;
    expect(await unlessAborted(Promise.resolve(1), new AbortController().signal)).toBe(1);
  });

  test('by a deadline is a timeout, and by the parent signal is not', async () => {
    const clock = createManualClock();
    const parent = new AbortController();
    const first = createDeadline(clock, 1000, parent.signal);
    await clock.advance(1000);
    expect([first.signal.aborted, first.isTimedOut()]).toEqual([true, true]);
    const second = createDeadline(clock, 1000, parent.signal);
    parent.abort();
    expect([second.signal.aborted, second.isTimedOut()]).toEqual([true, false]);
    second.release();
    expect(clock.sleepers()).toBe(0);
  });
});

describe('the serial queue', () => {
  test('runs one task at a time, in order, also after a task that rejects', async () => {
    const queue = createSerialQueue();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} starts`);
      await Promise.resolve();
      order.push(`${name} ends`);
      if (name === 'a') throw new Error('a');
    };
    const a = queue.run(work('a'));
    const b = queue.run(work('b'));
    await expect(a).rejects.toThrow('a');
    await b;
    expect(order).toEqual(['a starts', 'a ends', 'b starts', 'b ends']);
  });

  test('removes a waiting task whose signal aborts', async () => {
    const queue = createSerialQueue();
    const leave = await queue.enter();
    const controller = new AbortController();
    const waiting = queue.enter(controller.signal);
    const next = queue.enter();
    controller.abort();
    expect(await waiting).toBeUndefined();
    leave?.();
    expect(await next).toBeDefined();
  });
});

test('the backoff doubles its bound up to a maximum, and starts from the beginning after a reset', () => {
  const backoff = createBackoff({ minMs: 100, firstMs: 1000, maxMs: 3000, random: () => 0.5 });
  expect([backoff.next(), backoff.next(), backoff.next(), backoff.next(5000)]).toEqual([
    500, 1000, 1500, 6500,
  ]);
  backoff.reset();
  expect(backoff.next()).toBe(500);
});

test('the code of an error is read from the error, or from the first error that it aggregates', () => {
  expect(codeOf(Object.assign(new Error(), { code: 'ENOENT' }))).toBe('ENOENT');
  expect(codeOf(new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })]))).toBe(
    'ECONNREFUSED',
  );
  expect([codeOf(null), codeOf('x'), codeOf(new Error())]).toEqual([undefined, undefined, undefined]);
});
