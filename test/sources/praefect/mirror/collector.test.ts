/** What the mirror derives from consecutive refreshes: moves, failovers and lags; and when it is reloaded. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { Clock } from '../../../../src/lib/clock.ts';
import type { Block } from '../../../../src/metrics/samples.ts';
import { healthOf } from '../../../../src/sources/praefect/health.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { createMirrorCollector, healthIn, valuesOf, variantIn } from './support.ts';
import { seedHealth } from './workload.ts';

let server: TestPostgres;
let database: TestDatabase;
let client: pg.Client;
let reader: pg.Client;
let time: number;
const clock: Clock = { now: () => time * 1000, monotonic: () => time * 1000, sleep: async () => undefined };

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

async function open(version: string): Promise<void> {
  database = await server.createDatabase(praefectSchema(version));
  client = await database.client();
  reader = await database.client();
  await client.query(`SET search_path = public`);
  time = 1_780_000_000;
  await seedHealth(client);
}

/** Four repositories of `default`, current on all three storages, primary on gitaly-1. */
async function fourRepositories(): Promise<void> {
  await client.query(`
    INSERT INTO repositories (virtual_storage, relative_path, generation, "primary")
    SELECT 'default', 'r' || n, 5, 'gitaly-1' FROM generate_series(1, 4) n`);
  await client.query(`
    INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
    SELECT 'default', relative_path, 'gitaly-' || s, 5, repository_id FROM repositories, generate_series(1, 3) s`);
}

/** Health with these storages unhealthy; `reported` false: no Praefect writes heartbeats. */
function health(unhealthy: readonly string[] = [], reported = true) {
  const rows = ['gitaly-1', 'gitaly-2', 'gitaly-3'].flatMap((storage) =>
    ['praefect-1', 'praefect-2', 'praefect-3'].map((praefect) => ({
      praefect,
      virtualStorage: 'default',
      storage,
      secondsSinceAttempt: reported ? 0 : 30,
      secondsSinceSeen: !reported || unhealthy.includes(storage) ? 30 : 0,
    })),
  );
  return healthOf(rows, clock.monotonic());
}

describe("a change of the exporter's clock", () => {
  test.each([-7200, 7200])(
    'by %i s does not change which replicas are stuck, and since when',
    async (step) => {
      await open('19.0');
      await fourRepositories();
      let wall = 0;
      const stepped: Clock = { ...clock, now: () => (time + wall) * 1000 };
      const { run, setHealth } = createMirrorCollector(reader, { clock: stepped });
      setHealth(health());
      await run();
      await client.query(
        `UPDATE storage_repositories SET generation = 4 WHERE storage = 'gitaly-2' AND relative_path = 'r1'`,
      );
      time += 15;
      const began = time;
      await run();
      wall = step;
      time += 600;
      const early = await run();
      expect(valuesOf(early, 'replicas_stuck')).toEqual({});
      expect(valuesOf(early, 'replica_behind_since_timestamp_seconds')).toEqual({
        'default/gitaly-2': began + step,
      });
      time += 301;
      expect(valuesOf(await run(), 'replicas_stuck')).toEqual({ 'default/gitaly-2': 1 });
    },
  );
});

