/** Cgroup trees that consist of folders only, and scans of them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Failure } from '../../../../src/scheduler/outcome.ts';
import {
  createFinder,
  type Finder,
  type FinderOptions,
  type FoundTrees,
} from '../../../../src/sources/cgroup/discovery/finder.ts';
import type { KnownPods, PodDirectory } from '../../../../src/sources/cgroup/tree.ts';
import type { KnownPod } from '../../../../src/sources/server-info.ts';

export const uid = '3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69';
export const otherUid = 'a94be07c-21d3-4f58-8c17-6d0e5f9b2a31';
export const id = 'e7d5c3b1a9f80716253443526170f9e8d7c6b5a4938271605f4e3d2c1b0a9988';
export const pauseId = '5c1e0f6ab3d84792e6f1a0c2b4d6e8f0a1c3e5f7092b4d6f8a0c2e4f6b8d0a1c';

/** `kubepods-burstable-pod<uid>.slice` */
export const sliceOf = (above: string, podUid = uid): string =>
  `${above}-pod${podUid.replaceAll('-', '_')}.slice`;

export interface FolderTree {
  readonly root: string;
  make(...paths: readonly string[]): void;
  remove(path: string): void;
  write(path: string, text: string): void;
  removeAll(): void;
}

export function createFolderTree(): FolderTree {
  const base = mkdtempSync(join(tmpdir(), 'cgroup-find-'));
  const root = join(base, 'cgroup');
  mkdirSync(root);
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
  write('cgroup.controllers', 'cpuset cpu io memory pids\n');
  return {
    root,
    make(...paths) {
      for (const path of paths) mkdirSync(join(root, path), { recursive: true });
    },
    remove: (path) => rmSync(join(root, path), { recursive: true }),
    write,
    removeAll: () => rmSync(base, { recursive: true, force: true }),
  };
}

export const finderOf = (root: string, options: Partial<FinderOptions> = {}): Finder =>
  createFinder({ root, hostName: 'node-1', ...options });

export async function findWith(finder: Finder): Promise<FoundTrees> {
  const found = await finder.find(new AbortController().signal);
  if (found.kind === 'failed') throw new Error(found.message);
  return found;
}

export const findOnce = (root: string, options?: Partial<FinderOptions>): Promise<FoundTrees> =>
  findWith(finderOf(root, options));

export const knownPod = (of: Partial<KnownPod> = {}): KnownPod => ({
  uid,
  namespace: 'gitlab',
  name: 'gitlab-gitaly-0',
  node: 'node-7',
  qosClass: 'Burstable',
  priorityClass: '',
  version: 'v18.10.0',
  runtimeVersion: 'containerd://2.1.4',
  kernelVersion: '6.12.0-amd64',
  containers: [{ name: 'gitaly', id }],
  ...of,
});

export interface TestDirectory extends PodDirectory {
  set(pods: readonly KnownPod[], failure?: Failure): void;
}

export function directoryOf(pods: readonly KnownPod[], failure?: Failure): TestDirectory {
  let current: KnownPods = { pods, failure };
  return {
    pods: () => current,
    subscribe: () => () => undefined,
    set: (newPods, newFailure) => {
      current = { pods: newPods, failure: newFailure };
    },
  };
}

/** As a user without privileges: root may read everything. */
export async function asUnprivileged(body: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return body();
  process.seteuid?.(65534);
  try {
    await body();
  } finally {
    process.seteuid?.(0);
  }
}
