/** The cgroups of a node with two Gitalys, as the kubelet and Gitaly create them, and of a virtual machine's Gitaly. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';

export const cgroups = '/sys/fs/cgroup';
export const MiB = 1024 * 1024;

const kubepods = `${cgroups}/kubepods.slice`;
const burstable = `${kubepods}/kubepods-burstable.slice`;
const scope = (pod: string, letter: string): string => `${pod}/cri-containerd-${letter.repeat(64)}.scope`;
const underscored = (uid: string): string => uid.replaceAll('-', '_');

export interface LabPod {
  readonly name: string;
  readonly uid: string;
  readonly qosClass: 'Guaranteed' | 'Burstable';
  readonly slice: string;
  /** The scope of Gitaly's container. */
  readonly scope: string;
  readonly pause: string;
  /** gitaly-<pid>. */
  readonly git: string;
  readonly letter: string;
}

function pod(
  name: string,
  uid: string,
  qosClass: LabPod['qosClass'],
  layout: string,
  letter: string,
): LabPod {
  const slice =
    qosClass === 'Guaranteed'
      ? `${kubepods}/kubepods-pod${underscored(uid)}.slice`
      : `${burstable}/kubepods-burstable-pod${underscored(uid)}.slice`;
  const own = scope(slice, letter);
  const home = layout === 'nested' ? own : slice;
  return {
    name,
    uid,
    qosClass,
    slice,
    scope: own,
    pause: scope(slice, '0'),
    git: `${home}/gitaly/gitaly-1`,
    letter,
  };
}

/** Its Git cgroups are siblings of its container's scope. */
export const first = pod('gl-gitaly-0', '3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69', 'Guaranteed', 'sibling', 'a');
/** Its Git cgroups are nested in its container's scope. */
export const second = pod('gl-gitaly-1', 'a94be07c-21d3-4f58-8c17-6d0e5f9b2a31', 'Burstable', 'nested', 'b');
/** Created later. */
export const third = pod('gl-gitaly-2', '5d2e9f10-33aa-4b4b-8c8c-0123456789ab', 'Burstable', 'sibling', 'c');
/** A pod of another workload. */
export const otherPod = pod('web-0', 'ffff0000-1111-4222-8333-444455556666', 'Burstable', 'none', 'f');
export const host = `${cgroups}/gitaly/gitaly-42`;

export const write = (path: string, value: string | number): void => writeFileSync(path, String(value));

const enable = (path: string): void => write(`${path}/cgroup.subtree_control`, '+cpu +io +memory +pids');

export function make(path: string, limit?: number): void {
  mkdirSync(path, { recursive: true });
  if (limit !== undefined) write(`${path}/memory.max`, limit * MiB);
}

/** As Gitaly does: creates the parent and its first buckets. */
export function makeGit(git: string, buckets = 10): void {
  const home = git.slice(0, git.lastIndexOf('/'));
  make(home);
  enable(home);
  make(git, 250);
  enable(git);
  for (let bucket = 0; bucket < buckets; bucket++) make(`${git}/repos-${bucket}`, 100);
}

export function makePod(pod: LabPod, limit = 300, scopeLimit = 300): void {
  make(kubepods, 1500);
  enable(kubepods);
  if (pod.qosClass === 'Burstable') {
    make(burstable);
    enable(burstable);
  }
  make(pod.slice, limit);
  enable(pod.slice);
  make(pod.pause);
  make(pod.scope, scopeLimit);
  write(`${pod.scope}/memory.oom.group`, 1);
}

export function makeNode(): void {
  makePod(first);
  makeGit(first.git);
  makePod(second, 300, 280);
  enable(second.scope);
  make(`${second.scope}/init`);
  makeGit(second.git);
  makePod(otherPod, 100, 100);
  makeGit(host, 4);
}

/** Removes it with its descendants; its processes must have exited. */
export function remove(path: string): void {
  for (const entry of existsSync(path) ? readdirSync(path, { withFileTypes: true }) : [])
    if (entry.isDirectory()) remove(`${path}/${entry.name}`);
  if (existsSync(path)) rmdirSync(path);
}

export interface Hog {
  readonly process: ChildProcess;
  /** Resolves when it has exited or was killed. */
  readonly ended: Promise<void>;
}

/** `adjust`: oom_score_adj. */
export function hog(cgroup: string, work: readonly string[], adjust = 0): Hog {
  const script = `echo ${adjust} > /proc/self/oom_score_adj; exec hog -c "$0" "$@"`;
  const child = spawn('sh', ['-c', script, cgroup, ...work], { stdio: 'ignore' });
  return {
    process: child,
    ended: new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    }),
  };
}

export const anon = (cgroup: string, mib: number, seconds = 0, adjust = 0): Hog =>
  hog(cgroup, ['anon', String(mib), String(seconds)], adjust);

/** As in the output of `kubectl get pods -o json`. */
export const podsFile = (): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [first, second, third].map(({ letter, name, qosClass, uid }) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        namespace: 'gitlab',
        name,
        uid,
        labels: { app: 'gitaly' },
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: {
        nodeName: 'lab',
        containers: [{ name: 'gitaly', image: 'registry.gitlab.com/gitaly:v18.10.0' }],
      },
      status: {
        phase: 'Running',
        qosClass,
        containerStatuses: [
          {
            name: 'gitaly',
            image: 'registry.gitlab.com/gitaly:v18.10.0',
            imageID: '',
            ready: true,
            restartCount: 0,
            containerID: `containerd://${letter.repeat(64)}`,
            state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
          },
        ],
      },
    })),
  });
