/** The bundle, staged as in the image and the packages, runs with only its own folder: without node_modules. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { makeCertificates } from '../server/support/certificates.ts';

jest.setTimeout(60_000);

const root = join(import.meta.dirname, '../..');
const exec = promisify(execFile);
const children: ChildProcess[] = [];
let folder: string;
let program: string;

/** Without variables of the tests: NODE_PATH and the like would give access to their packages. */
const options = { cwd: '/', env: { PATH: '/usr/bin:/bin' } };

const run = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  try {
    const { stdout, stderr } = await exec(process.execPath, [program, ...args], options);
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
};

/** Starts `serve` on a free port; resolves with its address when it listens. */
async function serve(...args: string[]): Promise<{ url: string; output: () => string }> {
  const child = spawn(
    process.execPath,
    [program, 'serve', '--web.listen-address=127.0.0.1:0', '--log.format=logfmt', ...args],
    { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  children.push(child);
  let output = '';
  for await (const chunk of child.stderr ?? []) {
    output += String(chunk);
    const url = /msg=listening url=(https?:\S+?)\/?\s/.exec(output)?.[1];
    if (url === undefined) continue;
    child.stderr?.on('data', (more) => {
      output += String(more);
    });
    return { url, output: () => output };
  }
  throw new Error(`the exporter ended:\n${output}`);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-installation-'));
  await exec(process.execPath, ['release/bundle.ts'], { cwd: root });
  await exec(process.execPath, ['release/stage.ts', join(folder, 'staged')], { cwd: root });
  await cp(join(folder, 'staged'), join(folder, 'installed'), { recursive: true });
  program = join(folder, 'installed/bin/gitaly-exporter.js');
}, 120_000);

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.kill()) await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

describe('the installed program', () => {
  test('has the version of package.json', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await run('--version')).toMatchObject({
      code: 0,
      out: `gitaly-exporter ${version} (node ${process.version})\n`,
    });
  });

  test('serves metrics and the page, and the health check succeeds', async () => {
    const { url } = await serve();
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('gitaly_exporter_collector_success{collector="maintenance"} 1');
    expect(await (await fetch(url)).text()).toContain('<title>');
    expect(await run('healthcheck', `--web.listen-address=${new URL(url).host}`)).toMatchObject({
      code: 0,
      err: '',
    });
  });

  test('checks passwords with the native code of bcrypt', async () => {
    const file = join(folder, 'web.yml');
    await writeFile(file, `basic_auth_users:\n  prometheus: ${bcrypt.hashSync('right', 4)}\n`);
    const { url } = await serve(`--web.config.file=${file}`);
    const get = (password: string) =>
      fetch(`${url}/metrics`, { headers: { authorization: `Basic ${btoa(`prometheus:${password}`)}` } });
    expect([(await get('right')).status, (await get('wrong')).status]).toEqual([200, 401]);
  });

  test('serves TLS, and the health check succeeds over TLS', async () => {
    const certificates = makeCertificates();
    const file = join(certificates.folder, 'web.yml');
    await writeFile(file, 'tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n');
    const { url } = await serve(`--web.config.file=${file}`);
    const { host } = new URL(url);
    const args = [`--web.config.file=${file}`, `--web.listen-address=${host}`];
    expect(await run('healthcheck', ...args)).toMatchObject({
      code: 0,
      out: `https://${host}/-/healthy is healthy\n`,
    });
    certificates.remove();
  });

  test('loads the Kubernetes client where it is configured', async () => {
    const file = join(folder, 'kubeconfig');
    await writeFile(
      file,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:9' } }],
        users: [{ name: 'u', user: {} }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    const { err, out } = await run(
      'doctor',
      '--kubernetes.enabled',
      `--kubernetes.kubeconfig=${file}`,
      '--kubernetes.role=cluster',
    );
    expect(`${out}${err}`).toContain('refused the connection');
    expect(`${out}${err}`).not.toMatch(/Cannot find|is not defined/);
  });

  test('generates the dashboards, rules and reference of the repository, wherever a package keeps deploy', async () => {
    const out = join(folder, 'generated');
    // The deb and rpm packages have it with the documentation.
    await rename(join(folder, 'installed/deploy'), join(folder, 'deploy'));
    try {
      for (const only of [[], ['docs']])
        expect(await run('generate', ...only, `--output-dir=${out}`)).toMatchObject({ code: 0 });
    } finally {
      await rename(join(folder, 'deploy'), join(folder, 'installed/deploy'));
    }
    for (const file of ['dashboards/overview.json', 'alerts/praefect.rules.yaml', 'docs/metrics.md'])
      expect(await readFile(join(out, file), 'utf8')).toBe(await readFile(join(root, file), 'utf8'));
  });

  test('completes commands', async () => {
    expect(await run('complete', '--', 'hea')).toMatchObject({
      code: 0,
      out: expect.stringContaining('healthcheck'),
    });
  });
});

describe("the bundle's folder", () => {
  test('contains the files that messages refer to, the licenses, and the list of its components', async () => {
    const files = await readdir(join(folder, 'installed'), { recursive: true });
    expect(files).toEqual(
      expect.arrayContaining([
        'docs/limits.md',
        'docs/configuration.md',
        'deploy/sql/role.sql',
        'alerts/runbooks/GitalyDown.md',
        'LICENSE',
      ]),
    );
    const sbom = JSON.parse(await readFile(join(folder, 'installed/sbom.cdx.json'), 'utf8')) as {
      components: { name: string }[];
    };
    const licenses = await readFile(join(folder, 'installed/THIRD-PARTY-LICENSES.txt'), 'utf8');
    for (const name of ['pg', 'express', '@kubernetes/client-node', 'bcrypt']) {
      expect(sbom.components.map((component) => component.name)).toContain(name);
      expect(licenses).toContain(`\n${name} `);
    }
    expect(files.filter((file) => file.includes('node_modules') || file.endsWith('.ts'))).toEqual([]);
  });

  test('has no file that only its owner may read', async () => {
    const entries = await readdir(join(folder, 'staged'), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      expect(mode & (entry.isDirectory() ? 0o555 : 0o444)).toBe(entry.isDirectory() ? 0o555 : 0o444);
    }
  });
});
