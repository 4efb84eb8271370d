import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import type { Database } from '../../../../src/sources/praefect/database.ts';
import { praefectQueryMetrics } from '../../../../src/sources/praefect/source.ts';
import { lintMetrics } from '../../../support/lint-metrics.ts';
import { praefectSource } from '../../../support/praefect-source.ts';
import { testWith } from '../../../support/tools.ts';
import { collectorNames } from './support.ts';

const unusedDatabase = undefined as unknown as Database;
const budget = createBudget(0.01, systemClock);
const { collectors, viewed } = praefectSource({ database: unusedDatabase, budget, clock: systemClock });
const queries = collectors.filter((each) => each !== viewed.repositories);

test('the declarations pass the lint', () => {
  expect(lintMetrics(praefectQueryMetrics)).toEqual([]);
});

test('every metric belongs to one collector, and every collector is known here', () => {
  expect(queries.map(({ name }) => name)).toEqual([...collectorNames]);
  expect(queries.flatMap(({ metrics }) => metrics)).toEqual([...praefectQueryMetrics]);
});

test('every collector uses the shared budget, and none may run longer than its interval', () => {
  for (const { name, schedule } of queries) {
    if (schedule.kind !== 'interval') throw new Error(name);
    expect({ name, budget: schedule.budget === budget }).toEqual({ name, budget: true });
    expect(schedule.timeoutMs).toBeLessThanOrEqual(Math.max(schedule.everyMs, 2000));
    expect(schedule.maxAgeMs).toBeGreaterThanOrEqual(schedule.everyMs + schedule.timeoutMs);
  }
});

describe('promtool accepts the golden texts', () => {
  const folder = join(import.meta.dirname, 'golden');
  for (const file of readdirSync(folder))
    testWith('promtool')(file, () => {
      const { status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], {
        input: readFileSync(join(folder, file)),
        encoding: 'utf8',
      });
      expect({ status, output: `${stdout}${stderr}` }).toEqual({ status: 0, output: '' });
    });
});
