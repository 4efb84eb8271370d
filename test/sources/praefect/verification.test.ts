/** Verification in the mirror, compared with Praefect's own metrics in an incident with an interval of 40 s. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { lintBlock } from '../../../src/metrics/lint-block.ts';
import { createBudget } from '../../../src/scheduler/budget.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createDatabase } from '../../../src/sources/praefect/connection/create-database.ts';
import { createPraefectSource } from '../../../src/sources/praefect/source.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import {
  asOf,
  blockOf,
  databaseAsOf,
  nativeSamples,
  only,
  type Samples,
  samplesIn,
} from './queries/support.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function samplesWith(capture: string, verificationIntervalSeconds: number): Promise<Samples> {
  const { clock, connection, takenAt } = await databaseAsOf(server, capture);
  const budget = createBudget(1, systemClock);
  const database = asOf(createDatabase({ connection, clock: systemClock, budget }), takenAt);
  const { collectors } = createPraefectSource({
    database,
    budget,
    clock,
    events: createEventLog(clock),
    configuredStorages: undefined,
    refreshIntervalMs: 1000,
    maxStalenessMs: 60_000,
    healthIntervalMs: 1000,
    statementTimeoutMs: 10_000,
    stuckThresholdMs: 900_000,
    verificationIntervalSeconds,
  });
  const samples = {};
  for (const collector of collectors.filter(({ name }) => /health|repositories/.test(name))) {
    const outcome = await collector.collect({ signal: AbortSignal.timeout(20_000), cause: 'due' });
    expect(lintBlock(blockOf(outcome), collector.metrics)).toEqual([]);
    Object.assign(samples, samplesIn(blockOf(outcome)));
  }
  await database.close();
  return only(samples, 'praefect_db_verification_');
}

const places = [
  ['default', 'gitaly-1'],
  ['default', 'gitaly-2'],
  ['default', 'gitaly-3'],
  ['other', 'other-1'],
  ['other', 'other-2'],
] as const;

/** Both counts of unverified and overdue replicas for each storage. */
async function bothCounts(capture: string) {
  const samples = await samplesWith(capture, 40);
  const native = nativeSamples(capture, 'praefect-1.db.prom');
  return places.map(([virtualStorage, storage]) => {
    const own = (state: string) =>
      samples[
        `praefect_db_verification_replicas{virtual_storage="${virtualStorage}",storage="${storage}",state="${state}"}`
      ];
    const praefects = (status: string) =>
      native[
        `gitaly_praefect_verification_queue_depth{status="${status}",storage="${storage}",virtual_storage="${virtualStorage}"}`
      ];
    return {
      own: `${storage}: ${own('unverified')} unverified, ${own('overdue')} overdue`,
      praefects: `${storage}: ${praefects('unverified')} unverified, ${praefects('expired')} overdue`,
    };
  });
}

test.each(['19/replica-lost/deleted', '19/replica-lost/found', '19/replica-lost/after'])(
  "%s: unverified and overdue replicas are those of Praefect's own count",
  async (capture) => {
    const counts = await bothCounts(capture);
    expect(counts.map(({ own }) => own)).toEqual(counts.map(({ praefects }) => praefects));
  },
);

test('19/replica-lost/after-verified: Praefect keeps its last count above 0 for storages that have none', async () => {
  // Not compared for the others: the mirror keeps whole seconds, and 25 of their replicas reach 40 s in that second.
  const counts = (await bothCounts('19/replica-lost/after-verified')).slice(3);
  expect(counts).toEqual([
    { own: 'other-1: 0 unverified, 0 overdue', praefects: 'other-1: 0 unverified, 1 overdue' },
    { own: 'other-2: 0 unverified, 0 overdue', praefects: 'other-2: 0 unverified, 1 overdue' },
  ]);
});

test('with verification switched off no replica is overdue, and the other states sum to all replicas', async () => {
  const samples = await samplesWith('19/replica-lost/after', 0);
  expect(only(samples, 'overdue')).toEqual({});
  expect(Object.values(only(samples, 'gitaly-1', 'replicas')).reduce((sum, count) => sum + count, 0)).toBe(
    48,
  );
});

test('before 14.10 there are no verification metrics', async () => {
  expect(await samplesWith('14.9/01-healthy', 604_800)).toEqual({});
});
