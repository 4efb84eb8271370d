/** The cgroups of the demo's host: Gitaly pods, with the commands that run in them, and other pods. */
import type { Random } from '../world.ts';
import { type Cgroup, type CgroupLimits, createCgroup, type SimulatedProcess } from './cgroup.ts';
import { containerId, type DemoPod, demoBuckets, scopeOf, sliceOf } from './pods.ts';

/** The cgroups of one Gitaly pod. */
export interface PodCgroups {
  readonly pod: DemoPod;
  readonly slice: Cgroup;
  /** Gitaly's container. */
  scope(): Cgroup;
  /** The cgroup of the Gitaly process itself. */
  gitaly(): Cgroup;
  /** gitaly-<pid>, the parent of all buckets. */
  git(): Cgroup;
  /** Created on first use, as Gitaly does. */
  bucket(number: number): Cgroup;
  containerId(): string;
  /** The container runtime replaces the container that ended. */
  restart(): void;
  /** Removes the pod's cgroups. */
  remove(): void;
}

export interface HostCgroups {
  readonly root: Cgroup;
  /** Creates the cgroups of a pod with its containers. */
  createPod(pod: DemoPod): PodCgroups;
}

const mib = 2 ** 20;

/** Creates the cgroups in an empty folder. */
export function createHost(folder: string): HostCgroups {
  const root = createCgroup(folder, '', {}, 'cpuset cpu io memory hugetlb pids rdma misc');
  for (const [index, { name, qosClass, anon }] of otherPods.entries()) {
    const uid = `00000000-0000-4000-8000-00000000000${index}`;
    const slice = descendant(root, sliceOf({ qosClass, uid }));
    addProcess(slice.child(scopeOf(containerId({ uid }, 'pause'))), 10 + index * 2, 0.5 * mib);
    addProcess(slice.child(scopeOf(containerId({ uid }, name))), 11 + index * 2, anon);
  }
  addProcess(descendant(root, ['system.slice', 'containerd.service']), 2, 90 * mib);
  addProcess(descendant(root, ['system.slice', 'kubelet.service']), 3, 110 * mib);
  root.write();
  return { root, createPod: (pod) => createPodCgroups(root, pod) };
}

/** Other pods of the host. */
const otherPods = [
  { name: 'praefect', qosClass: 'Burstable', anon: 120 * mib },
  { name: 'log-agent', qosClass: 'BestEffort', anon: 80 * mib },
  { name: 'cache', qosClass: 'Guaranteed', anon: 400 * mib },
] as const;

const descendant = (root: Cgroup, names: readonly string[]): Cgroup =>
  names.reduce((above, name) => above.child(name), root);

function addProcess(cgroup: Cgroup, pid: number, anon: number): void {
  cgroup.processes.push({ pid, anon, cores: 0.02 });
  cgroup.file = anon / 4;
}

function createPodCgroups(root: Cgroup, pod: DemoPod): PodCgroups {
  const names = sliceOf(pod);
  const name = names.at(-1) ?? '';
  const parent = descendant(root, names.slice(0, -1));
  const slice = parent.child(name, pod.slice);
  let restarts = 0;
  const id = (): string => containerId(pod, `gitaly ${restarts}`);
  const scope = (): Cgroup => slice.child(scopeOf(id()), pod.container);
  const git = (): Cgroup =>
    (pod.layout === 'sibling' ? slice : scope()).child('gitaly').child('gitaly-1', demoBuckets.git);
  const bucket = (number: number): Cgroup =>
    git().child(`repos-${number}`, demoBuckets.each satisfies CgroupLimits);

  addProcess(slice.child(scopeOf(containerId(pod, 'pause'))), 500, 0.5 * mib);
  if (pod.sidecar) addProcess(slice.child(scopeOf(containerId(pod, 'logger'))), 501, 40 * mib);
  // Gitaly creates only these two when it starts.
  bucket(0);
  return {
    pod,
    slice,
    scope,
    // A cgroup with children that have controllers enabled must not have processes itself.
    gitaly: () => (pod.layout === 'sibling' ? scope() : scope().child('init')),
    git,
    bucket,
    containerId: id,
    restart() {
      slice.remove(scopeOf(id()));
      restarts += 1;
      scope();
      bucket(0);
    },
    remove: () => parent.remove(name),
  };
}

export interface PodTraffic {
  advance(seconds: number): void;
}

/** Buckets that the demo's repositories use; the others are never created. */
const bucketsInUse = 24;
const commandsPerSecond = 2.5;
const meanSeconds = 2;
const meanAnon = 45 * mib;
/** Maximum page cache of a bucket. */
const maxCache = 0.35 * demoBuckets.each.memory;

/** @param isRunning whether Gitaly runs; its Git commands end with it */
export function createPodTraffic(cgroups: PodCgroups, random: Random, isRunning: () => boolean): PodTraffic {
  const numbers = distinct(random);
  const commands = new Map<SimulatedProcess, { readonly bucket: number; left: number }>();
  let pid = 1000;

  const exponential = (mean: number): number => -Math.log(1 - random.next()) * mean;

  function simulateGitaly(): void {
    const { processes } = cgroups.gitaly();
    if (processes.length === 0)
      processes.push({ pid: 7, anon: 4 * mib, cores: 0 }, { pid: 8, anon: 620 * mib, cores: 0.3 });
    const gitaly = processes[1];
    if (gitaly === undefined) return;
    // Grows to 1 GiB; memory that an incident added stays.
    if (gitaly.anon < 1024 * mib) gitaly.anon += (random.next() - 0.47) * 6 * mib;
    gitaly.anon = Math.max(500 * mib, gitaly.anon);
    gitaly.cores = 0.2 + random.next() * 0.4;
    cgroups.gitaly().file = 180 * mib;
  }

  function startCommand(): void {
    // The first buckets are used most.
    const number = numbers[Math.floor(numbers.length * random.next() ** 2.5)] ?? 0;
    const bucket = cgroups.bucket(number);
    const command = { pid: pid++, anon: 8 * mib + exponential(meanAnon), cores: 0.1 + random.next() * 0.4 };
    bucket.processes.push(command);
    bucket.file = Math.min(maxCache, bucket.file + (2 + random.next() * 12) * mib);
    commands.set(command, { bucket: number, left: exponential(meanSeconds) });
  }

  function endCommand(command: SimulatedProcess, bucket: number): void {
    commands.delete(command);
    const { processes } = cgroups.bucket(bucket);
    const at = processes.indexOf(command);
    if (at >= 0) processes.splice(at, 1);
  }

  return {
    advance(seconds) {
      if (!isRunning()) {
        for (const [command, { bucket }] of commands) endCommand(command, bucket);
        cgroups.gitaly().processes.splice(0);
        return;
      }
      simulateGitaly();
      for (const [command, state] of commands) {
        state.left -= seconds;
        if (state.left <= 0) endCommand(command, state.bucket);
      }
      const expected = commandsPerSecond * seconds;
      const count = Math.floor(expected) + (random.next() < expected % 1 ? 1 : 0);
      for (let i = 0; i < count; i += 1) startCommand();
    },
  };
}

function distinct(random: Random): readonly number[] {
  const numbers = new Set<number>();
  while (numbers.size < bucketsInUse) numbers.add(random.below(demoBuckets.count));
  return [...numbers];
}
