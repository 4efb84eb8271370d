import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import {
  loadCapture,
  praefectCapture,
  praefectSchema,
  startPostgres,
  type TestPostgres,
} from './postgres.ts';

const here = dirname(fileURLToPath(import.meta.url));

async function until(condition: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server?.stop());

  test('has the requested version', async () => {
    const client = await server.client();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    expect(rows[0]?.server_version).toMatch(new RegExp(`^${version}\\.`));
  });

  test.each(['12.9', '13.3', '14.5', '19.0'])('accepts the schema of GitLab %s', async (schema) => {
    const { client } = await server.createDatabase(praefectSchema(schema));
    const { rows } = await (await client()).query('SELECT * FROM schema_migrations');
    expect(rows).toEqual([]);
  });

  test.each(['13.5/05-failed-over', '14.9/06-failed-over', '19/gitaly-down/down-later'])(
    'loads the captured database %s with its times moved to now',
    async (name) => {
      const capture = praefectCapture(name);
      const client = await (await server.createDatabase()).client();
      await loadCapture(client, capture, 'now');
      const { rows } = await client.query<{ health: number; nodes: string }>(
        `SELECT extract(epoch FROM now() - max(last_contact_attempt_at))::float8 AS health, count(*) AS nodes
         FROM node_status`,
      );
      expect(Math.abs(rows[0]!.health)).toBeLessThan(5);
      expect(Number(rows[0]!.nodes)).toBeGreaterThan(0);
      const original = await (await server.createDatabase()).client();
      await loadCapture(original, capture);
      const age = await original.query<{ s: number }>(
        'SELECT extract(epoch FROM max(last_contact_attempt_at))::float8 AS s FROM node_status',
      );
      expect(Math.abs(age.rows[0]!.s - capture.takenAt.getTime() / 1000)).toBeLessThan(5);
    },
  );

  test('does not respond while paused, and continues afterwards', async () => {
    const client = await server.client();
    let responded = false;
    server.pause();
    const response = client.query('SELECT 1').then(() => {
      responded = true;
    });
    const connecting = new pg.Client({ ...server.superuser, host: server.host, port: server.port });
    connecting.on('error', () => undefined);
    const timedOut = expect(
      Promise.race([connecting.connect(), new Promise((_, no) => setTimeout(() => no('silence'), 300))]),
    ).rejects.toBe('silence');
    await timedOut;
    expect(responded).toBe(false);
    server.resume();
    await response;
    await connecting.end();
  });

  test('becomes a standby', async () => {
    const other = await startPostgres({ version });
    await other.becomeStandby();
    const { rows } = await (await other.client()).query('SELECT pg_is_in_recovery() AS standby');
    await other.stop();
    expect(rows).toEqual([{ standby: true }]);
  });

  test('has its data after a kill and a start', async () => {
    const { client } = await server.createDatabase('CREATE TABLE kept AS SELECT 7 AS n');
    await server.kill();
    await server.start();
    expect((await (await client()).query('SELECT n FROM kept')).rows).toEqual([{ n: 7 }]);
  });
});

test('a server whose process was killed with SIGKILL is cleaned up', async () => {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--disable-warning=ExperimentalWarning',
      '--eval',
      `import { startPostgres } from './postgres.ts';
       const server = await startPostgres();
       console.log(JSON.stringify([server.port, server.folder]));
       setInterval(() => {}, 1000);`,
    ],
    { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const [port, folder] = JSON.parse(String(line)) as [number, string];
  child.kill('SIGKILL');
  await until(() => !existsSync(folder));
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres' });
  await expect(client.connect()).rejects.toThrow('ECONNREFUSED');
});
