/** Facts for the checks, from this host's cgroups and its node's files: a few small files, read once a minute. */
import { lstatSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';
import { isUnknown, type Known, known, notApplicable, unknown } from '../../lib/known.ts';
import type { Identity } from '../identity.ts';
import { createFinder } from './discovery/finder.ts';
import { createCgroupFiles } from './files/files.ts';
import { type CgroupFiles, type CgroupFolder, knownOf } from './files/reading.ts';
import { type NodeFacts, type NodeFactsOptions, nodeFactsOf } from './node-facts.ts';
import {
  type GitalyConfigs,
  type GitalyTree,
  type GitParent,
  knownLayout,
  type Layout,
  type PodDirectory,
} from './tree.ts';

/** Bytes, or the kernel's word for no limit. */
export type MemoryMax = number | 'max';

/** What the cgroup tree shows of one Gitaly. */
export interface CgroupFacts {
  readonly layout: Layout;
  /**
   * What limits Gitaly and Git together: memory.max of the pod's slice, or of the container's scope where that is lower
   * and Git runs inside it.
   */
  readonly podMemoryMax: Known<MemoryMax>;
  /** memory.max of gitaly-<pid>; not applicable where there is none. */
  readonly gitMemoryMax: Known<MemoryMax>;
  /** The lowest memory.max of the cgroups around gitaly-<pid>, up to the root. */
  readonly enclosingMemoryMax: Known<EnclosingLimit>;
  /** memory.max of the buckets: Gitaly sets the same one on each. */
  readonly bucketMemoryMax: Known<MemoryMax>;
  /** How many repos-N exist: Gitaly creates repos-0 at its start, the others at their first use. */
  readonly repositoryCgroups: Known<number>;
  /**
   * Whether a process was ever in gitaly-<pid> or below it. Without the right to move processes, Gitaly creates the
   * cgroups, and Git runs outside of them.
   */
  readonly hasGitRun: Known<boolean>;
  /** Owner of the slice's cgroup.procs. */
  readonly ownerUid: Known<number>;
}

export interface EnclosingLimit {
  /** Relative to the root: of the cgroup with the lowest limit; empty where there is none. */
  readonly path: string;
  readonly max: MemoryMax;
}

export interface CgroupServer {
  readonly identity: Identity;
  readonly facts: CgroupFacts;
}

export interface CgroupFactsReader {
  /** Scans for Gitalys each time. Never rejects. */
  read(signal: AbortSignal): Promise<{ readonly servers: readonly CgroupServer[]; readonly node: NodeFacts }>;
}

interface CgroupFactsReaderOptions extends Omit<NodeFactsOptions, 'trees'> {
  readonly directory: PodDirectory | undefined;
  /** Where Gitaly's configuration places its cgroups. */
  readonly configs?: GitalyConfigs | undefined;
  readonly clock: Clock;
}

export function createCgroupFactsReader(options: CgroupFactsReaderOptions): CgroupFactsReader {
  const { root, node, directory, readText, proc, clock } = options;
  const finder = createFinder({
    root,
    hostName: node,
    clock,
    configs: options.configs,
    ...(directory && { directory }),
  });
  // No descriptor is kept from one minute to the next.
  const files = createCgroupFiles({ root, clock, maxDescriptors: 0 });
  return {
    async read(signal) {
      const found = await finder.find(signal);
      const trees = found.kind === 'found' ? found.trees : [];
      return {
        // Without them the checks are unknown.
        servers: trees.filter(isWhole).map((tree) => ({
          identity: tree.identity,
          facts: cgroupFactsOf(tree, root, files),
        })),
        node: await nodeFactsOf({ node, root, trees, readText, proc }),
      };
    },
  };
}

/** Its cgroups can be read, and are those of the running pod. */
const isWhole = (tree: GitalyTree): boolean => tree.vacancy === undefined && knownLayout(tree) !== undefined;

/** @param root the root of `files`: the owner of a file is read by its path */
export function cgroupFactsOf(tree: GitalyTree, root: string, files: CgroupFiles): CgroupFacts {
  const { layout, pod, git, containers } = tree;
  const scope = containers.find(({ gitaly }) => gitaly === true)?.path;
  // With nested cgroups the container's scope is delegated to Gitaly, not the pod's slice.
  const delegated = layout === 'nested' ? scope : pod;
  const noGit = notApplicable('there is no cgroup gitaly-<pid>');
  const [bucket] = git?.buckets ?? [];
  return {
    layout,
    podMemoryMax:
      pod === undefined
        ? notApplicable('a virtual machine has no pod')
        : lowest([pod, ...(layout === 'sibling' || scope === undefined ? [] : [scope])], files),
    gitMemoryMax: git === undefined ? noGit : memoryMax(files, git.path),
    enclosingMemoryMax: git === undefined ? noGit : enclosingLimit(files, git.path),
    bucketMemoryMax:
      git === undefined
        ? noGit
        : bucket === undefined
          ? unknown(`${git.path} has no repos-N`)
          : memoryMax(files, `${git.path}/repos-${bucket}`),
    repositoryCgroups: git === undefined ? noGit : known(git.buckets.length),
    hasGitRun: git === undefined ? noGit : hasRun(files, git),
    ownerUid:
      delegated === undefined
        ? notApplicable('there is no pod')
        : ownerOf(`${root}/${delegated}/cgroup.procs`),
  };
}

/** The lowest of several limits; unknown if one of them is: it may be the lowest. */
function lowest(paths: readonly string[], files: CgroupFiles): Known<MemoryMax> {
  const limits = paths.map((path) => memoryMax(files, path));
  const open = limits.find((limit) => isUnknown(limit));
  if (open !== undefined) return open;
  const numbers = limits.flatMap((limit) => (isUnknown(limit) || limit.value === 'max' ? [] : [limit.value]));
  return known(numbers.length === 0 ? 'max' : Math.min(...numbers));
}

/** A cgroup without memory.max, such as one above the enabled memory controller, has no limit. */
function enclosingLimit(files: CgroupFiles, path: string): Known<EnclosingLimit> {
  let found: EnclosingLimit = { path: '', max: 'max' };
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const above = path.slice(0, end);
    const folder = files.folder(above);
    const reading = folder.limit('memory.max');
    folder.close();
    if (reading.kind === 'failed')
      return unknown(`memory.max of ${above} cannot be read (${reading.reason})`);
    if (reading.kind !== 'value' || reading.value.kind === 'unlimited') continue;
    const { value } = reading.value;
    if (found.max === 'max' || value < found.max) found = { path: above, max: value };
  }
  return known(found);
}

