/** The schema changes while we watch: an upgrade runs its migrations, a restore brings another form. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { praefectSchema, startPostgres, type TestPostgres } from '../../../support/postgres.ts';
import { openQuestions, type Questions } from './support.ts';

let server: TestPostgres;
let client: pg.Client;
let questions: Questions;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const database = await server.createDatabase(praefectSchema('14.9'));
  client = await database.client();
  questions = openQuestions(database.connection);
});
afterEach(() => Promise.all([questions.close(), client.end()]));

const become = (gitlab: string) =>
  client.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${praefectSchema(gitlab)}; RESET ALL`);
const variants = () =>
  questions.events.recent().map(({ kind, labels }) => `${kind} ${labels['from']} -> ${labels['to']}`);

test('what the new schema adds is answered after the next probe', async () => {
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'empty' });
  await client.query('CREATE TABLE repository_reference_write_locks (lock_id text, expired_at timestamptz)');
  await questions.run('praefect_database');
  expect(await questions.samples('praefect_write_locks')).toEqual({
    'praefect_db_reference_write_locks{state="held"}': 0,
    'praefect_db_reference_write_locks{state="expired"}': 0,
  });
  expect(variants()).toEqual(['schema_changed 14.6 -> 19.0']);
});

test('a question whose table is gone is asked again in the words of the schema that is there, within the same run', async () => {
  await become('19.0');
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'data' });
  await client.query('DROP TABLE repository_reference_write_locks');
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'empty' });
  expect(variants()).toEqual(['schema_changed 19.0 -> 15.0']);
});

test('and one whose column is gone, which no known form lacks, says so', async () => {
  expect(await questions.run('praefect_health')).toMatchObject({ kind: 'data' });
  await client.query('ALTER TABLE node_status DROP COLUMN last_seen_active_at CASCADE');
  expect(await questions.run('praefect_health')).toMatchObject({
    kind: 'failed',
    reason: 'unsupported_schema',
    message: expect.stringContaining('lacks node_status.last_seen_active_at'),
  });
});

test('every question goes on through an upgrade from 13.5 to 19.0', async () => {
  await become('13.5');
  expect(await questions.run('praefect_shard_primaries')).toMatchObject({ kind: 'data' });
  expect(await questions.run('praefect_queue')).toMatchObject({ kind: 'data' });
  await become('19.0');
  expect(await questions.run('praefect_queue')).toMatchObject({ kind: 'data' });
  expect(await questions.run('praefect_health')).toMatchObject({ kind: 'data' });
  await questions.run('praefect_database');
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'data' });
});

test('when the tables are gone altogether, each question says so, and goes on when they are back', async () => {
  await questions.samples('praefect_health');
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  expect(await questions.run('praefect_health')).toMatchObject({ kind: 'failed', reason: 'missing_schema' });
  expect(await questions.run('praefect_queue')).toMatchObject({ kind: 'failed', reason: 'missing_schema' });
  await client.query(`${praefectSchema('17.2')}; RESET ALL`);
  expect(await questions.run('praefect_health')).toMatchObject({ kind: 'data' });
  expect(await questions.run('praefect_queue')).toMatchObject({ kind: 'data' });
});

test('a table that a migration holds is waited for a second, and the failure says so', async () => {
  await questions.samples('praefect_health');
  await client.query('BEGIN; LOCK node_status');
  expect(await questions.run('praefect_health')).toMatchObject({
    kind: 'failed',
    reason: 'timeout',
    message: expect.stringContaining('node_status'),
  });
  await client.query('ROLLBACK');
  expect(await questions.run('praefect_health')).toMatchObject({ kind: 'data' });
  expect(questions.events.recent()).toEqual([]);
});
