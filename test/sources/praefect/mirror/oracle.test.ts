/** Under random changes to the database, the mirror has the values of plain SQL after every refresh. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Block } from '../../../../src/metrics/samples.ts';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { type Counts, type ExpectedValues, expectedValues } from './oracle.ts';
import { createMirrorCollector, healthIn, valuesOf, variantIn } from './support.ts';
import { change, random, seedHealth, storages } from './workload.ts';

function expectSame(block: Block, expected: ExpectedValues, context: string): void {
  const mirror: Record<keyof ExpectedValues, Counts | undefined> = {
    repositories: valuesOf(block, 'repositories'),
    lost: valuesOf(block, 'repositories_lost'),
    withoutPrimary: valuesOf(block, 'repositories_without_primary'),
    unavailable: expected.unavailable && valuesOf(block, 'repositories_unavailable'),
    readOnly: expected.readOnly && valuesOf(block, 'repositories_read_only'),
    byHealthyReplicas: valuesOf(block, 'repositories_by_healthy_replicas'),
    singleCopy: valuesOf(block, 'repositories_single_copy'),
    replicas: valuesOf(block, 'replicas'),
    unscheduled: valuesOf(block, 'replicas_outdated_unscheduled'),
    behindMax: valuesOf(block, 'replica_generations_behind_max'),
    primaries: valuesOf(block, 'primaries'),
    atRisk: expected.atRisk && valuesOf(block, 'repositories_at_risk'),
  };
  expect({ context, ...mirror }).toEqual({ context, ...expected });
}

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

const versions = ['13.3', '13.5', '13.10', '14.0', '14.3', '14.4', '14.5', '14.9', '15.1', '19.0'];
/** On a small database the server's counters are relied on only when every refresh is taken for costly. */
const workloads = [
  ...versions.map((version) => ({ version, counters: 'never', costlyRefreshMs: Number.POSITIVE_INFINITY })),
  ...['14.4', '19.0'].map((version) => ({ version, counters: 'always', costlyRefreshMs: 0 })),
];

describe('the mirror has the values of SQL after every refresh, for any changes in between', () => {
  test.each(workloads)(
    "on schema $version, with the server's counters of writes used $counters",
    async ({ version, costlyRefreshMs }) => {
      const seed = Number(process.env['MIRROR_SEED'] ?? 20_260_523) + Number(version.replace('.', ''));
      const pick = random(seed);
      const database = await server.createDatabase(praefectSchema(version));
      const [writer, overlapping, reader] = await Promise.all([
        database.client(),
        database.client(),
        database.client(),
      ]);
      for (const client of [writer, overlapping]) {
        await client.query(
          `SET search_path = public; SET session_replication_role = ${version < '14.5' ? 'replica' : 'origin'}`,
        );
      }
      const variant = await variantIn(writer);
      await seedHealth(writer);
      const { run, setHealth } = createMirrorCollector(reader, { costlyRefreshMs });

      let open = false;
      for (let refresh = 0; refresh < 60; refresh++) {
        for (let step = pick(12); step >= 0; step--) await change(writer, variant, pick);
        const action = pick(12);
        if (action === 0) await writer.query('VACUUM FREEZE');
        if (action === 1 && !open) await writer.query('VACUUM FULL storage_repositories');
        if (action === 2) {
          await writer.query('BEGIN');
          for (let step = 0; step < 4; step++) await change(writer, variant, pick);
          await writer.query('ROLLBACK');
        }
        if (action === 3) {
          await writer.query('BEGIN');
          await change(writer, variant, pick);
          await writer.query('SAVEPOINT inner_one');
          await change(writer, variant, pick);
          await writer.query(pick(2) === 0 ? 'ROLLBACK TO inner_one' : 'RELEASE inner_one');
          await change(writer, variant, pick);
          await writer.query('COMMIT');
        }
        // A transaction that begins before one refresh and commits after it, or after the next one.
        if (!open && pick(3) === 0) {
          await overlapping.query('BEGIN; SET LOCAL lock_timeout = 1');
          await overlapping
            .query(
              `UPDATE storage_repositories SET generation = generation WHERE storage = 'gitaly-${1 + pick(5)}'; UPDATE repositories SET generation = generation + 1 WHERE relative_path = '@hashed/${pick(40)}.git'`,
            )
            .catch(() => undefined);
          open = true;
        }
        await writer.query('SET lock_timeout = 0');
        if (open && pick(2) === 0) {
          await overlapping.query(pick(4) === 0 ? 'ROLLBACK' : 'COMMIT');
          open = false;
        }
        if (open) {
          // The writer would wait for row locks of the other transaction: commit that one before the next refresh.
          await checkRefresh();
          await overlapping.query('COMMIT');
          open = false;
        }
        await checkRefresh();

        async function checkRefresh(): Promise<void> {
          for (const client of open ? [writer] : [writer, overlapping])
            await client.query('SELECT pg_stat_force_next_flush()');
          await writer.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
          setHealth(await healthIn(writer));
          const expected = await expectedValues(writer, variant, storages);
          await writer.query('ROLLBACK');
          expectSame(await run(), expected, `seed ${seed}, refresh ${refresh}`);
        }
      }
    },
    120_000,
  );
});