describe('moves and failovers', () => {
  beforeEach(async () => {
    await open('19.0');
    await fourRepositories();
  });

  test('primaries that move off a healthy storage are moves, but no failover', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-2' WHERE relative_path IN ('r1', 'r2')`);
    time += 15;
    const block = await run();
    expect(valuesOf(block, 'primary_moves_total')).toEqual({ 'default/gitaly-1 gitaly-2': 2 });
    expect(valuesOf(block, 'failovers_total')).toEqual({});
    expect(valuesOf(block, 'primaries')).toEqual({ 'default/gitaly-1': 2, 'default/gitaly-2': 2 });
  });

  test('primaries that move off an unhealthy storage are one failover per refresh, with an event', async () => {
    const { run, setHealth, events } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    time += 15;
    setHealth(health(['gitaly-1']));
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-2' WHERE relative_path IN ('r1', 'r2')`);
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-3' WHERE relative_path = 'r3'`);
    const block = await run();
    expect(valuesOf(block, 'failovers_total')).toEqual({ 'default/gitaly-1': 1 });
    expect(valuesOf(block, 'last_failover_timestamp_seconds')).toEqual({ 'default/gitaly-1': time });
    expect(events.recent().map(({ message }) => message)).toEqual([
      '3 primaries of default moved off unhealthy gitaly-1: 2 to gitaly-2, 1 to gitaly-3',
    ]);
    time += 15;
    expect(valuesOf(await run(), 'failovers_total')).toEqual({ 'default/gitaly-1': 1 });
  });

  test('a move off a storage that was unhealthy only between two refreshes is a failover', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    time += 20;
    setHealth(health(['gitaly-1']));
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-2' WHERE relative_path = 'r1'`);
    time += 20;
    setHealth(health());
    expect(valuesOf(await run(), 'failovers_total')).toEqual({ 'default/gitaly-1': 1 });
  });

  test('a primary that is null for a while moves from its last storage', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    await client.query(`UPDATE repositories SET "primary" = NULL WHERE relative_path = 'r1'`);
    time += 15;
    const between = await run();
    expect(valuesOf(between, 'repositories_without_primary')).toEqual({ default: 1 });
    expect(valuesOf(between, 'primary_moves_total')).toEqual({});
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-3' WHERE relative_path = 'r1'`);
    expect(valuesOf(await run(), 'primary_moves_total')).toEqual({ 'default/gitaly-1 gitaly-3': 1 });
  });

  const notMoves: readonly { what: string; happen: () => Promise<void> }[] = [
    {
      what: 'a deleted repository',
      happen: async () => void (await client.query(`DELETE FROM repositories WHERE relative_path = 'r1'`)),
    },
    {
      what: 'a renamed repository',
      happen: async () =>
        void (await client.query(
          `UPDATE repositories SET relative_path = 'renamed' WHERE relative_path = 'r1'`,
        )),
    },
    {
      what: 'a repository that is deleted and created again under the same path with another primary',
      happen: async () => {
        await client.query(`DELETE FROM repositories WHERE relative_path = 'r1'`);
        await client.query(
          `INSERT INTO repositories (virtual_storage, relative_path, generation, "primary") VALUES ('default', 'r1', 0, 'gitaly-3')`,
        );
      },
    },
    {
      what: 'a storage that is added',
      happen: async () => {
        await client.query(`INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
          SELECT virtual_storage, relative_path, 'gitaly-new', 5, repository_id FROM repositories`);
      },
    },
    {
      what: 'a database restored to another state (here: new tables with other primaries)',
      happen: async () => {
        await client.query(`CREATE TABLE other AS SELECT * FROM repositories; UPDATE other SET "primary" = 'gitaly-2';
          DROP TABLE repositories CASCADE; ALTER TABLE other RENAME TO repositories`);
        await client.query(`CREATE VIEW valid_primaries AS SELECT repository_id FROM repositories`);
      },
    },
  ];
  test.each(notMoves)('$what is neither a move nor a failover', async ({ happen }) => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health(['gitaly-1']));
    await run();
    await happen();
    time += 15;
    setHealth(health(['gitaly-1']));
    const block = await run();
    expect(valuesOf(block, 'primary_moves_total')).toEqual({});
    expect(valuesOf(block, 'failovers_total')).toEqual({});
  });

  test('every pair of known storages has a zero before the first move', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    const family = (await run()).families.find(
      ({ metric }) => metric.name === 'praefect_db_primary_moves_total',
    );
    // default: 3 storages x 2 others x 2 causes; archive: 2 x 1 x 2.
    expect(family && 'samples' in family && family.samples.length).toBe(16);
  });
});

