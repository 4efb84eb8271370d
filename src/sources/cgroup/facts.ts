/** Facts for the checks, from this host's cgroups and its node's files: a few small files, read once a minute. */
import { lstatSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import { type Known, known, notApplicable, unknown } from '../../lib/known.ts';
import type { Identity } from '../identity.ts';
import { createFinder } from './discovery/finder.ts';
import { cgroupMountOptions, inspectRoot } from './discovery/root.ts';
import { createCgroupFiles } from './files/files.ts';
import type { CgroupFiles } from './files/reading.ts';
import type { CgroupDriver, GitalyTree, Layout, PodDirectory } from './tree.ts';

/** Bytes, or the kernel's word for no limit. */
export type MemoryMax = number | 'max';

/** What the cgroup tree shows of one Gitaly. */
export interface CgroupFacts {
  readonly layout: Layout;
  /** memory.max of the pod's slice. */
  readonly podMemoryMax: Known<MemoryMax>;
  /** memory.max of gitaly-<pid>; not applicable where there is none. */
  readonly gitMemoryMax: Known<MemoryMax>;
  /** How many repos-N exist: Gitaly creates repos-0 at its start, the others at their first use. */
  readonly repositoryCgroups: Known<number>;
  /** Owner of the slice's cgroup.procs. */
  readonly ownerUid: Known<number>;
}

/** What the node's own files show. */
export interface NodeFacts {
  readonly node: string;
  readonly cgroupVersion: Known<'v1' | 'hybrid' | 'v2'>;
  readonly cgroupDriver: Known<CgroupDriver>;
  /** An option of the cgroup2 mount. */
  readonly nsdelegate: Known<boolean>;
  readonly runcVersion: Known<string>;
  /** Of /proc/swaps. Not applicable where no agent reads that file: then the kubelet's report counts. */
  readonly swapBytes: Known<number>;
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
  readonly readText: ReadText;
  /** `/proc`, of which only files about the whole host are read. */
  readonly proc: string;
  readonly clock: Clock;
}

export function createCgroupFactsReader(options: CgroupFactsReaderOptions): CgroupFactsReader {
  const { root, node, directory, readText, proc, clock } = options;
  const finder = createFinder({ root, hostName: node, clock, ...(directory && { directory }) });
  // No descriptor is kept from one minute to the next.
  const files = createCgroupFiles({ root, clock, maxDescriptors: 0 });
  return {
    async read(signal) {
      const found = await finder.find(signal);
      const trees = found.kind === 'found' ? found.trees : [];
      return {
        servers: trees.map((tree) => ({
          identity: tree.identity,
          facts: cgroupFactsOf(tree, root, files),
        })),
        node: await nodeFactsOf({ node, root, trees, readText, proc }),
      };
    },
  };
}

/** @param root the root of `files`: the owner of a file is read by its path */
export function cgroupFactsOf(tree: GitalyTree, root: string, files: CgroupFiles): CgroupFacts {
  const { layout, pod, git, containers } = tree;
  // With nested cgroups the container's scope is delegated to Gitaly, not the pod's slice.
  const delegated = layout === 'nested' ? containers.find(({ gitaly }) => gitaly === true)?.path : pod;
  return {
    layout,
    podMemoryMax: pod === undefined ? notApplicable('a virtual machine has no pod') : memoryMax(files, pod),
    gitMemoryMax:
      git === undefined ? notApplicable('there is no cgroup gitaly-<pid>') : memoryMax(files, git.path),
    repositoryCgroups:
      git === undefined ? notApplicable('there is no cgroup gitaly-<pid>') : known(git.buckets.length),
    ownerUid:
      delegated === undefined
        ? notApplicable('there is no pod')
        : ownerOf(`${root}/${delegated}/cgroup.procs`),
  };
}

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
  const [mounts, swaps] = await Promise.all(
    [`${proc}/self/mountinfo`, `${proc}/swaps`].map((file) => readText(file).catch(() => undefined)),
  );
  return {
    node,
    cgroupVersion: versionAt(root),
    cgroupDriver: driverAt(root, trees),
    nsdelegate:
      mounts === undefined ? unknown(`${proc}/self/mountinfo cannot be read`) : nsdelegateIn(mounts, root),
    runcVersion: unknown('runc reports its version on the node only: run `runc --version` there'),
    swapBytes: swaps === undefined ? unknown(`${proc}/swaps cannot be read`) : swapIn(swaps),
  };
}

function versionAt(root: string): NodeFacts['cgroupVersion'] {
  const found = inspectRoot(root);
  if (found.kind === 'cgroup2') return known('v2');
  if (exists(`${root}/unified/cgroup.controllers`) || exists(`${root}/cgroup.controllers`))
    return known('hybrid');
  const isV1 = ['memory', 'cpu', 'cpu,cpuacct'].some((name) => exists(`${root}/${name}/cgroup.procs`));
  return isV1 || exists(`${root}/memory.usage_in_bytes`) ? known('v1') : unknown(found.message);
}

function driverAt(root: string, trees: readonly GitalyTree[]): NodeFacts['cgroupDriver'] {
  const ofTree = trees.find(({ driver }) => driver !== undefined)?.driver;
  if (ofTree !== undefined) return known(ofTree);
  if (exists(`${root}/kubepods.slice`)) return known('systemd');
  if (exists(`${root}/kubepods`)) return known('cgroupfs');
  return unknown(`${root} contains neither kubepods.slice nor kubepods`);
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
