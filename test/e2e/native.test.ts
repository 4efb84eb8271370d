/** The real program, told of a Praefect's own /db_metrics: both answers are on /metrics, and a difference that lasts is said. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { loadDump, praefectCapture, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startExporter, until } from './exporter-process.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

test('what Praefect says of unavailable repositories stands beside our own answer', async () => {
  const capture = praefectCapture('19/unavailable/unavailable');
  const database = await server.createDatabase();
  const client = await database.client();
  await loadDump(client, capture.schemaFile, capture.dataFile, 'now');
  const praefect = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/plain; version=0.0.4');
    response.end(readFileSync(capture.page('praefect-1.db_metrics.txt')));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => praefect.once('listening', resolve));
  const { user, password } = server.superuser;
  const exporter = await startExporter([
    `--praefect.database.url=postgres://${user}:${password}@${server.host}:${server.port}/${database.name}?sslmode=disable`,
    `--praefect.db-metrics-target=http://127.0.0.1:${(praefect.address() as AddressInfo).port}`,
  ]);
  try {
    const text = await until(async () => {
      const page = (await exporter.get('/metrics')).text;
      return page.includes('praefect_native_repositories_unavailable{') &&
        page.includes('praefect_db_repositories_unavailable{')
        ? page
        : undefined;
    }, 'both answers');
    const values = (name: string) =>
      [...text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\d+)$`, 'gm'))].map(
        ([, labels, value]) => `${labels} ${value}`,
      );
    expect(values('praefect_native_repositories_unavailable')).toEqual(
      values('praefect_db_repositories_unavailable'),
    );
    expect(values('praefect_native_repositories_unavailable')).toEqual([
      'virtual_storage="default" 30',
      'virtual_storage="other" 3',
    ]);
  } finally {
    await exporter.stop();
    praefect.close();
  }
});
