/**
 * Verification in the mirror, compared with Praefect's own metrics in an incident with a verification interval
 * of 40 s.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { createYielder } from '../../../src/lib/yielder.ts';
import { createBudget } from '../../../src/scheduler/budget.ts';
import { createDatabase } from '../../../src/sources/praefect/connection/create-database.ts';
import type { Mirror } from '../../../src/sources/praefect/mirror/mirror.ts';
import { createMirrorMemory } from '../../../src/sources/praefect/mirror/mirror-memory.ts';
import { createReplicaTable } from '../../../src/sources/praefect/mirror/table.ts';
import { summarizeVerification } from '../../../src/sources/praefect/mirror/verification.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { praefectSource } from '../../support/praefect-source.ts';
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
  const { collectors } = praefectSource({ database, budget, clock, verificationIntervalSeconds });
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
    const mirrorCount = (state: string) =>
      samples[
        `praefect_db_verification_replicas{virtual_storage="${virtualStorage}",storage="${storage}",state="${state}"}`
      ];
    const praefectCount = (status: string) =>
      native[
        `gitaly_praefect_verification_queue_depth{status="${status}",storage="${storage}",virtual_storage="${virtualStorage}"}`
      ];
    return {
      mirrorCount: `${storage}: ${mirrorCount('unverified')} unverified, ${mirrorCount('overdue')} overdue`,
      praefectCount: `${storage}: ${praefectCount('unverified')} unverified, ${praefectCount('expired')} overdue`,
    };
  });
}

test.each(['19/replica-lost/deleted', '19/replica-lost/found', '19/replica-lost/after'])(
  "%s: unverified and overdue replicas equal Praefect's own counts",
  async (capture) => {
    const counts = await bothCounts(capture);
    expect(counts.map(({ mirrorCount }) => mirrorCount)).toEqual(
      counts.map(({ praefectCount }) => praefectCount),
    );
  },
);

test('19/replica-lost/after-verified: Praefect keeps its last count above 0 for storages that have none', async () => {
  // Not compared for the other storages: the mirror keeps whole seconds, and 25 of their replicas reach 40 s in
  // that second.
  const counts = (await bothCounts('19/replica-lost/after-verified')).slice(3);
  expect(counts).toEqual([
    { mirrorCount: 'other-1: 0 unverified, 0 overdue', praefectCount: 'other-1: 0 unverified, 1 overdue' },
    { mirrorCount: 'other-2: 0 unverified, 0 overdue', praefectCount: 'other-2: 0 unverified, 1 overdue' },
  ]);
});

test('with verification disabled no replica is overdue or the oldest, and the other states add up to all replicas', async () => {
  expect(only(await samplesWith('19/replica-lost/after', 40), 'oldest')).not.toEqual({});
  const samples = await samplesWith('19/replica-lost/after', 0);
  expect(only(samples, 'overdue')).toEqual({});
  expect(only(samples, 'oldest')).toEqual({});
  expect(Object.values(only(samples, 'gitaly-1', 'replicas')).reduce((sum, count) => sum + count, 0)).toBe(
    48,
  );
});

test('before 14.10 there are no verification metrics', async () => {
  expect(await samplesWith('14.9/01-healthy', 604_800)).toEqual({});
});

describe('an implausible time', () => {
  const now = 1_800_000_000;
  const states = async (verifiedAt: number, leasedUntil: number) => {
    const table = createReplicaTable(0, createMirrorMemory());
    const row = table.keys.ensure(0, 1);
    table.putReplica(row, table.column(1), 3, now);
    table.putVerification(row, 0, verifiedAt, leasedUntil);
    for (const column of table.columns) column.configured = true;
    const names = { nameOf: (id: number) => (id === 0 ? 'default' : 'gitaly-1') };
    const mirror = { tables: new Map([[0, table]]), names } as unknown as Mirror;
    const [found] = await summarizeVerification(mirror, now, 604_800, createYielder());
    return {
      states: Object.entries(found?.replicas ?? {}).flatMap(([state, count]) => (count === 1 ? state : [])),
      oldest: found?.oldest,
    };
  };

  test.each([
    ['an hour ago', now - 3600, 0, 'verified', now - 3600],
    ['in the second of the read', now + 3, 0, 'verified', now + 3],
    ['an hour in the future', now + 3600, 0, 'unverified', undefined],
    ['in 2106, as an infinite time is kept', 0xffff_ffff, 0, 'unverified', undefined],
    ['an hour ago, with a lease of this minute', now - 3600, now + 25, 'verified', now - 3600],
    ['an hour ago, with a lease that ended', now - 3600, now - 1, 'lease_expired', now - 3600],
    ['an hour ago, with a lease that ends in hours', now - 3600, now + 7200, 'lease_expired', now - 3600],
  ])('a replica verified %s', async (_, verifiedAt, leasedUntil, state, oldest) => {
    expect(await states(verifiedAt, leasedUntil)).toEqual({ states: [state], oldest });
  });
});