describe('a costly refresh', () => {
  beforeEach(async () => {
    await open('19.0');
    await fourRepositories();
    await reported();
  });
  /** Waits until the server has counted the client's writes. */
  const reported = () => client.query('SELECT pg_stat_force_next_flush()');
  const write = async (sql: string): Promise<void> => {
    await client.query(sql);
    await reported();
  };
  /** Two refreshes: the first one has no counters to compare with. */
  async function refreshedTwice() {
    const mirror = createMirrorCollector(reader, { clock, costlyRefreshMs: 0 });
    mirror.setHealth(health());
    await mirror.run();
    await mirror.run();
    mirror.statements.length = 0;
    return mirror;
  }

  test('is omitted while no write is counted, and the values keep the time of the last one', async () => {
    const { collect, statements } = await refreshedTwice();
    const readAt = time * 1000;
    time += 15;
    const outcome = await collect();
    expect(statements).toEqual([]);
    expect(outcome.readAt).toBe(readAt);
    expect(valuesOf(outcome.block, 'primaries')).toEqual({ 'default/gitaly-1': 4 });
  });

  test.each([
    [`UPDATE repositories SET "primary" = 'gitaly-2' WHERE relative_path = 'r1'`],
    [`DELETE FROM storage_repositories WHERE relative_path = 'r1' AND storage = 'gitaly-2'`],
    [`INSERT INTO replication_queue (job) VALUES ('{}')`],
    [`TRUNCATE repository_assignments`],
    [`INSERT INTO schema_migrations (id) VALUES ('20990101000000_later')`],
  ])('is run after %s', async (sql) => {
    const { run, statements } = await refreshedTwice();
    await write(sql);
    await run();
    expect(statements).not.toEqual([]);
  });

  test('is run at the maximum age, regardless of the counters', async () => {
    const { collect, statements } = await refreshedTwice();
    time += 31; // of 60
    expect((await collect()).readAt).toBeUndefined();
    expect(statements).not.toEqual([]);
  });

  describe('after writes', () => {
    /** Tables that a refresh counts or sums. */
    async function countedIn(mirror: Awaited<ReturnType<typeof refreshedTwice>>) {
      mirror.statements.length = 0;
      const outcome = await mirror.collect();
      const tables = mirror.statements
        .filter((sql) => / AS rows[,\s]/.test(sql))
        .map((sql) => /FROM \S+\.(\w+)/.exec(sql)?.[1] ?? sql);
      return { outcome, tables };
    }
    const tables = ['repositories', 'storage_repositories', 'repository_assignments'];
    const deletion = `DELETE FROM storage_repositories WHERE relative_path = 'r1' AND storage = 'gitaly-2'`;
    const update = `UPDATE repositories SET generation = generation + 1 WHERE relative_path = 'r2'`;

    test('counts no rows while no deletion is counted, and the values keep the time of the last count', async () => {
      const mirror = await refreshedTwice();
      const readAt = time * 1000;
      await write(update);
      time += 15;
      const { outcome, tables: counted } = await countedIn(mirror);
      expect(counted).toEqual([]);
      expect(outcome.readAt).toBe(readAt);
      expect(valuesOf(outcome.block, 'replicas')).toMatchObject({ 'default/gitaly-2 outdated': 1 });
    });

    test('counts the rows of a table with deletions, once', async () => {
      const mirror = await refreshedTwice();
      await write(deletion);
      const { outcome, tables: counted } = await countedIn(mirror);
      expect(counted).toEqual(['storage_repositories']); // its ranges
      expect(valuesOf(outcome.block, 'replicas')).toMatchObject({ 'default/gitaly-2 current': 3 });
      await write(update);
      expect((await countedIn(mirror)).tables).toEqual([]);
    });

    test('counts no rows of replicas that were deleted with their repositories', async () => {
      const mirror = await refreshedTwice();
      await write(`DELETE FROM repositories WHERE relative_path IN ('r1', 'r3')`);
      const { outcome, tables: counted } = await countedIn(mirror);
      expect(counted).toEqual(['repositories']);
      expect(valuesOf(outcome.block, 'replicas')).toMatchObject({ 'default/gitaly-2 current': 2 });
    });

    test('counts rows once more after a deletion that was rolled back, or of a row never read', async () => {
      const mirror = await refreshedTwice();
      await write(`BEGIN; ${deletion}; ROLLBACK`);
      expect((await countedIn(mirror)).tables).toEqual(['storage_repositories']);
      await write(`INSERT INTO repositories (virtual_storage, relative_path) VALUES ('default', 'r5');
        DELETE FROM repositories WHERE relative_path = 'r5'`);
      expect((await countedIn(mirror)).tables).toEqual(['repositories']);
      await write(update);
      expect((await countedIn(mirror)).tables).toEqual([]);
    });

    test.each([
      [
        'the counters are reset',
        `SELECT pg_stat_reset_single_table_counters('repositories'::regclass); ${deletion}`,
      ],
      ['a table has another file', `VACUUM FULL storage_repositories`],
    ])('counts all rows of the table after %s', async (_what, sql) => {
      const mirror = await refreshedTwice();
      for (const statement of sql.split('; ')) await client.query(statement);
      await reported();
      const counted = (await countedIn(mirror)).tables;
      expect(counted).toEqual(expect.arrayContaining(['storage_repositories']));
    });

    test('counts all tables at half of the maximum age, although a deletion is not yet reported', async () => {
      const mirror = await refreshedTwice();
      await client.query(deletion);
      time += 31; // of 60
      const { outcome, tables: counted } = await countedIn(mirror);
      expect(counted).toEqual(expect.arrayContaining(tables));
      expect(outcome.readAt).toBeUndefined();
      expect(valuesOf(outcome.block, 'replicas')).toMatchObject({ 'default/gitaly-2 current': 3 });
    });
  });

  test('is run where the server does not count', async () => {
    await reader.query('SET track_counts = off');
    const { run, statements } = await refreshedTwice();
    await run();
    expect(statements).not.toEqual([]);
  });
});

