/** The schema changes while we watch: an upgrade runs its migrations, a restore brings another form. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { praefectSchema, startPostgres, type TestPostgres } from '../../support/postgres.ts';
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
  expect(await questions.run('praefect_verification')).toMatchObject({ kind: 'empty' });
  await client.query(`
    ALTER TABLE storage_repositories ADD COLUMN verified_at timestamptz, ADD COLUMN verification_leased_until timestamptz;
    INSERT INTO repositories (virtual_storage, relative_path) VALUES ('default', 'a.git');
    INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
    SELECT 'default', 'a.git', 'gitaly-1', 0, repository_id FROM repositories`);
  await questions.run('praefect_database');
  expect(await questions.samples('praefect_verification')).toMatchObject({
    'praefect_db_verification_replicas{virtual_storage="default",storage="gitaly-1",state="unverified"}': 1,
  });
  expect(variants()).toEqual(['schema_changed 14.6 -> 14.10']);
});

test('a question whose table is gone is asked again in the words of the schema that is there, within the same run', async () => {
  await become('19.0');
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'data' });
  await client.query('DROP TABLE repository_reference_write_locks');
  expect(await questions.run('praefect_write_locks')).toMatchObject({ kind: 'empty' });
  expect(variants()).toEqual(['schema_changed 19.0 -> 15.0']);
});

test('and one whose column is gone', async () => {
  await become('19.0');
  expect(await questions.run('praefect_verification')).toMatchObject({ kind: 'data' });
  await client.query('ALTER TABLE storage_repositories DROP COLUMN verified_at');
  expect(await questions.run('praefect_verification')).toMatchObject({ kind: 'empty' });
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
