/**
 * The package as another program uses it: built, in node_modules of an empty project, with only the packages
 * that it declares. Every example of docs/library.md is compiled there, and run.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { freePort } from '../../demo/address.ts';
import { praefectCapture, praefectSchema, startPostgres } from '../support/postgres.ts';

jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../..');
const modules = join(root, 'node_modules');
const description = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>;
  readonly dependencies: Record<string, string>;
  readonly peerDependencies: Record<string, string>;
  readonly peerDependenciesMeta: Record<string, { readonly optional: boolean }>;
};
const page = readFileSync(join(root, 'docs/library.md'), 'utf8');
/** By file name, which is the first line of each example. */
const examples = new Map(
  [...page.matchAll(/```(?:ts|js)\n\/\/ (\S+)\n([\s\S]*?)```/g)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
);

let scratch: string;
let project: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'gitaly-exporter-library-'));
  project = join(scratch, 'project');
  await installed(project, [...Object.keys(description.peerDependencies), 'express']);
  for (const [name, text] of examples) await writeFile(join(project, name), text);
  await writeFile(join(project, 'package.json'), '{"type": "module"}');
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: { module: 'nodenext', target: 'es2024', strict: true, noEmit: true, types: ['node'] },
      include: ['*.ts'],
    }),
  );
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(scratch, { recursive: true, force: true });
});

/**
 * Installs the package and its dependencies, with theirs, and `others`; and the types of a TypeScript project.
 */
async function installed(folder: string, others: readonly string[]): Promise<void> {
  const target = join(folder, 'node_modules/gitaly-exporter');
  await mkdir(target, { recursive: true });
  const built = spawnSync(
    join(modules, '.bin/tsc'),
    ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(target, 'dist')],
    {
      encoding: 'utf8',
    },
  );
  expect([built.status, built.stdout]).toEqual([0, '']);
  await cp(join(root, 'package.json'), join(target, 'package.json'));
  for (const file of globSync(['alerts/*.yaml', 'dashboards/*.json', 'alerts/runbooks/*.md'], {
    cwd: root,
  })) {
    await mkdir(dirname(join(target, file)), { recursive: true });
    await cp(join(root, file), join(target, file));
  }
  for (const name of [
    ...withTheirOwn([...Object.keys(description.dependencies), ...others]),
    '@types/node',
    '@types/express',
  ]) {
    const link = join(folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(modules, name), link);
  }
}

function withTheirOwn(names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (name: string): void => {
    const file = join(modules, name, 'package.json');
    if (found.has(name) || !existsSync(file)) return;
    found.add(name);
    const { dependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as {
      dependencies?: Record<string, string>;
    };
    for (const dependency of Object.keys(dependencies)) add(dependency);
  };
  for (const name of names) add(name);
  return found;
}

/** Waits until the program ends by itself; throws if it fails. */
function run(file: string, env: Record<string, string> = {}, folder = project): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  expect([file, status, stderr]).toEqual([file, 0, '']);
  return stdout;
}

test('every export exists, as a type and at run time', () => {
  const folder = join(project, 'node_modules/gitaly-exporter');
  const files = Object.values(description.exports).flatMap((target) =>
    typeof target === 'string' ? [target] : [target.types, target.default],
  );
  expect(files.filter((file) => globSync(file, { cwd: folder }).length === 0)).toEqual([]);
});

test('the examples compile, in a strict project that checks the declarations too', () => {
  const { status, stdout } = spawnSync(join(modules, '.bin/tsc'), ['-p', '.'], {
    cwd: project,
    encoding: 'utf8',
  });
  expect([status, stdout]).toEqual([0, '']);
  expect([...examples.keys()]).toEqual([
    'collector.ts',
    'praefect.ts',
    'express.ts',
    'dashboard.ts',
    'rules.ts',
    'files.js',
  ]);
});

describe('the example', () => {
  test('of a collector prints its metric and its success, and ends', () => {
    const text = run('collector.ts');
    expect(text).toContain('\nmy_mirror_lag_seconds{mirror="github"} 42\n');
    expect(text).toContain('gitaly_exporter_collector_success{collector="mirrors"} 1\n');
  });

  test("of Praefect's database prints the success of every collector, and ends", async () => {
    const server = await startPostgres();
    try {
      const { data, version } = praefectCapture('19/gitaly-down/down-later');
      const { client, connection, name } = await server.createDatabase(praefectSchema(version));
      await (await client()).query(data);
      const text = run('praefect.ts', {
        PGHOST: connection.host,
        PGPORT: String(connection.port),
        PGDATABASE: name,
        PGUSER: server.superuser.user,
        PGPASSWORD: server.superuser.password,
        PGSSLMODE: 'disable',
      });
      const success = [...text.matchAll(/^gitaly_exporter_collector_success\{collector="(\w+)"\} (\d)$/gm)];
      expect(success.length).toBeGreaterThan(5);
      expect(success.filter(([, , value]) => value !== '1').map(([, collector]) => collector)).toEqual([]);
      expect(text).toContain('\npraefect_db_up 1\n');
    } finally {
      await server.stop();
    }
  });

  test('in an express app responds in the negotiated format, and ends on SIGTERM', async () => {
    const port = await freePort();
    const child = spawn(process.execPath, ['express.ts'], { cwd: project, env: { PORT: String(port) } });
    children.push(child);
    await once(child.stdout, 'data');
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, {
      headers: { accept: 'application/openmetrics-text;version=1.0.0' },
    });
    expect(response.headers.get('content-type')).toContain('application/openmetrics-text');
    expect(await response.text()).toMatch(
      /gitaly_exporter_collector_success\{collector="cgroup"\} [01]\n[\s\S]*# EOF\n$/,
    );
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  test('of a dashboard prints its JSON', () => {
    expect(JSON.parse(run('dashboard.ts'))).toMatchObject({ uid: 'my-mirrors', title: 'Mirrors' });
  });

  test('of rules prints the critical ones with the other threshold', () => {
    const text = run('rules.ts');
    const rules = text
      .split(/^(?=# )/m)
      .flatMap(
        (file) =>
          (parse(file) as { groups?: { rules: { alert?: string; for?: string }[] }[] } | null)?.groups ?? [],
      );
    const found = rules
      .flatMap((group) => group.rules)
      .find(({ alert }) => alert === 'PraefectDatabaseUnreachable');
    expect(found?.for).toBe('6m15s');
    expect(text).toContain('https://grafana.corp.example/d/');
  });

  test('of the generated files reads them', () => {
    expect(run('files.js')).toMatch(/^gitaly-\S+ file:\/\/\S+\/alerts\/praefect\.rules\.yaml\n$/);
  });
});

test('rules, dashboards and your own collectors need no database driver and no native code', async () => {
  const bare = join(scratch, 'bare');
  await installed(bare, []);
  await writeFile(join(bare, 'package.json'), '{"type": "module"}');
  for (const name of ['collector.ts', 'rules.ts', 'dashboard.ts', 'files.js']) {
    await writeFile(join(bare, name), examples.get(name) ?? '');
    run(name, {}, bare);
  }
  const packages = withTheirOwn(Object.keys(description.dependencies));
  expect(packages.size).toBeLessThan(12);
  expect([...packages].flatMap((name) => globSync('**/*.node', { cwd: join(modules, name) }))).toEqual([]);
  for (const name of Object.keys(description.peerDependencies)) {
    expect([...packages]).not.toContain(name);
    expect(description.peerDependenciesMeta[name]?.optional).toBe(true);
  }
});