test('the counters find deleted rows; sums of keys are compared at a load, and then every ten minutes', async () => {
  await open('19.0');
  await fourRepositories();
  const { run, setHealth, statements } = createMirrorCollector(reader, { clock });
  setHealth(health());
  const sums = async (): Promise<number> => {
    statements.length = 0;
    await run();
    return statements.filter((sql) => sql.includes('AS sum')).length;
  };
  expect(await sums()).toBe(3);
  time += 599;
  expect(await sums()).toBe(0);
  time += 1;
  expect(await sums()).toBe(3);
  await client.query(`DELETE FROM storage_repositories WHERE relative_path = 'r1' AND storage = 'gitaly-2'`);
  expect(valuesOf(await run(), 'replicas')).toMatchObject({ 'default/gitaly-2 current': 3 });
});

test('the replicas of deleted repositories are found by their keys, without another scan', async () => {
  await open('19.0');
  await fourRepositories();
  const { run, setHealth, statements } = createMirrorCollector(reader, { clock });
  setHealth(health());
  await run();
  const scansOfRanges = (): readonly string[] =>
    statements
      .filter((sql) => sql.includes(' AS range'))
      .map((sql) => /FROM \S+\.(\w+)/.exec(sql)?.[1] ?? sql);
  statements.length = 0;
  await client.query(`DELETE FROM repositories WHERE relative_path IN ('r1', 'r3')`);
  expect(valuesOf(await run(), 'replicas')).toMatchObject({ 'default/gitaly-2 current': 2 });
  expect(scansOfRanges()).toEqual(['repositories']);
  statements.length = 0;
  // Of another repository, a replica alone.
  await client.query(`
    DELETE FROM repositories WHERE relative_path = 'r2';
    DELETE FROM storage_repositories WHERE relative_path = 'r4' AND storage = 'gitaly-2'`);
  const block = await run();
  expect(valuesOf(block, 'replicas')).toMatchObject({ 'default/gitaly-1 current': 1 });
  expect(valuesOf(block, 'replicas')).not.toHaveProperty('default/gitaly-2 current');
  expect(scansOfRanges()).toEqual(['repositories', 'storage_repositories']);
});

