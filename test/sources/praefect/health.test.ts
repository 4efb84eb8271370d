import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import { type HealthView, healthOf, type NodeStatusRow } from '../../../src/sources/praefect/health.ts';
import { healthSql, nodeStatusOf } from '../../../src/sources/praefect/queries/health.ts';
import { praefectSchema, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { variantIn } from './mirror/support.ts';

const row = (
  praefect: string,
  storage: string,
  secondsSinceAttempt: number | null,
  secondsSinceSeen: number | null,
  virtualStorage = 'default',
): NodeStatusRow => ({ praefect, virtualStorage, storage, secondsSinceAttempt, secondsSinceSeen });

const healthyIn = (view: HealthView): string[] =>
  [...view.virtualStorages.values()].flatMap(({ virtualStorage, storages }) =>
    [...storages.keys()]
      .filter((storage) => view.healthy(virtualStorage, storage))
      .map((storage) => `${virtualStorage}/${storage}`),
  );

describe('health on random rows', () => {
  let server: TestPostgres;
  let client: pg.Client;
  let sql: string;
  beforeAll(async () => {
    server = await startPostgres();
    client = await (await server.createDatabase(praefectSchema('19.0'))).client();
    await client.query('RESET ALL');
    sql = healthSql(await variantIn(client));
  });
  afterAll(() => server.stop());

  // Quarters of a second are exact in binary and in PostgreSQL, so that the boundaries themselves occur.
  const quarters = (...near: number[]) =>
    fc.oneof(
      ...near.map((seconds) => fc.integer({ min: (seconds - 2) * 4, max: (seconds + 2) * 4 })),
      fc.integer({ min: 0, max: 320 }),
    );
  const rows = fc
    .uniqueArray(
      fc.record({
        praefect: fc.constantFrom('p1', 'p2', 'p3', 'p4'),
        virtualStorage: fc.constantFrom('default', 'archive'),
        storage: fc.constantFrom('gitaly-1', 'gitaly-2', 'gitaly-3'),
        secondsSinceAttempt: fc.option(quarters(2, 60), { freq: 10 }),
        secondsSinceSeen: fc.option(quarters(2, 10), { freq: 6 }),
      }),
      {
        maxLength: 24,
        selector: (each) => `${each.praefect} ${each.virtualStorage} ${each.storage}`,
      },
    )
    .map((list) =>
      list.map((each) => ({
        ...each,
        secondsSinceAttempt: each.secondsSinceAttempt && each.secondsSinceAttempt / 4,
        secondsSinceSeen: each.secondsSinceSeen && each.secondsSinceSeen / 4,
      })),
    );

  // The same rows at times in the future too: by seconds, hours, and by times that no Praefect writes.
  const stepped = fc
    .tuple(
      rows,
      fc.array(fc.constantFrom(0, 0, 0, 4, -3600, -7200, 7200, -220_000_000), {
        minLength: 24,
        maxLength: 24,
      }),
    )
    .map(([list, steps]) =>
      list.map((each, at) => ({
        ...each,
        secondsSinceAttempt: each.secondsSinceAttempt && each.secondsSinceAttempt + (steps[at] ?? 0),
        secondsSinceSeen: each.secondsSinceSeen && each.secondsSinceSeen + (steps[23 - at] ?? 0),
      })),
    );

  const insert = async (list: readonly NodeStatusRow[]) => {
    await client.query('DELETE FROM public.node_status');
    if (list.length === 0) return;
    const ago = (seconds: number | null) =>
      seconds === null ? 'NULL' : `now() - interval '${seconds} seconds'`;
    await client.query(
      `INSERT INTO public.node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at) VALUES ${list
        .map(
          (each) =>
            `('${each.praefect}', '${each.virtualStorage}', '${each.storage}', ${ago(each.secondsSinceAttempt)}, ${ago(each.secondsSinceSeen)})`,
        )
        .join(', ')}`,
    );
  };
  const list = async (sql: string) =>
    (await client.query<{ place: string }>(sql)).rows.map(({ place }) => place).sort();
  const byView = "SELECT virtual_storage || '/' || storage AS place FROM public.healthy_storages";
  // The `sql` elector of 13.x counts the quorum in its own code: at least one, else half, rounded up.
  const byElector = `
    SELECT shard_name || '/' || node_name AS place
      FROM public.node_status AS seen
     WHERE last_seen_active_at >= now() - interval '10 seconds'
     GROUP BY shard_name, node_name
    HAVING count(praefect_name) >= (SELECT CASE WHEN count(DISTINCT praefect_name) <= 1 THEN 1
                                               ELSE ceil(count(DISTINCT praefect_name)::float8 / 2) END
                                      FROM public.node_status AS alive
                                     WHERE alive.shard_name = seen.shard_name
                                       AND alive.last_contact_attempt_at >= now() - interval '60 seconds')`;

  test('equals that of the view healthy_storages and of the 13.x elector', async () => {
    await fc.assert(
      fc.asyncProperty(rows, async (given) => {
        // In one transaction now() is constant, so both use the same moment.
        await client.query('BEGIN');
        await insert(given);
        const read = (await client.query(sql)).rows;
        const view = healthOf(read.map(nodeStatusOf), 0);
        expect(healthyIn(view).sort()).toEqual(await list(byView));
        expect(healthyIn(view).sort()).toEqual(await list(byElector));
        await client.query('ROLLBACK');
      }),
      { numRuns: 150 },
    );
  });

  test('with times in the future makes no storage healthy that the view has as unhealthy, and has no heartbeat', async () => {
    await fc.assert(
      fc.asyncProperty(stepped, async (given) => {
        await client.query('BEGIN');
        await insert(given);
        const view = healthOf((await client.query(sql)).rows.map(nodeStatusOf), 0);
        const inView = await list(byView);
        expect(inView).toEqual(expect.arrayContaining(healthyIn(view)));
        // A storage that is healthy only in the view has future contacts in all the rows that count.
        await client.query(
          "DELETE FROM public.node_status WHERE last_seen_active_at > now() + interval '5 s' OR last_contact_attempt_at > now() + interval '5 s'",
        );
        if ((await client.query('SELECT FROM public.node_status')).rowCount === given.length)
          expect(healthyIn(view).sort()).toEqual(inView);
        for (const each of view.virtualStorages.values()) {
          const ages = [each.secondsSinceHeartbeat, ...each.praefects.values()].filter(
            (age) => age !== undefined,
          );
          for (const age of ages) expect(age).toBeGreaterThanOrEqual(-5);
          if (each.hasQuorum) expect(each.secondsSinceHeartbeat).toBeLessThanOrEqual(5);
        }
        await client.query('ROLLBACK');
      }),
      { numRuns: 150 },
    );
  });

  test('ignores infinite times, on every version of PostgreSQL', async () => {
    await client.query(`
      BEGIN;
      INSERT INTO public.node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
      VALUES ('p1', 'default', 'gitaly-1', 'infinity', 'infinity'), ('p2', 'default', 'gitaly-2', '-infinity', '-infinity')`);
    const view = healthOf((await client.query(sql)).rows.map(nodeStatusOf), 0);
    expect(healthyIn(view)).toEqual([]);
    expect(view.hasQuorum('default')).toBe(false);
    await client.query('ROLLBACK');
  });

  test('equals that of the SQL view also some seconds later', async () => {
    await fc.assert(
      fc.asyncProperty(rows, quarters(2, 10), async (given, elapsed) => {
        const seconds = Math.max(0, elapsed / 4);
        await client.query('BEGIN');
        const later = (each: number | null) => each && each + seconds;
        await insert(
          given
            // A null stays null; 0 is an ordinary time.
            .map((each) => ({
              ...each,
              secondsSinceAttempt: each.secondsSinceAttempt === 0 ? seconds : later(each.secondsSinceAttempt),
              secondsSinceSeen: each.secondsSinceSeen === 0 ? seconds : later(each.secondsSinceSeen),
            })),
        );
        const aged = healthOf(given, 1000, 1000 + seconds * 1000);
        expect(healthyIn(aged).sort()).toEqual(await list(byView));
        await client.query('ROLLBACK');
      }),
      { numRuns: 150 },
    );
  });
});

describe('the quorum', () => {
  const three = (age: (praefect: string) => number) =>
    ['p1', 'p2', 'p3'].map((praefect) => row(praefect, 'gitaly-1', age(praefect), age(praefect)));

  test.each([
    ['three Praefects report', [0.2, 0.5, 0.9], true, true],
    ['all stopped 4 s ago', [4, 4, 4], true, true],
    ['all stopped 6 s ago: still healthy, without a quorum', [6, 6, 6], true, false],
    ['all stopped 11 s ago: everything reads unhealthy', [11, 11, 11], false, false],
    ['two of three died 30 s ago: the consensus lacks votes', [0.5, 30, 30], false, false],
    ['two of three died 70 s ago: the third is a quorum of one', [0.5, 70, 70], true, true],
    ['after a restart of the database one Praefect writes again', [0.1, 21, 21], false, false],
    ['and then a second Praefect', [0.4, 0.1, 22], true, true],
  ])('%s', (_, [p1 = 0, p2 = 0, p3 = 0], healthy, hasQuorum) => {
    const view = healthOf(
      three((praefect) => ({ p1, p2, p3 })[praefect] ?? 0),
      0,
    );
    expect({ healthy: view.healthy('default', 'gitaly-1'), hasQuorum: view.hasQuorum('default') }).toEqual({
      healthy,
      hasQuorum,
    });
  });

  test('a storage that was seen 9.5 s ago becomes unhealthy 0.6 s later, with a quorum while heartbeats are fresh', () => {
    const rows = [row('p1', 'gitaly-1', 0.1, 9.5), row('p1', 'gitaly-2', 0.1, 0.1)];
    const view = healthOf(rows, 5000);
    expect(view.healthy('default', 'gitaly-1')).toBe(true);
    const later = healthOf(rows, 5000, 5600);
    expect(later.healthy('default', 'gitaly-1')).toBe(false);
    expect(later.healthy('default', 'gitaly-2')).toBe(true);
    expect(later.hasQuorum('default')).toBe(true);
    expect(later.key).not.toBe(view.key);
    const muchLater = healthOf(rows, 5000, 15_000);
    expect(healthyIn(muchLater)).toEqual([]);
    expect(muchLater.hasQuorum('default')).toBe(false);
  });

  test('without rows there is no quorum, and an unknown storage is not healthy', () => {
    const view = healthOf([], 0);
    expect(view.hasQuorum('default')).toBe(false);
    expect(view.healthy('default', 'gitaly-1')).toBe(false);
  });

  test('each virtual storage has the quorum of its own Praefects', () => {
    const view = healthOf(
      [row('p1', 'gitaly-1', 0.5, 0.5), row('p1', 'old-1', 90_000, 90_000, 'retired')],
      0,
    );
    expect([view.hasQuorum('default'), view.hasQuorum('retired')]).toEqual([true, false]);
  });
});

describe('a time in the future', () => {
  const dead = ['p1', 'p2', 'p3'].flatMap((praefect) =>
    ['gitaly-1', 'gitaly-2'].map((storage) => row(praefect, storage, 0.4, 3600)),
  );

  test('in an old row dated 2033, next to three live Praefects, makes no dead storage healthy', () => {
    const year = 220_000_000;
    const view = healthOf([...dead, row('old', 'gitaly-1', -year, -year)], 0);
    expect(healthyIn(view)).toEqual([]);
    expect(view.hasQuorum('default')).toBe(true);
    const found = view.virtualStorages.get('default');
    expect(found?.secondsSinceHeartbeat).toBe(0.4);
    expect(found?.praefects.get('old')).toBe(undefined);
    expect([...(found?.futurePraefects ?? [])]).toEqual(['old']);
    expect([...(found?.storages.get('gitaly-1')?.seenHealthyBy.keys() ?? [])]).toEqual(['p1', 'p2', 'p3']);
  });

  test('because the clock was set back by two hours makes no dead storage healthy', () => {
    const rows = ['p1', 'p2', 'p3'].map((praefect) => row(praefect, 'gitaly-1', 0.4, -7100));
    expect(healthyIn(healthOf(rows, 0))).toEqual([]);
  });

  test('in all rows is no heartbeat and no quorum, now and at that time', () => {
    const rows = ['p1', 'p2', 'p3'].map((praefect) => row(praefect, 'gitaly-1', -3600, -3600));
    for (const at of [0, 3_600_000, 3_605_000]) {
      const view = healthOf(rows, 0, at);
      expect(view.hasQuorum('default')).toBe(false);
      expect(healthyIn(view)).toEqual([]);
    }
  });

  test('because the row was written after the transaction began counts', () => {
    const view = healthOf([row('p1', 'gitaly-1', -0.3, -0.3)], 0);
    expect(healthyIn(view)).toEqual(['default/gitaly-1']);
    expect(view.hasQuorum('default')).toBe(true);
  });
});

describe('the known storages', () => {
  test('are those contacted within 60 s before the newest heartbeat, regardless of its age', () => {
    const rows = [
      row('p1', 'gitaly-1', 3600, 3600),
      row('p1', 'gitaly-2', 3600, 9000),
      row('p1', 'gitaly-3', 3661, 3661),
      row('p1', 'gitaly-4', null, null),
    ];
    expect([...(healthOf(rows, 0).virtualStorages.get('default')?.knownStorages ?? [])]).toEqual([
      'gitaly-1',
      'gitaly-2',
    ]);
  });

  test('include one that only one Praefect contacts, whose configuration is newer', () => {
    const rows = [
      row('p1', 'gitaly-1', 0.5, 0.5),
      row('p2', 'gitaly-1', 0.5, 0.5),
      row('p2', 'new-1', 0.5, 0.5),
    ];
    expect(healthOf(rows, 0).virtualStorages.get('default')?.knownStorages).toContain('new-1');
  });
});

test('each live Praefect has its own view of a storage, and a dead one has none', () => {
  const view = healthOf(
    [
      row('p1', 'gitaly-2', 0.5, 0.5),
      row('p2', 'gitaly-2', 0.5, 0.5),
      row('p3', 'gitaly-2', 0.5, 14),
      row('dead', 'gitaly-2', 61, 61),
    ],
    0,
  );
  expect(view.virtualStorages.get('default')?.storages.get('gitaly-2')).toMatchObject({
    healthy: true,
    seenHealthyBy: new Map([
      ['p1', true],
      ['p2', true],
      ['p3', false],
    ]),
    secondsSinceSeen: 0.5,
  });
});
