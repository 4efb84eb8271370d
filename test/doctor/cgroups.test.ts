/** Doctor's checks of this host's cgroups, on captured trees. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { cgroupFindings } from '../../src/doctor/cgroups.ts';
import { momentSizing } from '../../src/doctor/sizing/moment.ts';
import { sizingLines } from '../../src/doctor/sizing/report.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { GitalyTree, PodDirectory } from '../../src/sources/cgroup/tree.ts';
import type { KnownPod } from '../../src/sources/server-info.ts';
import { createWrittenTree } from '../sources/cgroup/written-tree.ts';
import { burstableUid, capturedTree, guaranteedUid } from '../support/cgroup-fixtures.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const check = (root: string, directory?: PodDirectory) =>
  cgroupFindings(
    { root, hostName: 'node-1', directory, proc: '/nowhere', clock: systemClock },
    AbortSignal.timeout(20_000),
  );
const directoryOf = (...uids: readonly string[]): PodDirectory => ({
  subscribe: () => () => undefined,
  pods: () => ({
    failure: undefined,
    pods: uids.map(
      (uid, at): KnownPod => ({
        uid,
        namespace: 'gitlab',
        name: `gl-gitaly-${at}`,
        node: 'node-1',
        qosClass: '',
        priorityClass: '',
        version: '',
        runtimeVersion: '',
        kernelVersion: '',
        containers: [],
      }),
    ),
  }),
});
function captured(): string {
  const { root, remove } = capturedTree('6.12', 'before');
  cleanups.push(remove);
  return root;
}

test('trees are found with their names, and a writable tree is a warning', async () => {
  const { findings, trees } = await check(captured(), directoryOf(guaranteedUid, burstableUid));
  expect(trees).toHaveLength(2);
  expect(findings.map(({ check, status, subject, detail }) => [check.id, status, subject, detail])).toEqual([
    ['cgroup_root', 'pass', '', expect.stringContaining('is the hierarchy of the host')],
    // A captured tree consists of ordinary files that the test owns.
    ['cgroup_read_only', 'warn', '', expect.stringContaining('can write to')],
    [
      'cgroup_gitalys',
      'pass',
      'gitlab/gl-gitaly-0',
      "gitaly-1 next to the container's cgroup with 10 buckets",
    ],
    [
      'cgroup_gitalys',
      'pass',
      'gitlab/gl-gitaly-1',
      expect.stringContaining("inside the container's cgroup"),
    ],
  ]);
});

test('without a list of pods they are named by UID, which is a warning', async () => {
  const { findings } = await check(captured());
  expect(
    findings.filter(({ check, status }) => check.id === 'cgroup_gitalys' && status === 'warn'),
  ).toMatchObject([{ detail: expect.stringContaining('named by UID') }]);
});

test('a node without Gitaly passes only with a list of pods that confirms it', async () => {
  const root = mkdtempSync(join(tmpdir(), 'gitaly-exporter-doctor-'));
  cleanups.push(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory\n');
  const last = async (directory?: PodDirectory) => (await check(root, directory)).findings.at(-1);
  expect(await last(directoryOf())).toMatchObject({ check: { id: 'cgroup_gitalys' }, status: 'pass' });
  expect(await last()).toMatchObject({ check: { id: 'cgroup_gitalys' }, status: 'fail' });
});

test.each([
  ['/nowhere/at/all', 'does not exist'],
  ['/proc', 'is not cgroup v2'],
])('%s as the root is the only finding', async (root, found) => {
  expect((await check(root)).findings).toMatchObject([
    { check: { id: 'cgroup_root' }, status: 'fail', detail: expect.stringContaining(found) },
  ]);
});

test('right-sizing states that current usage is not the peak, and the calculation', async () => {
  const root = captured();
  const { trees } = await check(root, directoryOf(guaranteedUid));
  const sizing = momentSizing({ root, trees, servers: [], pods: [] });
  expect(sizing.groups).toMatchObject([{ name: 'gitlab/gl-gitaly-0', isAdvice: false, helm: undefined }]);
  const lines = sizingLines(sizing).map(({ text }) => text);
  expect(lines[0]).toContain('which is not the peak');
  expect(lines[1]).toBe('gitlab/gl-gitaly-0: one reading');
  expect(lines.find((line) => line.includes('git_memory_bytes'))).toMatch(/\(not set\): peak of .* x 1\.25/);
  expect(lines.join()).not.toMatch(/NaN|undefined|cpu_cores/);
  expect(sizingLines(momentSizing({ root, trees: [], servers: [], pods: [] }))).toEqual([]);
});

test('right-sizing takes no memory of Git for that of Gitaly, wherever Git runs', () => {
  const tree = createWrittenTree();
  cleanups.push(tree.remove);
  const memory = (mebibytes: number) => ({
    'memory.current': `${mebibytes * 2 ** 20}\n`,
    'memory.stat': `anon ${mebibytes * 2 ** 20}\nfile 0\ninactive_file 0\n`,
  });
  tree.make('pod/scope', memory(5000));
  tree.make('pod/scope/gitaly/gitaly-1', memory(3000));
  tree.make('pod/scope/gitaly/gitaly-1/repos-0', memory(3000));
  const nested: GitalyTree = {
    ...{ key: 'u', identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'n1' }, uid: 'u' },
    ...{ qosClass: 'Guaranteed', driver: 'systemd', layout: 'nested', pod: 'pod', deadGit: [] },
    containers: [{ path: 'pod/scope', id: 'a', name: 'gitaly', gitaly: true }],
    git: { path: 'pod/scope/gitaly/gitaly-1', pid: '1', buckets: [0] },
  };
  const sizesOf = (found: GitalyTree) =>
    momentSizing({ root: tree.root, trees: [found], servers: [], pods: [] }).groups.flatMap(
      ({ sizes }) => sizes,
    );
  expect(sizesOf(nested).find(({ id }) => id === 'buffer_bytes')?.calculation).toContain(
    'peak of Gitaly 2 GiB x 1.25',
  );
  expect(sizesOf({ ...nested, layout: 'none', git: undefined })).toEqual([]);
});