describe('the sql elector of 13.x', () => {
  test('a new primary in shard_primaries is a failover of the virtual storage at elected_at', async () => {
    await open('13.5');
    await client.query(
      `INSERT INTO repositories (virtual_storage, relative_path, generation) VALUES ('default', 'r1', 3), ('default', 'r2', 3)`,
    );
    await client.query(
      `INSERT INTO storage_repositories SELECT 'default', 'r' || r, 'gitaly-' || s, 3 FROM generate_series(1, 2) r, generate_series(1, 3) s`,
    );
    await client.query(
      `INSERT INTO shard_primaries (shard_name, node_name, elected_by_praefect, elected_at) VALUES ('default', 'gitaly-1', 'praefect-1', to_timestamp(${time - 3600}))`,
    );
    const { run, setHealth, events } = createMirrorCollector(reader, { clock });
    setHealth(health());
    const first = await run();
    expect(valuesOf(first, 'failovers_total')).toEqual({});
    expect(valuesOf(first, 'primaries')).toEqual({ 'default/gitaly-1': 2 });
    time += 15;
    setHealth(health(['gitaly-1']));
    await client.query(
      `UPDATE shard_primaries SET node_name = 'gitaly-2', elected_at = to_timestamp(${time - 4})`,
    );
    const second = await run();
    expect(valuesOf(second, 'failovers_total')).toEqual({ 'default/gitaly-1': 1 });
    expect(valuesOf(second, 'last_failover_timestamp_seconds')).toEqual({ 'default/gitaly-1': time - 4 });
    expect(valuesOf(second, 'primary_moves_total')).toEqual({ 'default/gitaly-1 gitaly-2': 2 });
    expect(valuesOf(second, 'primaries')).toEqual({ 'default/gitaly-2': 2 });
    expect(events.recent()[0]?.message).toBe('default failed over from gitaly-1 to gitaly-2');
  });
});

