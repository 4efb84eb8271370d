/** The captured cgroup trees of test/fixtures/cgroup, unpacked into a temporary directory. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const capturedKernels = ['6.1', '6.12'] as const;
export const capturedMoments = ['before', 'during', 'after', 'removed'] as const;
export type CapturedKernel = (typeof capturedKernels)[number];
export type CapturedMoment = (typeof capturedMoments)[number];

export const guaranteedUid = '3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69';
export const burstableUid = 'a94be07c-21d3-4f58-8c17-6d0e5f9b2a31';

export interface CapturedTree {
  /** The value for cgroup.root. The files may be changed, as each call unpacks them again. */
  readonly root: string;
  remove(): void;
}

export function capturedTree(kernel: CapturedKernel, moment: CapturedMoment): CapturedTree {
  const folder = unpack(`kernel-${kernel}-${moment}`);
  return { root: join(folder, moment), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The pod that runc and systemd created (only its slice was captured), at its path on the node. */
export function runcTree(): CapturedTree {
  const folder = unpack('runc-containerd');
  const root = join(folder, 'root');
  const slice = `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${burstableUid.replaceAll('-', '_')}.slice`;
  mkdirSync(dirname(join(root, slice)), { recursive: true });
  const pod = join(folder, 'captures-deb/capture-pod-B');
  cpSync(pod, join(root, slice), { recursive: true });
  cpSync(join(pod, 'cgroup.controllers'), join(root, 'cgroup.controllers'));
  return { root, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A tree has two thousand small files, which take seconds on a busy disk. */
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

function unpack(name: string): string {
  const folder = mkdtempSync(join(memory, 'cgroup-captured-'));
  const archive = fileURLToPath(new URL(`../fixtures/cgroup/${name}.tar.gz`, import.meta.url));
  const { status, stderr } = spawnSync('tar', ['-xzf', archive, '-C', folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tar could not unpack ${archive}: ${stderr}`);
  return folder;
}
