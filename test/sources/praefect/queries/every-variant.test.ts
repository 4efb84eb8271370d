import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { Outcome } from '../../../../src/scheduler/outcome.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import {
  blockOf,
  type CollectorName,
  collectorNames,
  type OpenedCollectors,
  openCollectors,
  samplesIn,
  schemaVersions,
} from './support.ts';

/** Two Praefects, two storages, and one row of everything that all variants have. */
const rows = `
  INSERT INTO public.schema_migrations (id, applied_at) VALUES ('20200109161404_hello_world', now());
  INSERT INTO public.node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
  SELECT praefect, 'default', storage, now(), now()
    FROM unnest(ARRAY['p1', 'p2']) AS praefect, unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage;
  INSERT INTO public.shard_primaries (shard_name, node_name, elected_by_praefect, elected_at) VALUES ('default', 'gitaly-1', 'p1', now());
  INSERT INTO public.repositories (virtual_storage, relative_path, generation) VALUES ('default', 'a.git', 1);
  INSERT INTO public.replication_queue (state, job) VALUES
    ('ready', '{"change": "update", "virtual_storage": "default", "target_node_storage": "gitaly-2", "relative_path": "a.git"}'),
    ('dead', '{"change": "delete_replica", "virtual_storage": "default", "target_node_storage": "gitaly-2", "relative_path": "a.git"}')`;

const expectedKind = (name: CollectorName, version: string): Outcome['kind'] =>
  name === 'praefect_write_locks' && version !== '19.0' ? 'empty' : 'data';

describe.each([15, 18] as const)('on PostgreSQL %i', (postgres) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let client: pg.Client;
  let collectors: OpenedCollectors;
  beforeAll(async () => {
    server = await startPostgres({ version: postgres });
    database = await server.createDatabase();
    client = await database.client();
    collectors = openCollectors(database.connection);
  });
  afterAll(async () => {
    await collectors.close();
    await server.stop();
  });

  test.each(schemaVersions)('every collector works on the schema of GitLab %s', async (gitlab) => {
    // The collectors are kept: each schema replaces the previous one, as in an upgrade.
    await client.query(
      `DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${praefectSchema(gitlab)}; RESET ALL; SET session_replication_role = replica; ${rows}; RESET ALL`,
    );
    const outcomes = new Map<CollectorName, Outcome>();
    for (const name of collectorNames) outcomes.set(name, await collectors.run(name));

    expect(Object.fromEntries([...outcomes].map(([name, { kind }]) => [name, kind]))).toEqual(
      Object.fromEntries(collectorNames.map((name) => [name, expectedKind(name, gitlab)])),
    );
    const samples = Object.assign({}, ...[...outcomes.values()].map((each) => samplesIn(blockOf(each))));
    expect(samples).toMatchObject({
      praefect_db_up: 1,
      praefect_db_tls: 0,
      praefect_db_migrations_applied: 1,
      praefect_db_migrations_unknown: 0,
      'praefect_db_storage_healthy{virtual_storage="default",storage="gitaly-1"}': 1,
      'praefect_db_replication_jobs{virtual_storage="default",storage="gitaly-2",state="ready",change="update"}': 1,
      'praefect_db_replication_jobs{virtual_storage="default",storage="gitaly-2",state="dead",change="delete_replica"}': 1,
      'praefect_db_replication_jobs{virtual_storage="default",storage="gitaly-1",state="failed",change="update"}': 0,
      praefect_db_replication_jobs_enqueued_total: 2,
      'praefect_db_shard_primary{virtual_storage="default",storage="gitaly-1"}': 1,
      'praefect_db_shard_primary{virtual_storage="default",storage="gitaly-2"}': 0,
      'praefect_db_table_live_rows{table="replication_queue"}': expect.any(Number),
    });
    expect(Object.keys(samples).filter((series) => series.startsWith('praefect_db_info'))).toHaveLength(1);
  });
});
