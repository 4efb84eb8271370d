/** Paths and replicas in every variant of the schema, on real databases. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import { createDatabase } from '../../../../src/sources/praefect/connection/create-database.ts';
import type { Database } from '../../../../src/sources/praefect/database.ts';
import {
  contactedStorages,
  type Replica,
  replicasOf,
  scanReplicas,
} from '../../../../src/sources/praefect/queries/replica-paths.ts';
import { createVariantSource, type QueryContext } from '../../../../src/sources/praefect/query.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { schemaVersions } from './support.ts';

const limits = { signal: new AbortController().signal, statementTimeoutMs: 10_000 };

let server: TestPostgres;
let testDatabase: TestDatabase;
let client: pg.Client;
let database: Database;
let context: QueryContext;

beforeAll(async () => {
  server = await startPostgres();
  testDatabase = await server.createDatabase();
  client = await testDatabase.client();
  database = createDatabase({
    connection: testDatabase.connection,
    clock: systemClock,
    budget: createBudget(1, systemClock),
  });
  context = { database, variants: createVariantSource(database, createEventLog(systemClock)) };
});
afterAll(async () => {
  await database.close();
  await server.stop();
});

const replacedBy = (gitlab: string, rows: string) =>
  client.query(
    `DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${praefectSchema(gitlab)}; RESET ALL;
     SET session_replication_role = replica; ${rows}; RESET ALL`,
  );

const columns = async (table: string): Promise<readonly string[]> => {
  const { rows } = await client.query(
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1",
    [table],
  );
  return rows.map((row) => String(row.column_name));
};

/** 25 repositories in two virtual storages; the last one of `default` has no replica on gitaly-2. */
async function fill(): Promise<{ readonly hasReplicaPath: boolean }> {
  const hasReplicaPath = (await columns('repositories')).includes('replica_path');
  const hasId = (await columns('storage_repositories')).includes('repository_id');
  await client.query(`
    SET session_replication_role = replica;
    INSERT INTO public.repositories (virtual_storage, relative_path, generation ${hasReplicaPath ? ', replica_path' : ''})
    SELECT CASE WHEN n <= 20 THEN 'default' ELSE 'other' END, 'grüppe/' || n || '.git', n
           ${hasReplicaPath ? ", CASE WHEN n = 7 THEN NULL ELSE '@cluster/repositories/' || n END" : ''}
      FROM generate_series(1, 25) AS n;
    INSERT INTO public.storage_repositories (virtual_storage, relative_path, storage, generation ${hasId ? ', repository_id' : ''})
    SELECT virtual_storage, relative_path, storage, generation ${hasId ? ', repository_id' : ''}
      FROM public.repositories, unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage
     WHERE (relative_path, storage) <> ('grüppe/20.git', 'gitaly-2');
    RESET ALL`);
  return { hasReplicaPath };
}

