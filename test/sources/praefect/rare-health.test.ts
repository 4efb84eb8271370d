/** What depends on health, where the limit of the database's time makes reads of health rare, or where they fail. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../../src/lib/clock.ts';
import { createBudget } from '../../../src/scheduler/budget.ts';
import { createDatabase } from '../../../src/sources/praefect/connection/create-database.ts';
import type { Database } from '../../../src/sources/praefect/database.ts';
import {
  loadCapture,
  praefectCapture,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../support/postgres.ts';
import { praefectSource } from '../../support/praefect-source.ts';

let server: TestPostgres;
let place: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  server = await startPostgres();
  place = await server.createDatabase();
  client = await place.client();
  await loadCapture(client, praefectCapture('19/healthy/before'), 'now');
});
afterAll(() => server?.stop());

describe('the number of unavailable repositories', () => {
  let passedMs = 0;
  let database: Database;
  let viewed: ReturnType<typeof praefectSource>['viewed'];
  beforeEach(() => {
    passedMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + passedMs };
    database = createDatabase({ connection: place.connection, clock, budget: createBudget(1, clock) });
    viewed = praefectSource({ database, clock }).viewed;
  });
  const run = (name: 'health' | 'repositories') =>
    viewed[name].collect({ signal: AbortSignal.timeout(20_000), cause: 'due' });
  const isKnown = async (): Promise<boolean> => {
    const outcome = await run('repositories');
    if (outcome.kind !== 'data') throw new Error(JSON.stringify(outcome));
    return outcome.block.families.some(
      (family) =>
        family.metric.name === 'praefect_db_repositories_unavailable' &&
        'samples' in family &&
        family.samples.length > 0,
    );
  };

  test('is known while health is read twice a minute, and not after a minute without a read', async () => {
    await run('health');
    passedMs = 30_000;
    await run('health');
    passedMs = 60_000;
    expect(await isKnown()).toBe(true);
    passedMs = 100_000;
    expect(await isKnown()).toBe(false);
    await database.close();
  });

  test('is unknown ten seconds after the last health when its reads fail', async () => {
    await run('health');
    passedMs = 30_000;
    await run('health');
    await client.query('BEGIN; LOCK TABLE node_status');
    try {
      passedMs = 35_000;
      expect((await run('health')).kind).toBe('failed');
      expect(await isKnown()).toBe(true);
      passedMs = 42_000;
      expect(await isKnown()).toBe(false);
    } finally {
      await client.query('ROLLBACK');
    }
    await database.close();
  });
});
