import { expect, test } from '@jest/globals';
import { keepParts } from '../../../src/app/components/kept.ts';
import { absentPart, type Part } from '../../../src/app/components/part.ts';
import type { Collector, Run } from '../../../src/scheduler/collector.ts';

const run: Run = { signal: new AbortController().signal, cause: 'scrape' };

function partWith(collect: Collector['collect']): Part {
  const collector: Collector = {
    name: 'x',
    title: 'x',
    metrics: [],
    schedule: { kind: 'scrape', timeoutMs: 1 },
    collect,
  };
  return { ...absentPart([]), collectors: [collector] };
}

test('a part lives on under equal settings, and is made anew under others', () => {
  let made = 0;
  const make = (): Part => {
    made += 1;
    return partWith(async () => ({ kind: 'empty', why: '' }));
  };
  const first = keepParts(undefined);
  const part = first.keep('a', { root: '/x' }, make);
  const second = keepParts(first);
  expect(second.keep('a', { root: '/x' }, make)).toBe(part);
  expect([second.has(part), made]).toEqual([true, 1]);
  const third = keepParts(second);
  expect(third.keep('a', { root: '/y' }, make)).not.toBe(part);
  expect([third.has(part), made]).toEqual([false, 2]);
});

test('two who ask a collector at once are answered one after the other, also after a bug', async () => {
  const order: string[] = [];
  let release = (): void => undefined;
  const part = keepParts(undefined).keep('a', {}, () =>
    partWith(async ({ cause }) => {
      order.push(`${cause} begins`);
      if (cause === 'due') {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        order.push('due ends');
        throw new Error('a bug');
      }
      return { kind: 'empty', why: '' };
    }),
  );
  const [collector] = part.collectors;
  const first = collector?.collect({ ...run, cause: 'due' });
  const second = collector?.collect(run);
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['due begins']);
  release();
  await expect(first).rejects.toThrow('a bug');
  expect(await second).toEqual({ kind: 'empty', why: '' });
  expect(order).toEqual(['due begins', 'due ends', 'scrape begins']);
});
