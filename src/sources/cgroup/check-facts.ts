/** What the checks ask of a Gitaly's cgroups and of its node's files. Reads a few small files; never throws. */
import { lstatSync } from 'node:fs';
import type { ReadText } from '../../lib/files.ts';
import { type Known, known, notApplicable, unknown } from '../../lib/known.ts';
import { inspectRoot } from './discovery/root.ts';
import type { CgroupFiles, FileReading } from './files/reading.ts';
import type { CgroupDriver, GitalyTree, Layout } from './tree.ts';

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

/** @param root as `files` has it: the owner of a file is asked for by its path */
export function cgroupFactsOf(tree: GitalyTree, root: string, files: CgroupFiles): CgroupFacts {
  const { layout, pod, git, containers } = tree;
  // Inside the container's scope it is the scope that was handed over, not the pod's slice.
  const handedOver = layout === 'nested' ? containers.find(({ gitaly }) => gitaly === true)?.path : pod;
  return {
    layout,
    podMemoryMax:
      pod === undefined ? notApplicable('on a virtual machine there is no pod') : memoryMax(files, pod),
    gitMemoryMax: git === undefined ? notApplicable('there is no gitaly-<pid>') : memoryMax(files, git.path),
    repositoryCgroups:
      git === undefined ? notApplicable('there is no gitaly-<pid>') : known(git.buckets.length),
    ownerUid:
      handedOver === undefined
        ? notApplicable('there is no pod')
        : ownerOf(`${root}/${handedOver}/cgroup.procs`),
  };
}

function memoryMax(files: CgroupFiles, path: string): Known<MemoryMax> {
  const folder = files.folder(path);
  try {
    const reading: FileReading<
      { readonly kind: 'unlimited' } | { readonly kind: 'limit'; readonly value: number }
    > = folder.limit('memory.max');
    switch (reading.kind) {
      case 'value':
        return known(reading.value.kind === 'unlimited' ? 'max' : reading.value.value);
      case 'absent':
        return unknown(`${path} has no memory.max: the memory controller is not handed on to it`);
      case 'removed':
        return unknown(`${path} is gone`);
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
    return unknown(`${file} cannot be looked at`);
  }
}

export interface OwnNode {
  /** As Kubernetes knows it. */
  readonly node: string;
  /** cgroup.root */
  readonly root: string;
  readonly trees: readonly GitalyTree[];
  readonly readText: ReadText;
  /** `/proc`, of which only what is the whole machine's is read. */
  readonly proc: string;
}

/** Of the node that this exporter runs on. */
export async function ownNodeFacts({ node, root, trees, readText, proc }: OwnNode): Promise<NodeFacts> {
  const [mounts, swaps] = await Promise.all(
    [`${proc}/self/mountinfo`, `${proc}/swaps`].map((file) => readText(file).catch(() => undefined)),
  );
  return {
    node,
    cgroupVersion: versionAt(root),
    cgroupDriver: driverAt(root, trees),
    nsdelegate:
      mounts === undefined ? unknown(`${proc}/self/mountinfo cannot be read`) : nsdelegateIn(mounts, root),
    runcVersion: unknown('runc tells its version on the node alone: `runc --version`'),
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
  const told = trees.find(({ driver }) => driver !== undefined)?.driver;
  if (told !== undefined) return known(told);
  if (exists(`${root}/kubepods.slice`)) return known('systemd');
  if (exists(`${root}/kubepods`)) return known('cgroupfs');
  return unknown(`neither kubepods.slice nor kubepods is below ${root}`);
}

/**
 * By the options of the file system itself, which are the same wherever it is mounted: fields after ` - ` of
 * /proc/self/mountinfo (proc(5)).
 */
export function nsdelegateIn(mountinfo: string, root: string): Known<boolean> {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , , point = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    return type === 'cgroup2' ? [{ point: unescaped(point), options: options.split(',') }] : [];
  });
  const at = (point: string) => mounts.findLast((mount) => mount.point === point);
  // A root that is a folder below a mount (kind's, a test's) has that mount's options.
  const around = mounts
    .filter(({ point }) => root.startsWith(point === '/' ? point : `${point}/`))
    .sort((a, b) => b.point.length - a.point.length);
  const found = at(root) ?? around[0];
  return found === undefined
    ? unknown(`no mount of cgroup2 at ${root}`)
    : known(found.options.includes('nsdelegate'));
}

/** Octal escapes of blanks in paths. */
const unescaped = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** Sizes of all lines but the first, in KiB. */
export function swapIn(swaps: string): Known<number> {
  const lines = swaps.trim().split('\n');
  if (!lines[0]?.startsWith('Filename')) return unknown('/proc/swaps is not of the form that is known');
  const sizes = lines.slice(1).map((line) => Number(/^.*\s(?:partition|file)\s+(\d+)\s/.exec(line)?.[1]));
  return sizes.some(Number.isNaN)
    ? unknown('/proc/swaps is not of the form that is known')
    : known(sizes.reduce((sum, size) => sum + size * 1024, 0));
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
