/** A PostgreSQL that became a standby: Praefect does not report it, the exporter must. */
import { chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  loadCapture,
  praefectCapture,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { collectorNames, only, openCollectors } from './support.ts';

let server: TestPostgres;
let database: TestDatabase;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase();
  const capture = praefectCapture('19/healthy/before');
  await loadCapture(await database.client(), capture, 'now');
  await server.shutdown();
  const signal = join(server.folder, 'standby.signal');
  await writeFile(signal, '');
  const { uid, gid } = await stat(server.folder);
  await chown(signal, uid, gid);
  await server.start();
});
afterAll(() => server.stop());

test('on a standby every collector works, and the database is read-only until the standby is promoted', async () => {
  const collectors = openCollectors(database.connection);
  const samples = {};
  for (const name of collectorNames) Object.assign(samples, await collectors.samples(name));

  expect(samples).toMatchObject({
    praefect_db_up: 1,
    'praefect_db_read_only{reason="recovery"}': 1,
    'praefect_db_read_only{reason="setting"}': 0,
    'praefect_db_table_size_bytes{table="repositories"}': expect.any(Number),
    praefect_db_transactions_to_wraparound: expect.any(Number),
    praefect_db_replication_jobs_enqueued_total: expect.any(Number),
  });
  // A standby does not count rows: 0 would mean that the tables are empty.
  expect(only(samples, '_rows')).toEqual({});

  await (await server.client()).query('SELECT pg_promote()');
  expect(await collectors.samples('praefect_database')).toMatchObject({
    'praefect_db_read_only{reason="recovery"}': 0,
  });
  await collectors.close();
});
