/** cgroup trees that are missing, truncated, malformed or hostile, and settings that refer to such files. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { burstableUid, capturedTree } from '../support/cgroup-fixtures.ts';
import type { Scenario } from './harness.ts';

const slice = `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${burstableUid.replaceAll('-', '_')}.slice`;

let base: string | undefined;

/** The captured pod with its first bucket: copying a whole node's tree takes seconds. */
function smallTree(root: string): void {
  if (base === undefined) {
    const captured = capturedTree('6.12', 'before');
    const { root: from } = captured;
    const kept = mkdtempSync(join(tmpdir(), 'chaos-tree-'));
    base = kept;
    process.on('exit', () => rmSync(kept, { recursive: true, force: true }));
    cpSync(from, kept, {
      recursive: true,
      filter(path) {
        const name = relative(from, path);
        const isOnTheWay = slice.startsWith(name) || name.startsWith(slice);
        const isFileAbove = slice.startsWith(dirname(name)) && !/\.slice$/.test(name);
        return (
          (name === '' || isOnTheWay || isFileAbove || !name.includes('/')) &&
          !/repos-([2-9]|\d\d)/.test(name)
        );
      },
    });
    captured.remove();
  }
  cpSync(base, root, { recursive: true });
}

function tree(
  name: string,
  outcome: Scenario['expected']['outcome'],
  change: (root: string) => void,
  absent: readonly string[] = [],
): Scenario {
  return {
    name: `the cgroup tree ${name}`,
    start(folder) {
      const root = join(folder, 'cgroup');
      smallTree(root);
      change(root);
      return { flags: ['--cgroup.enabled', `--cgroup.root=${root}`], stop: () => undefined };
    },
    expected: { collector: 'cgroup', outcome, absent },
  };
}

const levelFile = (file: string) => (root: string) => join(root, slice, file);
/** A file of the pod's cgroup, and the series that must be absent when it is unreadable. */
const files = {
  'memory.current': 'gitaly_server_pod_memory_usage_bytes',
  'memory.max': 'gitaly_server_pod_memory_limit_bytes',
  'memory.stat': 'gitaly_server_pod_memory_anon_bytes',
  'memory.events.local': 'gitaly_server_pod_memory_events_total',
  'cpu.stat': 'gitaly_server_pod_cpu_usage_seconds_total',
} as const;

export const cgroupScenarios: readonly Scenario[] = [
  tree('as it was captured', 'ok', () => undefined),
  tree('is missing', 'failed', (root) => rmSync(root, { recursive: true }), ['gitaly_server_pod_memory']),
  tree(
    'is an empty directory',
    'failed',
    (root) => {
      rmSync(root, { recursive: true });
      mkdirSync(root);
    },
    ['gitaly_server_pod_memory'],
  ),
  tree('is a file', 'failed', (root) => {
    rmSync(root, { recursive: true });
    writeFileSync(root, '');
  }),
  tree('has no controllers', 'failed', (root) => rmSync(join(root, 'cgroup.controllers'))),
  tree('contains a link to itself', 'ok', (root) => symlinkSync(root, join(root, 'kubepods.slice', 'loop'))),
  tree('contains a FIFO', 'survives', (root) => {
    rmSync(levelFile('memory.current')(root));
    execFileSync('mkfifo', [levelFile('memory.current')(root)]);
  }),
  tree('has a directory where a file should be', 'survives', (root) => {
    rmSync(levelFile('memory.current')(root));
    mkdirSync(levelFile('memory.current')(root));
  }),
  ...Object.entries(files).flatMap(([file, series]) => {
    const variant = (name: string, change: (path: string) => void) =>
      tree(name, 'survives', (root) => change(levelFile(file)(root)), [series]);
    return [
      variant(`lacks ${file}`, (path) => rmSync(path)),
      variant(`has an empty ${file}`, (path) => truncateSync(path)),
      variant(`has garbage in ${file}`, (path) => writeFileSync(path, 'x'.repeat(100_000))),
      variant(`has a negative number in ${file}`, (path) => writeFileSync(path, '-5\n')),
      variant(`has 2 MB in ${file}`, (path) => writeFileSync(path, 'anon 1\n'.repeat(300_000))),
    ];
  }),
];

const settings = (
  name: string,
  flags: (folder: string) => readonly string[],
  collector: string,
  outcome: Scenario['expected']['outcome'],
): Scenario => ({
  name: `settings: ${name}`,
  start: (folder) => ({ flags: flags(folder), stop: () => undefined }),
  expected: { collector, outcome },
});

export const settingsScenarios: readonly Scenario[] = [
  settings(
    'a target that does not resolve',
    () => ['--gitaly.target=g=http://does-not-exist.invalid:9236/metrics'],
    'gitaly_metrics',
    'failed',
  ),
  settings(
    'a target on a closed port',
    () => ['--gitaly.target=g=http://127.0.0.1:1/metrics'],
    'gitaly_metrics',
    'failed',
  ),
  settings(
    'a database on a closed port',
    () => ['--praefect.database.url=postgres://e@127.0.0.1:1/d'],
    'praefect_database',
    'failed',
  ),
  settings(
    'a socket directory without a socket',
    (folder) => [`--praefect.database.url=postgres://e@/d?host=${folder}`],
    'praefect_database',
    'failed',
  ),
  settings(
    'a kubeconfig that is missing',
    (folder) => ['--kubernetes.enabled', `--kubernetes.kubeconfig=${folder}/none`],
    'kubernetes',
    'failed',
  ),
  settings(
    'a kubeconfig of garbage',
    (folder) => {
      writeFileSync(join(folder, 'k'), '\u0000{{{');
      return ['--kubernetes.enabled', `--kubernetes.kubeconfig=${folder}/k`];
    },
    'kubernetes',
    'failed',
  ),
  settings(
    'an API server on a closed port',
    (folder) => {
      writeFileSync(
        join(folder, 'k'),
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Config',
          clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1' } }],
          users: [{ name: 'u', user: {} }],
          contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
          'current-context': 'x',
        }),
      );
      return ['--kubernetes.enabled', `--kubernetes.kubeconfig=${folder}/k`];
    },
    'kubernetes',
    'failed',
  ),
  settings(
    'pods from a file of garbage',
    (folder) => {
      smallTree(join(folder, 'cgroup'));
      writeFileSync(join(folder, 'pods'), '{"kind": "List", "items": [{');
      return ['--cgroup.enabled', `--cgroup.root=${folder}/cgroup`, `--cgroup.pods-file=${folder}/pods`];
    },
    'cgroup',
    'failed',
  ),
];