describe('lags', () => {
  beforeEach(async () => {
    await open('19.0');
    await fourRepositories();
  });
  const minutes = (count: number): number => count * 60;
  const write = (path: string, behind: string) =>
    client.query(`
      UPDATE repositories SET generation = generation + 1 WHERE relative_path = '${path}';
      UPDATE storage_repositories SET generation = generation + 1 WHERE relative_path = '${path}' AND storage <> '${behind}'`);

  test('a replica that is behind for over 15 minutes on a healthy storage is stuck, with or without jobs', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    await write('r1', 'gitaly-3');
    time += 15;
    const behindSince = time;
    expect(valuesOf(await run(), 'replica_behind_since_timestamp_seconds')).toEqual({
      'default/gitaly-3': behindSince,
    });
    await client.query(`INSERT INTO replication_queue (job) SELECT jsonb_build_object('repository_id', repository_id, 'change', 'update',
      'virtual_storage', 'default', 'target_node_storage', 'gitaly-3') FROM repositories WHERE relative_path = 'r1'`);
    time = behindSince + minutes(15) - 1;
    setHealth(health());
    const before = await run();
    expect(valuesOf(before, 'replicas_stuck')).toEqual({});
    expect(valuesOf(before, 'replicas_outdated_unscheduled')).toEqual({});
    time = behindSince + minutes(15) + 1;
    const after = await run();
    expect(valuesOf(after, 'replicas_stuck')).toEqual({ 'default/gitaly-3': 1 });
    expect(valuesOf(after, 'replica_behind_since_timestamp_seconds')).toEqual({
      'default/gitaly-3': behindSince,
    });
    await client.query(
      `UPDATE storage_repositories s SET generation = r.generation FROM repositories r WHERE r.repository_id = s.repository_id`,
    );
    const caughtUp = await run();
    expect(valuesOf(caughtUp, 'replicas_stuck')).toEqual({});
    expect(valuesOf(caughtUp, 'replica_behind_since_timestamp_seconds')).toEqual({});
  });

  test('a replica whose generation advances is behind, but not stuck', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await client.query(`UPDATE repositories SET generation = 9 WHERE relative_path = 'r1'`);
    await client.query(
      `UPDATE storage_repositories SET generation = 9 WHERE relative_path = 'r1' AND storage = 'gitaly-1'`,
    );
    await run();
    time += minutes(10);
    await client.query(
      `UPDATE storage_repositories SET generation = 6 WHERE relative_path = 'r1' AND storage = 'gitaly-3'`,
    );
    await run();
    time += minutes(6);
    setHealth(health());
    const block = await run();
    expect(valuesOf(block, 'replicas_stuck')).toEqual({ 'default/gitaly-2': 1 });
    expect(valuesOf(block, 'replica_generations_behind_max')).toEqual({
      'default/gitaly-2': 4,
      'default/gitaly-3': 3,
    });
  });

  test('no replica is stuck while its storage is unhealthy; the 15 minutes start when it recovers', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health(['gitaly-3']));
    await run();
    await write('r1', 'gitaly-3');
    await run();
    time += minutes(20);
    setHealth(health(['gitaly-3']));
    expect(valuesOf(await run(), 'replicas_stuck')).toEqual({});
    setHealth(health());
    expect(valuesOf(await run(), 'replicas_stuck')).toEqual({});
    time += minutes(15);
    setHealth(health());
    expect(valuesOf(await run(), 'replicas_stuck')).toEqual({ 'default/gitaly-3': 1 });
  });

  test('stuck replicas stay stuck when heartbeats stop', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await write('r1', 'gitaly-3');
    await run();
    time += minutes(16);
    setHealth(health([], false));
    expect(valuesOf(await run(), 'replicas_stuck')).toEqual({ 'default/gitaly-3': 1 });
  });

  test('a missing replica counts from generation -1 and can be stuck', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    await client.query(
      `DELETE FROM storage_repositories WHERE relative_path = 'r2' AND storage = 'gitaly-2'`,
    );
    const block = await run();
    expect(valuesOf(block, 'replica_generations_behind_max')).toEqual({ 'default/gitaly-2': 6 });
    expect(valuesOf(block, 'replicas')['default/gitaly-2 missing']).toBe(1);
    time += minutes(16);
    expect(valuesOf(await run(), 'replicas_stuck')).toEqual({ 'default/gitaly-2': 1 });
  });
});

