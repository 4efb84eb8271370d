/** Mirror against oracle: after every look at a database under random change, both say the same. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Block } from '../../../../src/metrics/samples.ts';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { type Counts, type Truth, truthOf } from './oracle.ts';
import { healthIn, said, variantIn, watcher } from './watcher.ts';
import { change, random, seedHealth, storages } from './workload.ts';

function expectTruth(block: Block, truth: Truth, context: string): void {
  const mirror: Record<keyof Truth, Counts | undefined> = {
    repositories: said(block, 'repositories'),
    lost: said(block, 'repositories_lost'),
    withoutPrimary: said(block, 'repositories_without_primary'),
    unavailable: truth.unavailable && said(block, 'repositories_unavailable'),
    readOnly: truth.readOnly && said(block, 'repositories_read_only'),
    byHealthyReplicas: said(block, 'repositories_by_healthy_replicas'),
    replicas: said(block, 'replicas'),
    unscheduled: said(block, 'replicas_outdated_unscheduled'),
    behindMax: said(block, 'replica_generations_behind_max'),
    primaries: said(block, 'primaries'),
    atRisk: truth.atRisk && said(block, 'repositories_at_risk'),
  };
  expect({ context, ...mirror }).toEqual({ context, ...truth });
}

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

const versions = ['13.3', '13.5', '13.10', '14.0', '14.3', '14.4', '14.5', '14.9', '15.1', '19.0'];

describe('the mirror agrees with SQL after every look, whatever happened in between', () => {
  test.each(versions)(
    'schema %s',
    async (version) => {
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
      const { run, setHealth } = watcher(reader);

      let open = false;
      for (let look = 0; look < 60; look++) {
        for (let step = pick(12); step >= 0; step--) await change(writer, variant, pick);
        const dice = pick(12);
        if (dice === 0) await writer.query('VACUUM FREEZE');
        if (dice === 1 && !open) await writer.query('VACUUM FULL storage_repositories');
        if (dice === 2) {
          await writer.query('BEGIN');
          for (let step = 0; step < 4; step++) await change(writer, variant, pick);
          await writer.query('ROLLBACK');
        }
        if (dice === 3) {
          await writer.query('BEGIN');
          await change(writer, variant, pick);
          await writer.query('SAVEPOINT inner_one');
          await change(writer, variant, pick);
          await writer.query(pick(2) === 0 ? 'ROLLBACK TO inner_one' : 'RELEASE inner_one');
          await change(writer, variant, pick);
          await writer.query('COMMIT');
        }
        // A transaction that begins before one look and commits after it, or even after the next.
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
          // The writer would wait for the rows that the other holds: let it go on with the next look.
          await expectLook();
          await overlapping.query('COMMIT');
          open = false;
        }
        await expectLook();

        async function expectLook(): Promise<void> {
          await writer.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
          setHealth(await healthIn(writer));
          const truth = await truthOf(writer, variant, storages);
          await writer.query('ROLLBACK');
          expectTruth(await run(), truth, `seed ${seed}, look ${look}`);
        }
      }
    },
    120_000,
  );
});
