/**
 * The program with cgroups that are unreadable or empty, and with paths that are not regular files: none of
 * these reads as healthy.
 */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createWrittenTree, populated, type WrittenTree } from '../sources/cgroup/written-tree.ts';
import { type ExporterProcess, startExporter } from './exporter-process.ts';
import { isReady, type Scrape, scrape, success } from './servers.ts';

const unprivilegedUser = 65534;
const program = join(import.meta.dirname, '..', '..', 'bin', 'gitaly-exporter.ts');

let tree: WrittenTree;
let folder = '';
let exporter: ExporterProcess | undefined;

beforeEach(() => {
  tree = createWrittenTree();
  chmodSync(tree.root, 0o755);
  folder = mkdtempSync(join(tmpdir(), 'unseen-e2e-'));
  chmodSync(folder, 0o755);
});

afterEach(async () => {
  await exporter?.stop();
  exporter = undefined;
  tree.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function start(...args: readonly string[]): Promise<ExporterProcess> {
  exporter = await startExporter(
    ['--cgroup.enabled', `--cgroup.root=${tree.root}`, ...args],
    {},
    unprivilegedUser,
  );
  await isReady(exporter);
  return exporter;
}

const failures = (found: Scrape, reason: string): number | undefined =>
  found.value('gitaly_exporter_collector_failures_total', { collector: 'cgroup', reason });

/** The output of doctor, regardless of its exit code. */
async function doctor(...args: readonly string[]): Promise<string> {
  const run = promisify(execFile)(
    process.execPath,
    [program, 'doctor', '--cgroup.enabled', `--cgroup.root=${tree.root}`, ...args],
    process.geteuid?.() === 0 ? { uid: unprivilegedUser, gid: unprivilegedUser } : {},
  );
  const { stdout } = await run.catch((error: { stdout: string }) => error);
  return stdout.replaceAll(/\s+/g, ' ');
}

describe("a directory of the Linux package's Gitaly that only its user may enter", () => {
  beforeEach(() => {
    tree.make('gitlab.slice/gitaly/gitaly-77/repos-0');
    chmodSync(join(tree.root, 'gitlab.slice/gitaly'), 0o700);
    if (process.geteuid?.() === 0) chownSync(join(tree.root, 'gitlab.slice/gitaly'), 998, 998);
  });

  test('is reported as a failure with its path on /metrics, on the page and in the API', async () => {
    const running = await start();
    const found = await scrape(running);
    expect([success(found, 'cgroup'), success(found, 'cgroup_buckets')]).toEqual([0, 0]);
    expect(failures(found, 'permission')).toBeGreaterThan(0);
    const { text } = await running.get('/api/v1/status');
    expect(text).toContain('this user may not read /gitlab.slice/gitaly: grant');
    const page = await running.get('/');
    expect(page.text).not.toContain('No problems detected');
    expect(page.text).not.toContain('No Gitaly found on this host');
  });

  test('is reported as a failure with its path by doctor', async () => {
    expect(await doctor()).toContain('/gitlab.slice/gitaly: grant read and search permission');
  });
});

test('a host on which no Gitaly is found has an unknown status, and not no problems', async () => {
  const running = await start();
  expect(success(await scrape(running), 'cgroup')).toBe(1);
  const { text } = await running.get('/api/v1/status');
  expect(JSON.parse(text)).toMatchObject({ verdict: 'unknown', headline: 'Nothing to monitor was found' });
  expect((await running.get('/')).text).not.toContain('No problems detected');
});

/** The capability that the optional part of the systemd unit grants. */
(process.geteuid?.() === 0 ? test : test.skip)(
  'the same directory is read with CAP_DAC_READ_SEARCH',
  async () => {
    tree.make('gitlab.slice/gitaly/gitaly-77/repos-0');
    chmodSync(join(tree.root, 'gitlab.slice/gitaly'), 0o700);
    const asService = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const capability = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    const run = promisify(execFile)('setpriv', [
      ...asService,
      ...capability,
      process.execPath,
      program,
      'doctor',
      '--cgroup.enabled',
      `--cgroup.root=${tree.root}`,
      '--only=cgroup_gitalys',
    ]);
    const { stdout } = await run.catch((error: { stdout: string }) => error);
    expect(stdout).toContain('gitaly-77');
    expect(stdout).not.toContain('may not read');
  },
);

test('a pod whose containers are outside its slice has no series, and the collector fails', async () => {
  const uid = '3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69';
  const id = 'e7d5c3b1a9f80716253443526170f9e8d7c6b5a4938271605f4e3d2c1b0a9988';
  const name = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
  for (const path of ['kubepods.slice', 'kubepods.slice/kubepods-burstable.slice', 'system.slice'])
    tree.make(path);
  tree.make(`kubepods.slice/kubepods-burstable.slice/${name}`, { 'cgroup.events': populated(false) });
  tree.make(`system.slice/${name}:cri-containerd:${id}`);
  const pods = join(folder, 'pods.json');
  writeFileSync(
    pods,
    JSON.stringify({
      kind: 'PodList',
      apiVersion: 'v1',
      items: [
        {
          kind: 'Pod',
          metadata: {
            namespace: 'gitlab',
            name: 'gl-gitaly-0',
            uid,
            creationTimestamp: '2026-01-01T00:00:00Z',
          },
          spec: { nodeName: hostname(), containers: [{ name: 'gitaly', image: 'gitaly:v18.10.0' }] },
          status: {
            phase: 'Running',
            qosClass: 'Burstable',
            containerStatuses: [
              {
                name: 'gitaly',
                ready: true,
                restartCount: 0,
                containerID: `containerd://${id}`,
                state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
              },
            ],
          },
        },
      ],
    }),
  );
  const running = await start(`--cgroup.pods-file=${pods}`);
  const found = await scrape(running);
  expect(success(found, 'cgroup')).toBe(0);
  expect(failures(found, 'missing')).toBeGreaterThan(0);
  expect([...found.names()].filter((each) => /^gitaly_server_(pod|git|container|oom)_/.test(each))).toEqual(
    [],
  );
  expect((await running.get('/api/v1/status')).text).toContain('none of its containers is in its slice');
  expect(await doctor(`--cgroup.pods-file=${pods}`)).toContain('none of its containers is in its slice');
});

test("cgroups that Gitaly's configuration has and the node does not are a failure", async () => {
  const config = join(folder, 'config.toml');
  writeFileSync(config, '[cgroups.repositories]\ncount = 12\n');
  const running = await start(`--gitaly.config-file=${config}`);
  const found = await scrape(running);
  expect(success(found, 'cgroup')).toBe(0);
  expect((await running.get('/api/v1/status')).text).toContain('sets count = 12');
  expect(await doctor(`--gitaly.config-file=${config}`)).toContain('sets count = 12');
});

describe.each([
  ['a named pipe', () => join(folder, 'pipe')],
  ['an endless device', () => '/dev/zero'],
])('%s', (_, path) => {
  beforeEach(() => {
    spawnSync('mkfifo', [join(folder, 'pipe')]);
    mkdirSync(join(folder, 'more'));
  });

  test.each(['config.file', 'web.config.file', 'praefect.config-file', 'praefect.database.password-file'])(
    'as %s ends the start with a message',
    async (setting) => {
      const run = promisify(execFile)(
        process.execPath,
        [
          program,
          'serve',
          '--web.listen-address=127.0.0.1:0',
          '--praefect.database.url=postgres://u@127.0.0.1:1/d',
          `--${setting}=${path()}`,
        ],
        { timeout: 20_000 },
      );
      const { code, stderr } = (await run.then(
        () => ({ code: 0, stderr: '' }),
        (error: unknown) => error,
      )) as { code: number; stderr: string };
      if (setting === 'praefect.database.password-file') return expect(code).not.toBe(0);
      expect(code).toBe(2);
      expect(stderr).toMatch(/not a regular file/);
    },
    30_000,
  );

  test("as the list of pods or as Gitaly's configuration is a failure of the collector, and the program serves", async () => {
    const running = await start(`--cgroup.pods-file=${path()}`, `--gitaly.config-file=${path()}`);
    const found = await scrape(running);
    expect(success(found, 'cgroup')).toBe(0);
    expect((await running.get('/api/v1/status')).text).toContain('not a regular file');
  });
});
