/**
 * The real program with settings that cannot work: its message names the setting, what was found, and the fix.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startExporter } from './exporter-process.ts';
import {
  type ChangingTree,
  changingTree,
  expectPromtoolToPass,
  type Scrape,
  scrapeUntil,
  success,
} from './servers.ts';

let folder = '';
let tree: ChangingTree;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bad-settings-'));
  tree = changingTree();
});
afterAll(() => {
  tree?.remove();
  rmSync(folder, { recursive: true, force: true });
});

describe('settings that contradict each other end the start', () => {
  test.each([
    {
      args: ['--kubernetes.enabled', '--kubernetes.role=agent', '--kubernetes.node=n1'],
      message:
        /kubernetes\.role is agent, but cgroup\.enabled is false: .*set --cgroup\.enabled, or another role/,
    },
    {
      args: ['--kubernetes.enabled', '--kubernetes.role=agent', '--cgroup.enabled'],
      message: /kubernetes\.role is agent, but kubernetes\.node is not set.*spec\.nodeName/,
    },
    {
      args: ['--kubernetes.enabled', '--kubernetes.role=cluster', '--cgroup.enabled'],
      message:
        /kubernetes\.role is cluster, but cgroup\.enabled is true: .*unset one of them, or set role all/,
    },
    {
      args: ['--kubernetes.role=cluster'],
      message: /kubernetes\.role is cluster, but kubernetes\.enabled is false.*set --kubernetes\.enabled/,
    },
  ])('$args', async ({ args, message }) => {
    const start = startExporter(args);
    await expect(start).rejects.toThrow(message);
    await expect(start).rejects.toThrow('the exporter ended with 2');
  });
});

interface Running {
  readonly found: Scrape;
  /** The log and the status API's text. */
  readonly output: string;
}

/** Starts the exporter and returns when the collector has failed. */
async function failing(collector: string, ...args: readonly string[]): Promise<Running> {
  const exporter = await startExporter(args);
  try {
    const found = await scrapeUntil(
      exporter,
      `${collector} to fail`,
      (each) => success(each, collector) === 0,
    );
    expectPromtoolToPass(found);
    const { text } = await exporter.get('/api/v1/status');
    return { found, output: `${exporter.output()}${text}` };
  } finally {
    expect(await exporter.stop()).toBe(0);
  }
}

const servers = ({ found }: Running): readonly string[] =>
  [...found.names()].filter((name) => /^gitaly_server_(?!check)/.test(name));

describe('a setting that points to the wrong thing is a failure of the collector that uses it', () => {
  test('a kubeconfig that does not exist', async () => {
    const file = join(folder, 'no-kubeconfig');
    const running = await failing('kubernetes', '--kubernetes.enabled', `--kubernetes.kubeconfig=${file}`);
    expect(servers(running)).toEqual([]);
    expect(running.output).toContain(`the kubeconfig ${file} does not exist: set kubernetes.kubeconfig`);
  });

  test('an invalid pods file: the pods are shown by their UIDs', async () => {
    const file = join(folder, 'pods.json');
    writeFileSync(file, '{"kind": "List", "items": [{"kind": "Pod", "meta');
    const running = await failing(
      'cgroup',
      '--cgroup.enabled',
      `--cgroup.root=${tree.root}`,
      `--cgroup.pods-file=${file}`,
    );
    expect(running.found.value('gitaly_exporter_cgroup_gitalys')).toBe(2);
    expect(
      [...running.found.series.keys()].filter((series) => series.startsWith('gitaly_server_info ')),
    ).toHaveLength(2);
    expect(running.output).toContain(`cgroup.pods-file: ${file}: it is incomplete or invalid JSON`);
    expect(running.output).toContain('kubectl get pods -A -l app=gitaly -o json');
  });

  test('a root of cgroup v1', async () => {
    const root = join(folder, 'v1');
    for (const controller of ['memory', 'cpu,cpuacct']) {
      mkdirSync(join(root, controller, 'kubepods'), { recursive: true });
      writeFileSync(join(root, controller, 'cgroup.procs'), '1\n');
    }
    const running = await failing('cgroup', '--cgroup.enabled', `--cgroup.root=${root}`);
    expect(servers(running)).toEqual([]);
    expect(running.found.value('gitaly_exporter_cgroup_gitalys')).toBeUndefined();
    expect(running.output).toContain(`cgroup.root ${root} is cgroup v1 (found memory, cpu,cpuacct)`);
    expect(running.output).toContain('systemd.unified_cgroup_hierarchy=1');
  });
});
