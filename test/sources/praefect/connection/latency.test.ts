/** A distant database: round trips of the network take time, but are no load on the database. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import { silentLog } from '../../../../src/lib/log.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import type { Collector } from '../../../../src/scheduler/collector.ts';
import { createRunner } from '../../../../src/scheduler/runner.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { praefectSource } from '../../../support/praefect-source.ts';
import { until } from '../../../support/until.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { type Opened, open, valueIn, within } from './support.ts';

/** In each direction: a round trip takes 40 ms. */
const latencyMs = 20;

describe('a database with 20 ms of latency', () => {
  let server: TestPostgres;
  let place: TestDatabase;
  let proxy: TestProxy;
  let distant: TestProxy;
  let database: Opened;
  beforeAll(async () => {
    server = await startPostgres();
    place = await server.createDatabase(praefectSchema('19.0'));
    proxy = await startProxy(server, latencyMs);
    distant = await startProxy(server, 5 * latencyMs);
  });
  afterAll(async () => {
    await proxy?.close();
    await distant?.close();
    await server?.stop();
  });
  afterEach(() => database?.close());
  const connection = () => ({ ...place.connection, port: proxy.port });

  test('is charged for the time that its queries run, not for the network', async () => {
    database = open(connection());
    valueIn(await database.query('SELECT 1', within(5000))); // connects
    const before = database.budget.spentSeconds();
    let elapsedMs = 0;
    for (let n = 0; n < 20; n += 1) {
      const result = await database.query('SELECT 1', within(5000));
      elapsedMs += result.ok ? result.elapsedMs : 0;
    }
    const spent = database.budget.spentSeconds() - before;
    expect(elapsedMs).toBeGreaterThan(20 * 2 * latencyMs);
    expect(spent).toBeLessThan(elapsedMs / 1000 / 2);

    valueIn(await database.query('SELECT pg_sleep(0.5)', within(5000)));
    expect(database.budget.spentSeconds() - before - spent).toBeGreaterThan(0.48);
    expect(database.budget.spentSeconds() - before - spent).toBeLessThan(0.7);
  });

  test('is charged for each message of a transaction in the same way', async () => {
    database = open(connection());
    valueIn(await database.query('SELECT 1', within(5000)));
    const before = database.budget.spentSeconds();
    const result = await database.transaction(within(5000), async (transaction) => {
      for (let n = 0; n < 8; n += 1) await transaction.rows('SELECT 1');
    });
    // BEGIN, eight statements and COMMIT.
    expect(result).toMatchObject({ ok: true });
    expect(result.ok && result.elapsedMs).toBeGreaterThan(10 * 2 * latencyMs);
    expect(database.budget.spentSeconds() - before).toBeLessThan(5 * 2 * (latencyMs / 1000));
  });

  test('has reads of the health of storages charged less than the time of the network, which alone would exceed the budget', async () => {
    // Health may spend half of the budget, 100 ms a second; its round trip takes 200 ms. The query itself takes some ms,
    // on a busy machine some dozens: the median of the charges is compared, not the number of reads in a time.
    const budget = createBudget(0.2, systemClock);
    database = open({ ...place.connection, port: distant.port }, { budget });
    const charges: number[] = [];
    const { viewed } = praefectSource({ database, budget, clock: systemClock });
    const counted: Collector = {
      ...viewed.health,
      async collect(run) {
        const before = budget.spentSeconds();
        const outcome = await viewed.health.collect(run);
        if (outcome.kind !== 'empty' && outcome.block !== undefined)
          charges.push(budget.spentSeconds() - before);
        return outcome;
      },
    };
    const runner = createRunner({
      collectors: [counted],
      version: 'test',
      clock: systemClock,
      log: silentLog,
    });
    runner.start();
    await until(() => charges.length >= 7, 60_000);
    await runner.stop();
    expect(charges.sort((a, b) => a - b)[3]).toBeLessThan(0.1);
  }, 90_000);
});
