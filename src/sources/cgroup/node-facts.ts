/** What the node's own files show for the checks: memory, swap, the version and driver of its cgroups. */

import { readdirSync } from 'node:fs';
import type { ReadText } from '../../lib/files.ts';
import { type Known, known, present, unknown } from '../../lib/known.ts';
import { cgroupMountOptions, hasFile, inspectRoot } from './discovery/root.ts';
import type { CgroupDriver, GitalyTree } from './tree.ts';

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

export interface NodeFactsOptions {
  /** cgroup.root */
  readonly root: string;
  /** The node's name in Kubernetes, or the host name of a virtual machine. */
  readonly node: string;
  readonly readText: ReadText;
  /** `/proc`, of which only files about the whole host are read. */
  readonly proc: string;
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
  return present(found.version, found.message);
}

/** A folder of the other driver is left after the kubelet's driver was changed, so what pods use counts first. */
function driverAt(root: string, trees: readonly GitalyTree[]): NodeFacts['cgroupDriver'] {
  const isMisplaced = trees.some(({ vacancy }) => vacancy !== undefined);
  if (isMisplaced || misplacedContainer(root) !== undefined) return known('mixed');
  const drivers = new Set(trees.flatMap(({ driver }) => driver ?? []));
  if (drivers.size > 1) return known('mixed');
  const [ofTrees] = drivers;
  if (ofTrees !== undefined) return known(ofTrees);
  const systemd = hasFile(`${root}/kubepods.slice`);
  const cgroupfs = hasFile(`${root}/kubepods`);
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