describe('a virtual storage without heartbeats', () => {
  const absentNames = [
    ...['repositories_unavailable', 'repositories_by_healthy_replicas', 'repositories_single_copy'],
    ...['repositories_at_risk', 'replicas_stuck', 'repositories_read_only'],
  ];
  const seriesOf = (block: Block, name: string, virtualStorage: string): number => {
    const family = block.families.find(({ metric }) => metric.name === `praefect_db_${name}`);
    if (family === undefined || !('samples' in family)) throw new Error(`no family ${name}`);
    return family.samples.filter(({ labelValues }) => labelValues[0] === virtualStorage).length;
  };

  test.each(['from health', 'configuration'] as const)(
    'that was removed (known by %s) has no unavailable, lost or overdue repositories: they would page for ever',
    async (known) => {
      await open('19.0');
      await fourRepositories();
      await client.query(`
        INSERT INTO repositories (virtual_storage, relative_path, generation, "primary")
        VALUES ('old', 'r1', 5, 'old-1'), ('old', 'lost', 5, 'old-1')`);
      await client.query(`
        INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id, verified_at)
        SELECT 'old', 'r1', 'old-1', 5, repository_id, to_timestamp(${time - 2_000_000})
        FROM repositories WHERE virtual_storage = 'old' AND relative_path = 'r1'`);
      const configured =
        known === 'from health' ? known : new Map([['default', ['gitaly-1', 'gitaly-2', 'gitaly-3']]]);
      const { run, setHealth } = createMirrorCollector(reader, { clock, configured });
      setHealth(health());
      const block = await run();
      for (const name of absentNames) expect([name, seriesOf(block, name, 'old')]).toEqual([name, 0]);
      expect(seriesOf(block, 'repositories_lost', 'old')).toBe(0);
      expect(seriesOf(block, 'verification_oldest_timestamp_seconds', 'old')).toBe(0);
      expect(seriesOf(block, 'repositories_unavailable', 'default')).toBe(1);
      expect(valuesOf(block, 'repositories')).toEqual({ default: 4, old: 2 });
    },
  );

  test.each(['13.5', '19.0'])(
    'under the local elector of %s is neither unavailable nor read-only, and its outdated replicas show',
    async (version) => {
      await open(version);
      await client.query('DELETE FROM node_status');
      await client.query(
        `INSERT INTO repositories (virtual_storage, relative_path, generation) VALUES ('default', 'r1', 5), ('default', 'lost', 5)`,
      );
      const hasIds = version !== '13.5';
      await client.query(`
        INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation${hasIds ? ', repository_id' : ''})
        SELECT 'default', 'r1', 'gitaly-' || s, 6 - s${hasIds ? ', repository_id' : ''}
        FROM repositories, generate_series(1, 2) s WHERE relative_path = 'r1'`);
      const { run, setHealth } = createMirrorCollector(reader, { clock, configured: 'from health' });
      setHealth(await healthIn(client));
      const block = await run();
      for (const name of absentNames) expect([name, seriesOf(block, name, 'default')]).toEqual([name, 0]);
      expect(valuesOf(block, 'repositories_lost')).toEqual({ default: 1 });
      expect(valuesOf(block, 'replicas')).toMatchObject({ 'default/gitaly-2 outdated': 1 });
    },
  );
});

