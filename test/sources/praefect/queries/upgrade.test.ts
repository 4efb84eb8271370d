/** The schema changes while the exporter runs: an upgrade runs its migrations, or a restore brings another variant. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { type OpenedCollectors, openCollectors } from './support.ts';

let server: TestPostgres;
let client: pg.Client;
let collectors: OpenedCollectors;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const database = await server.createDatabase(`${praefectSchema('14.9')}; ${heartbeat}`);
  client = await database.client();
  collectors = openCollectors(database.connection);
});
afterEach(() => Promise.all([collectors.close(), client.end()]));

/** Without a row the health of storages is unknown, which is a failure. */
const heartbeat = `INSERT INTO public.node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
  VALUES ('praefect-1', 'default', 'gitaly-1', pg_catalog.now(), pg_catalog.now())`;
const createSchema = (gitlab: string) => client.query(`${praefectSchema(gitlab)}; ${heartbeat}; RESET ALL`);
async function replaceSchema(gitlab: string): Promise<void> {
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  await createSchema(gitlab);
}
const variants = () =>
  collectors.events.recent().map(({ kind, labels }) => `${kind} ${labels['from']} -> ${labels['to']}`);

test('a table that the new schema adds is read after the next probe', async () => {
  expect(await collectors.run('praefect_write_locks')).toMatchObject({ kind: 'empty' });
  await client.query('CREATE TABLE repository_reference_write_locks (lock_id text, expired_at timestamptz)');
  await collectors.run('praefect_database');
  expect(await collectors.samples('praefect_write_locks')).toEqual({
    'praefect_db_reference_write_locks{state="held"}': 0,
    'praefect_db_reference_write_locks{state="expired"}': 0,
  });
  expect(variants()).toEqual(['schema_changed 14.6 -> 19.0']);
});

test('a query whose table was dropped is repeated for the current schema within the same run', async () => {
  await replaceSchema('19.0');
  expect(await collectors.run('praefect_write_locks')).toMatchObject({ kind: 'data' });
  await client.query('DROP TABLE repository_reference_write_locks');
  expect(await collectors.run('praefect_write_locks')).toMatchObject({ kind: 'empty' });
  expect(variants()).toEqual(['schema_changed 19.0 -> 15.0']);
});

test('a query whose column was dropped fails and names it if every known variant has it', async () => {
  expect(await collectors.run('praefect_health')).toMatchObject({ kind: 'data' });
  await client.query('ALTER TABLE node_status DROP COLUMN last_seen_active_at CASCADE');
  expect(await collectors.run('praefect_health')).toMatchObject({
    kind: 'failed',
    reason: 'unsupported_schema',
    message: expect.stringContaining('lacks node_status.last_seen_active_at'),
  });
});

test('every collector works through an upgrade from 13.5 to 19.0', async () => {
  await replaceSchema('13.5');
  expect(await collectors.run('praefect_shard_primaries')).toMatchObject({ kind: 'data' });
  expect(await collectors.run('praefect_queue')).toMatchObject({ kind: 'data' });
  await replaceSchema('19.0');
  expect(await collectors.run('praefect_queue')).toMatchObject({ kind: 'data' });
  expect(await collectors.run('praefect_health')).toMatchObject({ kind: 'data' });
  await collectors.run('praefect_database');
  expect(await collectors.run('praefect_write_locks')).toMatchObject({ kind: 'data' });
});

test('every collector fails while all tables are missing, and recovers when they are back', async () => {
  await collectors.samples('praefect_health');
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  expect(await collectors.run('praefect_health')).toMatchObject({ kind: 'failed', reason: 'missing_schema' });
  expect(await collectors.run('praefect_queue')).toMatchObject({ kind: 'failed', reason: 'missing_schema' });
  await createSchema('17.2');
  expect(await collectors.run('praefect_health')).toMatchObject({ kind: 'data' });
  expect(await collectors.run('praefect_queue')).toMatchObject({ kind: 'data' });
});

test('a table that a migration has locked fails the query after a second, with its name', async () => {
  await collectors.samples('praefect_health');
  await client.query('BEGIN; LOCK node_status');
  expect(await collectors.run('praefect_health')).toMatchObject({
    kind: 'failed',
    reason: 'timeout',
    message: expect.stringContaining('node_status'),
  });
  await client.query('ROLLBACK');
  expect(await collectors.run('praefect_health')).toMatchObject({ kind: 'data' });
  expect(collectors.events.recent()).toEqual([]);
});
