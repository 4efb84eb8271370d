/** The real program with a database that stops, returns, or does not exist: stale values never read as healthy. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadCapture, praefectCapture, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startExporter, until } from './exporter-process.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(async () => server?.stop());

const sentinel = 'sentinel-of-a-password';

async function createCapturedDatabase(): Promise<{ url: string }> {
  const capture = praefectCapture('19/healthy/during');
  const database = await server.createDatabase();
  const client = await database.client();
  await loadCapture(client, capture, 'now');
  await client.query(
    `CREATE ROLE exporter_${database.name} LOGIN PASSWORD '${sentinel}' IN ROLE pg_read_all_data`,
  );
  return {
    url: `postgres://exporter_${database.name}:${sentinel}@${server.host}:${server.port}/${database.name}?sslmode=disable`,
  };
}

/** The value of the series with this name and these labels. */
const value = (text: string, series: string): number | undefined => {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};

describe('a database that stops while the exporter runs', () => {
  test('is down on /metrics and on the page within one interval, and up again after its return', async () => {
    const { url } = await createCapturedDatabase();
    const exporter = await startExporter([], { GITALY_EXPORTER_PRAEFECT_DATABASE_URL: url });
    const metrics = async (): Promise<string> => (await exporter.get('/metrics')).text;
    try {
      await until(
        async () => ((await exporter.get('/-/ready')).status === 200 ? true : undefined),
        'readiness',
      );
      expect(value(await metrics(), 'praefect_db_up')).toBe(1);

      await server.shutdown();
      const down = await until(async () => {
        const text = await metrics();
        return value(text, 'praefect_db_up') === 0 ? text : undefined;
      }, 'praefect_db_up 0');
      expect(value(down, 'gitaly_exporter_collector_success{collector="praefect_database"}')).toBe(0);
      expect(value(down, 'gitaly_exporter_collector_success{collector="praefect_health"}')).toBe(0);
      const page = (await exporter.get('/')).text;
      expect(page).toContain('is unreachable');
      // The max age of health is 10 s: after that its series are absent.
      await until(async () => {
        const text = await metrics();
        return text.includes('praefect_db_storage_healthy{') ? undefined : true;
      }, 'the health series to be absent');
      expect((await exporter.get('/-/healthy')).status).toBe(200);

      await server.start();
      await until(async () => {
        const text = await metrics();
        return value(text, 'praefect_db_up') === 1 && text.includes('praefect_db_storage_healthy{')
          ? true
          : undefined;
      }, 'the database to be up again');
      const outputs = [
        exporter.output(),
        await metrics(),
        (await exporter.get('/')).text,
        (await exporter.get('/api/v1/status')).text,
      ];
      expect(outputs.join('\n')).not.toContain(sentinel);
    } finally {
      expect(await exporter.stop()).toBe(0);
    }
  }, 120_000);
});

describe('an exporter without a database', () => {
  test('keeps running and immediately reports a database that does not exist', async () => {
    const exporter = await startExporter([
      `--praefect.database.url=postgres://exporter@127.0.0.1:1/praefect?sslmode=disable`,
    ]);
    try {
      const text = await until(async () => {
        const { text } = await exporter.get('/metrics');
        return value(text, 'praefect_db_up') === 0 ? text : undefined;
      }, 'praefect_db_up 0');
      expect(
        value(
          text,
          'gitaly_exporter_collector_failures_total{collector="praefect_database",reason="refused"}',
        ),
      ).toBeGreaterThan(0);
      expect(text).not.toMatch(/^praefect_db_repositories/m);
    } finally {
      await exporter.stop();
    }
  });

  test('enables no collector without a configured database, and the page shows this', async () => {
    const exporter = await startExporter([]);
    try {
      const { text } = await exporter.get('/metrics');
      expect(value(text, 'gitaly_exporter_collector_enabled{collector="praefect_database"}')).toBe(0);
      expect(text).not.toMatch(/^praefect_db_/m);
      expect((await exporter.get('/')).text).toContain('is not monitored');
    } finally {
      await exporter.stop();
    }
  });
});
