/** Facts for the checks, from this host's cgroups and its node's files: a few small files, read once a minute. */
import { lstatSync, readdirSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import { isUnknown, type Known, known, notApplicable, present, unknown } from '../../lib/known.ts';
import type { Identity } from '../identity.ts';
import { createFinder } from './discovery/finder.ts';
import { cgroupMountOptions, inspectRoot } from './discovery/root.ts';
import { createCgroupFiles } from './files/files.ts';
import { type CgroupFiles, type CgroupFolder, knownOf } from './files/reading.ts';
import {
  type CgroupDriver,
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

/** What the node's own files show. */
export interface NodeFacts {
  readonly node: string;
  readonly cgroupVersion: Known<'v1' | 'hybrid' | 'v2'>;
  /** `mixed`: the kubelet uses one driver and the container runtime the other, so that no slice limits its pod. */
  readonly cgroupDriver: Known<CgroupDriver | 'mixed'>;
  /** An option of the cgroup2 mount. */
  readonly nsdelegate: Known<boolean>;
  readonly runcVersion: Known<string>;
  /** Of /proc/swaps. Not applicable where no agent reads that file: then the kubelet's report counts. */
  readonly swapBytes: Known<number>;
  /** MemTotal of /proc/meminfo. */
  readonly memoryBytes: Known<number>;
}

export interface CgroupServer {
  readonly identity: Identity;
  readonly facts: CgroupFacts;
}

export interface CgroupFactsReader {
  /** Scans for Gitalys each time. Never rejects. */
  read(signal: AbortSignal): Promise<{ readonly servers: readonly CgroupServer[]; readonly node: NodeFacts }>;
}

interface CgroupFactsReaderOptions {
  /** cgroup.root */
  readonly root: string;
  /** The node's name in Kubernetes, or the host name of a virtual machine. */
  readonly node: string;
  readonly directory: PodDirectory | undefined;
  /** Where Gitaly's configuration places its cgroups. */
  readonly configs?: GitalyConfigs | undefined;
  readonly readText: ReadText;
  /** `/proc`, of which only files about the whole host are read. */
  readonly proc: string;
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

interface NodeFactsOptions extends Omit<CgroupFactsReaderOptions, 'directory' | 'clock'> {
  readonly trees: readonly GitalyTree[];
}

/** Of the node that this exporter runs on. */
export async function nodeFactsOf({
  node,
  root,
  trees,
  readText,
  proc,
}: NodeFactsOptions): Promise<NodeFacts> {
  const [mounts, swaps, memory] = await Promise.all(
    [`${proc}/self/mountinfo`, `${proc}/swaps`, `${proc}/meminfo`].map((file) =>
      readText(file).catch(() => undefined),
    ),
  );
  return {
    node,
    cgroupVersion: versionAt(root),
    cgroupDriver: driverAt(root, trees),
    nsdelegate:
      mounts === undefined ? unknown(`${proc}/self/mountinfo cannot be read`) : nsdelegateIn(mounts, root),
    runcVersion: unknown('runc reports its version on the node only: run `runc --version` there'),
    swapBytes: swaps === undefined ? unknown(`${proc}/swaps cannot be read`) : swapIn(swaps),
    memoryBytes: present(memoryIn(memory ?? ''), `${proc}/meminfo cannot be read`),
  };
}

function memoryIn(meminfo: string): number | undefined {
  const [, kilobytes] = /^MemTotal:\s+(\d+) kB$/m.exec(meminfo) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

function versionAt(root: string): NodeFacts['cgroupVersion'] {
  const found = inspectRoot(root);
  if (found.kind === 'cgroup2') return known('v2');
  if (exists(`${root}/unified/cgroup.controllers`) || exists(`${root}/cgroup.controllers`))
    return known('hybrid');
  const isV1 = ['memory', 'cpu', 'cpu,cpuacct'].some((name) => exists(`${root}/${name}/cgroup.procs`));
  return isV1 || exists(`${root}/memory.usage_in_bytes`) ? known('v1') : unknown(found.message);
}

/** A folder of the other driver is left after the kubelet's driver was changed, so what pods use counts first. */
function driverAt(root: string, trees: readonly GitalyTree[]): NodeFacts['cgroupDriver'] {
  const isMisplaced = trees.some(({ vacancy }) => vacancy !== undefined);
  if (isMisplaced || misplacedContainer(root) !== undefined) return known('mixed');
  const drivers = new Set(trees.flatMap(({ driver }) => driver ?? []));
  if (drivers.size > 1) return known('mixed');
  const [ofTrees] = drivers;
  if (ofTrees !== undefined) return known(ofTrees);
  const systemd = exists(`${root}/kubepods.slice`);
  const cgroupfs = exists(`${root}/kubepods`);
  if (systemd && cgroupfs)
    return unknown(`${root} contains both kubepods.slice and kubepods, and no Gitaly pod is below either`);
  if (systemd || cgroupfs) return known(systemd ? 'systemd' : 'cgroupfs');
  return unknown(`${root} contains neither kubepods.slice nor kubepods`);
}

/**
 * A container whose runtime took the kubelet's name of a slice and the container for a plain path:
 * `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>` in the runtime's own cgroup, outside of the pod's slice.
 */
function misplacedContainer(root: string): string | undefined {
  const isMisplaced = (name: string): boolean => /^kubepods[\w-]*\.slice:[\w-]+:/.test(name);
  const services = foldersIn(`${root}/system.slice`);
  return [
    ...foldersIn(root),
    ...services,
    ...services
      .filter((name) => name.endsWith('.service'))
      .flatMap((name) => foldersIn(`${root}/system.slice/${name}`)),
  ].find(isMisplaced);
}

function foldersIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** `mountinfo`: the text of /proc/self/mountinfo. */
export function nsdelegateIn(mountinfo: string, root: string): Known<boolean> {
  const options = cgroupMountOptions(mountinfo, root);
  return options === undefined
    ? unknown(`no cgroup2 is mounted at ${root}`)
    : known(options.includes('nsdelegate'));
}

/** The sum of the sizes, which are in KiB on every line but the first. */
export function swapIn(swaps: string): Known<number> {
  const malformed = unknown('/proc/swaps has an unknown format');
  const lines = swaps.trim().split('\n');
  if (!lines[0]?.startsWith('Filename')) return malformed;
  const sizes = lines.slice(1).map((line) => Number(/^.*\s(?:partition|file)\s+(\d+)\s/.exec(line)?.[1]));
  return sizes.some(Number.isNaN) ? malformed : known(sizes.reduce((sum, size) => sum + size * 1024, 0));
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