/** Where no process has run, only repos-0 exists. */
const maxPeaks = 100;

/**
 * By memory.peak of the buckets, which stays 0 until a process is in them; then by the CPU time that the kernel counts for
 * gitaly-<pid> and all below it. Memory of gitaly-<pid> proves less: creating cgroups is charged to the cgroup above them.
 * It is used where cpu.stat cannot be read.
 */
function hasRun(files: CgroupFiles, { buckets, path }: GitParent): Known<boolean> {
  /** CPU time of buckets that no process was ever in: 0, unless the files contradict each other. */
  let unusedCpu = 0;
  for (const bucket of buckets.slice(0, maxPeaks)) {
    const folder = files.folder(`${path}/repos-${bucket}`);
    const peak = knownOf(folder.number('memory.peak'));
    if (peak === 0) unusedCpu += cpuUsageOf(folder) ?? 0;
    folder.close();
    if (peak !== undefined && peak > 0) return known(true);
  }
  const folder = files.folder(path);
  try {
    const processes = knownOf(folder.processes()) ?? 0;
    const cpu = cpuUsageOf(folder);
    const used = cpu === undefined ? knownOf(folder.number('memory.peak')) : cpu - unusedCpu;
    if (processes > 0) return known(true);
    return used === undefined
      ? unknown(`neither cpu.stat nor memory.peak of ${path} can be read`)
      : known(used > 0);
  } finally {
    folder.close();
  }
}

const cpuUsageOf = (folder: CgroupFolder): number | undefined =>
  knownOf(folder.keyed('cpu.stat', ['usage_usec']))?.usage_usec;

function memoryMax(files: CgroupFiles, path: string): Known<MemoryMax> {
  const folder = files.folder(path);
  try {
    const reading = folder.limit('memory.max');
    switch (reading.kind) {
      case 'value':
        return known(reading.value.kind === 'unlimited' ? 'max' : reading.value.value);
      case 'absent':
        return unknown(`${path} has no memory.max: the memory controller is not enabled for it`);
      case 'removed':
        return unknown(`${path} was removed`);
      case 'failed':
        return unknown(`memory.max of ${path} cannot be read (${reading.reason})`);
    }
  } finally {
    folder.close();
  }
}

function ownerOf(file: string): Known<number> {
  try {
    return known(lstatSync(file).uid);
  } catch {
    return unknown(`the owner of ${file} cannot be read`);
  }
}