describe('refreshes', () => {
  beforeEach(async () => {
    await open('19.0');
    await fourRepositories();
  });

  test('a change of health updates the values from memory, without a statement', async () => {
    const { run, setHealth, statements } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await client.query(
      `DELETE FROM storage_repositories WHERE relative_path = 'r1' AND storage <> 'gitaly-1'`,
    );
    expect(valuesOf(await run(), 'repositories_at_risk')).toEqual({ 'default/gitaly-1': 1 });
    const before = statements.length;
    setHealth(health(['gitaly-1']));
    const block = await run('woken');
    expect(valuesOf(block, 'repositories_unavailable')).toEqual({ default: 1 });
    expect(valuesOf(block, 'repositories_by_healthy_replicas')).toEqual({ 'default 0': 1, 'default 2': 3 });
    expect(statements.length).toBe(before);
  });

  test('each refresh after the first reads only the rows that changed', async () => {
    const { run, setHealth, statements } = createMirrorCollector(reader, { clock });
    setHealth(health());
    await run();
    const first = statements.length;
    await run();
    const second = statements
      .slice(first)
      .filter((sql) => /^SELECT .*FROM "public"\.(repositories|storage_repositories) WHERE/s.test(sql));
    expect(
      second.every(
        (sql) =>
          /age\(xmin\) OPERATOR\(pg_catalog\.<=\) pg_catalog\.age\(/.test(sql) || sql.includes('count(*)'),
      ),
    ).toBe(true);
    expect(second.some((sql) => sql.includes('age(xmin)'))).toBe(true);
  });

  test('the mirror is reloaded after a restart of the server, which could be a failover of PostgreSQL', async () => {
    const { run, setHealth, events } = createMirrorCollector(() => reader, { clock });
    setHealth(health(['gitaly-1']));
    await run();
    await client.query(
      `UPDATE repositories SET "primary" = 'gitaly-2'; DELETE FROM repositories WHERE relative_path = 'r4'`,
    );
    await server.restart();
    client = await database.client();
    reader = await database.client();
    time += 15;
    const block = await run();
    expect(valuesOf(block, 'primaries')).toEqual({ 'default/gitaly-2': 3 });
    expect(valuesOf(block, 'failovers_total')).toEqual({});
    expect(events.recent().map(({ kind }) => kind)).toEqual(['mirror_reloaded']);
    await client.query(`UPDATE repositories SET "primary" = 'gitaly-3' WHERE relative_path = 'r1'`);
    expect(valuesOf(await run(), 'primary_moves_total')).toEqual({ 'default/gitaly-2 gitaly-3': 1 });
  });

  test('an upgrade from paths to repository IDs between two refreshes changes no value and is no failover', async () => {
    await open('14.4');
    await client.query(`SET session_replication_role = replica`);
    await client.query(`INSERT INTO repositories (virtual_storage, relative_path, generation, "primary")
      SELECT 'default', 'r' || n, 5, 'gitaly-1' FROM generate_series(1, 4) n`);
    await client.query(`INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
      SELECT 'default', relative_path, 'gitaly-' || s, 5 - s % 2, repository_id FROM repositories, generate_series(1, 3) s`);
    const { run, setHealth } = createMirrorCollector(reader, { clock });
    setHealth(await healthIn(client));
    const before = await run();
    expect((await variantIn(client)).validPrimaries).toBe('by_path_highest');
    const view = /CREATE VIEW public\.valid_primaries AS.*?;\n/s.exec(praefectSchema('14.5'))?.[0] ?? '';
    await client.query(`DROP VIEW valid_primaries; ${view}`);
    expect((await variantIn(client)).validPrimaries).toBe('by_id');
    const after = await run();
    for (const metric of [
      'repositories',
      'replicas',
      'primaries',
      'repositories_by_healthy_replicas',
      'repositories_unavailable',
    ]) {
      expect(valuesOf(after, metric)).toEqual(valuesOf(before, metric));
    }
    expect(valuesOf(after, 'primary_moves_total')).toEqual({});
  });

  test('a generation that Praefect never writes fails the refresh with a clear message', async () => {
    const { run } = createMirrorCollector(reader, { clock });
    await client.query(`UPDATE storage_repositories SET generation = 3000000000 WHERE relative_path = 'r1'`);
    await expect(run()).rejects.toThrow('over 2,147,483,647');
  });

  test('values that depend on health are absent while health is unknown', async () => {
    const { run } = createMirrorCollector(reader, { clock });
    const block = await run();
    const series = (name: string): number => {
      const family = block.families.find(({ metric }) => metric.name === `praefect_db_${name}`);
      return family !== undefined && 'samples' in family ? family.samples.length : -1;
    };
    expect(
      [
        'repositories_unavailable',
        'repositories_by_healthy_replicas',
        'repositories_at_risk',
        'replicas_stuck',
      ].map(series),
    ).toEqual([0, 0, 0, 0]);
    expect(series('repositories')).toBe(2);
  });

  test('a loss of health withdraws the values that depend on it, and removes no storage from the configuration', async () => {
    const { run, setHealth } = createMirrorCollector(reader, { clock, configured: 'from health' });
    setHealth(await healthIn(client));
    await client.query(
      `DELETE FROM storage_repositories WHERE storage = 'gitaly-3' AND relative_path = 'r1'`,
    );
    const before = await run();
    expect(valuesOf(before, 'replicas')['default/gitaly-3 missing']).toBe(1);
    setHealth(undefined);
    const without = await run();
    expect(valuesOf(without, 'replicas')).toEqual(valuesOf(before, 'replicas'));
    expect(without.families.find(({ metric }) => metric.name.endsWith('_unavailable'))).toMatchObject({
      samples: [],
    });
  });
});
