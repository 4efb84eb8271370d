/**
 * The cgroups beside Gitaly's pods: read for no other reason than to know which kills are not Gitaly's, when the
 * total of the slice around them all moved and a pod is gone.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CgroupFiles } from '../files/reading.ts';
import { type Counters, readCounters, zero } from './counters.ts';

/** More pods than a node runs (110 by default, a few hundred at most). Where there are more, none is read. */
export const maxNeighbours = 1000;

/** The paths of the cgroups right below one; undefined when they cannot be listed. */
export type Children = (path: string) => readonly string[] | undefined;

export const childrenBelow =
  (root: string): Children =>
  (path) => {
    try {
      return readdirSync(join(root, path), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => (path === '' ? name : `${path}/${name}`));
    } catch {
      return undefined;
    }
  };

/**
 * Reads memory.events once, and keeps no descriptor: there may be hundreds, and they are rarely asked. Undefined when
 * it is gone or cannot be read; without the memory controller nothing can be killed for it.
 */
export function readOnce(files: CgroupFiles, path: string): Counters | undefined {
  const folder = files.folder(path);
  const reading = readCounters(folder, 'memory.events');
  folder.close();
  return reading.kind === 'value' ? reading.value : reading.kind === 'absent' ? zero : undefined;
}

/** Where counting starts from for a cgroup that nobody has told of yet. */
export interface Start {
  /** Its totals when the exporter started; `new`: it was not there; `unknown`: it may have been. */
  of(path: string): Counters | 'new' | 'unknown';
}

/** The kubelet's own levels: kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice. */
const maxDepth = 3;

/**
 * Reads the totals of what may come to stand around a Gitaly that is found later: those at the root (a virtual
 * machine's `gitaly`), and the kubelet's. Without them, a pod that is named to us late would bring in all the kills
 * of its past.
 */
export function readStart(files: CgroupFiles, childrenOf: Children): Start {
  const totals = new Map<string, Counters>();
  let queue = [...(childrenOf('') ?? [])];
  const first = new Set(queue);
  for (let depth = 1; depth <= maxDepth; depth++) {
    for (const path of queue.slice(0, maxNeighbours)) {
      const counters = readOnce(files, path);
      if (counters !== undefined) totals.set(path, counters);
    }
    queue = queue
      .filter((path) => /kube/.test(path))
      .flatMap((path) => childrenOf(path) ?? [])
      // Pods are read below their slices, when they are Gitaly's or beside one.
      .filter((path) => !/pod[0-9a-f]{8}[^/]*$/.test(path));
  }
  return {
    of(path) {
      const [top = ''] = path.split('/', 1);
      return totals.get(path) ?? (first.has(top) ? 'unknown' : 'new');
    },
  };
}
