/** The driver reads environment variables where an option is empty; only the configuration may have an effect. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { failureIn, open, valueIn, within } from './support.ts';

let server: TestPostgres;
let place: TestDatabase;
beforeAll(async () => {
  server = await startPostgres();
  place = await server.createDatabase();
});
afterAll(() => server?.stop());

const before = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
});

test('a connection ignores all PG variables, and does not change them', async () => {
  Object.assign(process.env, {
    PGHOST: 'other.invalid',
    PGPORT: '1',
    PGUSER: 'other',
    PGDATABASE: 'nonesuch',
    PGAPPNAME: 'another',
    PGOPTIONS: '-c statement_timeout=1ms',
    PGSSLMODE: 'verify-full',
    PGSSLNEGOTIATION: 'direct',
    PGREPLICATION: 'database',
    PGCLIENT_ENCODING: 'LATIN1',
  });
  const database = open(place.connection);
  const [row] = valueIn(
    await database.query(
      `SELECT current_user::text AS "user", current_setting('application_name') AS name,
              current_setting('client_encoding') AS encoding, 'ä' AS letter`,
      within(5000),
    ),
  );
  await database.close();
  expect(process.env).toMatchObject({ PGOPTIONS: '-c statement_timeout=1ms', PGREPLICATION: 'database' });
  expect(row).toEqual({ user: 'postgres', name: 'gitaly-exporter', encoding: 'UTF8', letter: 'ä' });
});

test('PGPASSWORD does not replace a missing password', async () => {
  process.env['PGPASSWORD'] = server.superuser.password;
  const database = open({ ...place.connection, password: async () => undefined });
  const failure = failureIn(await database.query('SELECT 1', within(5000)));
  await database.close();
  expect(failure).toMatchObject({
    reason: 'authentication',
    message: expect.stringContaining('none is configured'),
  });
});