describe.each(schemaVersions)('on the schema of GitLab %s', (gitlab) => {
  let onDisk: (number: number) => string;
  beforeAll(async () => {
    await replacedBy(gitlab, 'SELECT 1');
    const { hasReplicaPath } = await fill();
    onDisk = (number) =>
      hasReplicaPath && number !== 7 ? `@cluster/repositories/${number}` : `grüppe/${number}.git`;
  });

  test('a repository is found by its relative path, with its replica path', async () => {
    expect(await replicasOf(context, limits, 'grüppe/3.git')).toMatchObject({
      ok: true,
      value: ['gitaly-1', 'gitaly-2'].map((storage) => ({
        virtualStorage: 'default',
        relativePath: 'grüppe/3.git',
        replicaPath: onDisk(3),
        storage,
        generation: 3,
      })),
    });
  });

  test('a repository is found by its replica path', async () => {
    expect(await replicasOf(context, limits, onDisk(3))).toMatchObject({
      value: [{ relativePath: 'grüppe/3.git' }, { relativePath: 'grüppe/3.git' }],
    });
  });

  test.each([4, 25, 1000])('pages of %i repositories give each matching replica once', async (pageRows) => {
    const found: Replica[] = [];
    const seen: string[] = [];
    const scan = await scanReplicas(context, limits, {
      pageRows,
      wanted: new Map<string, (path: Uint8Array) => boolean>([
        ['gitaly-1', (path) => seen.push(Buffer.from(path).toString()) > 0],
        ['gitaly-2', (path) => Buffer.from(path).toString() === onDisk(9)],
        ['gitaly-3', () => true],
      ]),
      onReplica: (replica) => found.push(replica),
    });

    expect(scan).toMatchObject({ ok: true, value: 25 });
    expect([...seen].sort()).toEqual(Array.from({ length: 25 }, (_, at) => onDisk(at + 1)).sort());
    const on = (storage: string) => found.filter((replica) => replica.storage === storage);
    expect(
      on('gitaly-1')
        .map(({ generation }) => generation)
        .sort((a, b) => a - b),
    ).toEqual(Array.from({ length: 25 }, (_, at) => at + 1));
    expect(on('gitaly-2')).toEqual([
      {
        virtualStorage: 'default',
        relativePath: 'grüppe/9.git',
        replicaPath: onDisk(9),
        storage: 'gitaly-2',
        generation: 9,
      },
    ]);
    expect(on('gitaly-3')).toEqual([]);
  });
});

describe('on the newest schema', () => {
  beforeAll(async () => {
    await replacedBy('19.0', 'SELECT 1');
    await fill();
  });

  test('a storage without the repository is not listed', async () => {
    const found: Replica[] = [];
    await scanReplicas(context, limits, {
      wanted: new Map([['gitaly-2', () => true]]),
      onReplica: (replica) => found.push(replica),
    });
    expect(found).toHaveLength(24);
    expect(found.map(({ relativePath }) => relativePath)).not.toContain('grüppe/20.git');
  });

  test.each(["'; DROP TABLE repositories; --", '\\', "a'b.git", '🦊'])(
    'a path is never parsed as SQL: %p',
    async (path) => {
      expect(await replicasOf(context, limits, path)).toMatchObject({ ok: true, value: [] });
    },
  );

  test('storages are those with recent heartbeats', async () => {
    await client.query(`
      INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at)
      VALUES ('p1', 'default', 'gitaly-2', now()), ('p2', 'default', 'gitaly-2', now()),
             ('p1', 'default', 'gitaly-1', now()), ('p1', 'default', 'gone', now() - interval '2 days')`);
    expect(await contactedStorages(context, limits)).toMatchObject({ value: ['gitaly-1', 'gitaly-2'] });
  });

  test('an unreadable table fails with a message', async () => {
    await client.query("CREATE ROLE stranger LOGIN PASSWORD 'x'");
    const restricted = createDatabase({
      connection: { ...testDatabase.connection, user: 'stranger', password: async () => undefined },
      clock: systemClock,
      budget: createBudget(1, systemClock),
    });
    const scan = await scanReplicas(
      { database: restricted, variants: createVariantSource(restricted, createEventLog(systemClock)) },
      limits,
      { wanted: new Map(), onReplica: () => undefined },
    );
    await restricted.close();
    expect(scan).toMatchObject({ ok: false, failure: { message: expect.stringContaining('password') } });
  });

  test('a schema that changes between two pages fails, without a partial result', async () => {
    let pages = 0;
    const scan = await scanReplicas(
      {
        ...context,
        database: {
          ...database,
          async transaction(options, body) {
            pages += 1;
            if (pages === 2) {
              await replacedBy('13.5', 'SELECT 1');
              await fill();
            }
            return database.transaction(options, body);
          },
        },
      },
      limits,
      { pageRows: 10, wanted: new Map([['gitaly-1', () => true]]), onReplica: () => undefined },
    );
    expect(scan).toMatchObject({ ok: false, failure: { message: expect.stringContaining('try again') } });
  });
});
