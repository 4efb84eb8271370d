/** This host's cgroups as doctor sees them, on captured trees. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { adviceLines } from '../../src/doctor/advice.ts';
import { cgroupFindings } from '../../src/doctor/cgroups.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { KnownPod, PodDirectory } from '../../src/sources/cgroup/tree.ts';
import { burstableUid, capturedTree, guaranteedUid } from '../support/cgroup-fixtures.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const look = (root: string, directory?: PodDirectory) =>
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

test('trees with their names, and a tree that this user could write to', async () => {
  const { findings, trees } = await look(captured(), directoryOf(guaranteedUid, burstableUid));
  expect(trees).toHaveLength(2);
  expect(findings.map(({ check, status, subject, found }) => [check.id, status, subject, found])).toEqual([
    ['cgroup_root', 'pass', '', expect.stringContaining("is the whole host's")],
    // A captured tree is ordinary files of our own.
    ['cgroup_read_only', 'warn', '', expect.stringContaining('could write to')],
    ['cgroup_trees', 'pass', 'gitlab/gl-gitaly-0', "gitaly-1 beside the container's with 10 buckets"],
    ['cgroup_trees', 'pass', 'gitlab/gl-gitaly-1', expect.stringContaining("inside the container's")],
  ]);
});

test('without anybody who knows pods they are named by uid, which is to be looked at', async () => {
  const { findings } = await look(captured());
  expect(
    findings.filter(({ check, status }) => check.id === 'cgroup_trees' && status === 'warn'),
  ).toMatchObject([{ found: expect.stringContaining('named by UID') }]);
});

test('a node without Gitaly is in order where the list of pods says so, and not where nobody does', async () => {
  const root = mkdtempSync(join(tmpdir(), 'gitaly-exporter-doctor-'));
  cleanups.push(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory\n');
  const last = async (directory?: PodDirectory) => (await look(root, directory)).findings.at(-1);
  expect(await last(directoryOf())).toMatchObject({ check: { id: 'cgroup_trees' }, status: 'pass' });
  expect(await last()).toMatchObject({ check: { id: 'cgroup_trees' }, status: 'fail' });
});

test.each([
  ['/nowhere/at/all', 'does not exist'],
  ['/proc', 'is not cgroup v2'],
])('%s is no root, and nothing else is said', async (root, found) => {
  expect((await look(root)).findings).toMatchObject([
    { check: { id: 'cgroup_root' }, status: 'fail', found: expect.stringContaining(found) },
  ]);
});

test('right-sizing says that a moment is no peak, and what it came from', async () => {
  const root = captured();
  const { trees } = await look(root, directoryOf(guaranteedUid));
  const lines = adviceLines({ root, trees, servers: [], pods: [] });
  expect(lines[0]).toContain('A moment is no peak');
  expect(lines.slice(1).every((line) => line.startsWith('gitlab/gl-gitaly-0: '))).toBe(true);
  expect(lines.find((line) => line.includes('git_memory_bytes'))).toMatch(
    /\(not set now\): peak of .* x 1\.25/,
  );
  expect(lines.join()).not.toMatch(/NaN|undefined|cpu_cores/);
  expect(adviceLines({ root, trees: [], servers: [], pods: [] })).toEqual([]);
});
