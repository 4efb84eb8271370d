/** OOM kills of every Gitaly on this host, each counted once, no matter which of watch, poll and scrape finds it. */
import { unlessAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { readTextFileSync } from '../../../lib/files.ts';
import { createSerialQueue } from '../../../lib/serial-queue.ts';
import { createYielder } from '../../../lib/yielder.ts';
import type { Identity } from '../../identity.ts';
import { listFolders, parentPath } from '../discovery/directory-cache.ts';
import { cgroupMountOptions } from '../discovery/root.ts';
import { type CgroupFiles, knownOf } from '../files/reading.ts';
import type { GitalyTree } from '../tree.ts';
import { type ClassifiedKill, classify, type MovedCgroup } from './classify.ts';
import { type CounterNode, type CounterTree, type KillPlace, topOf } from './counter-tree.ts';
import { createCounterPass, type ListChildren } from './deltas.ts';
import { type Baseline, createPodParent, type PodParent, readBaseline } from './pod-parent.ts';
import type { OomKill, OomTracker } from './record.ts';
import { createOomTotals } from './totals.ts';

interface OomTrackerOptions {
  readonly files: CgroupFiles;
  /** Where cgroup v2 is mounted, the same as of `files`. */
  readonly root: string;
  /** Default: the folders below the root. */
  readonly listChildren?: ListChildren;
  /** The text of /proc/self/mountinfo. Default: read at the first `follow`. */
  readonly mountinfo?: string;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
}

const anonKeys = ['anon'] as const;

/** Reads nothing before the first `follow`. The first `settle` after it counts nothing: counting starts there. */
export function createOomTracker({
  clock,
  files,
  root,
  listChildren = (path) => listFolders(root, path),
  mountinfo,
}: OomTrackerOptions): OomTracker {
  const totals = createOomTotals(clock);
  const queue = createSerialQueue();
  /** By path. */
  const parents = new Map<string, PodParent>();
  let baseline: Baseline | undefined;
  let hasLocalEvents = false;
  let wanted: readonly GitalyTree[] | undefined;
  /** Counted, but not returned yet. */
  let unreturned: OomKill[] = [];
  let unattributed = 0;
  let isClosed = false;

  async function runPass(): Promise<void> {
    if (wanted === undefined || isClosed) return;
    const pass = createCounterPass(files, listChildren, createYielder(), clock.monotonic());
    baseline ??= await readBaseline(listChildren);
    await pass.close(applyWanted(wanted, baseline));
    for (const parent of parents.values()) {
      const delta = await parent.count(pass);
      unattributed += delta.unattributed;
      for (const { identity, moved } of delta.trees) record(identity, moved);
    }
  }

  /** Distributes the trees over the parents of their topmost cgroups. Returns the nodes of all others, still open. */
  function applyWanted(trees: readonly GitalyTree[], since: Baseline): readonly CounterNode[] {
    const byParent = Map.groupBy(trees, (tree) => {
      const top = topOf(tree)?.path;
      return top === undefined ? undefined : parentPath(top);
    });
    for (const path of [...since.podParents, ...byParent.keys()])
      if (path !== undefined && !parents.has(path))
        parents.set(path, createPodParent(path, files, listChildren, since));
    return [...parents].flatMap(([path, parent]) => parent.follow(byParent.get(path) ?? []));
  }

  function record(identity: Identity, moved: MovedCgroup<KillPlace>): void {
    const { groups, kills, spent } = classify(moved);
    for (const [{ node }, ooms] of spent) if (node !== undefined) node.ooms -= ooms;
    for (const [{ node }, group] of groups) {
      if (node === undefined) continue;
      node.group = group;
      node.groupAt = clock.monotonic();
    }
    for (const kill of mergeKills(kills)) {
      const { events, level, limit, processes, victim } = kill;
      const { bucket, container } = victim.role;
      totals.add(identity, { level, processes, events, bucket });
      if (processes === 0) continue;
      unreturned.push({
        at: clock.now(),
        ...{ identity, level, processes, events, bucket, container },
        memory: memoryOf(limit),
        fromAncestor: victim.node === undefined,
      });
    }
  }

  const treeOf = (key: string): CounterTree | undefined => {
    for (const parent of parents.values()) {
      const tree = parent.tree(key);
      if (tree !== undefined) return tree;
    }
    return undefined;
  };

  function whyUnread(key: string): string | undefined {
    if (hasLocalEvents)
      return 'cgroup v2 is mounted with memory_localevents, so no memory.events has what is below it: mount it without';
    const known = treeOf(key);
    if (known?.wanted.vacancy !== undefined) return 'its processes run outside of its slice';
    const top = known?.top;
    switch (top?.status) {
      case undefined:
        return 'not read yet';
      case 'failed':
        return 'its memory.events cannot be read';
      case 'absent':
        return 'it has no memory.events: the memory controller is not enabled for it';
      case 'removed':
        return undefined; // What it had is counted.
      case 'value':
        return top.local === undefined
          ? 'its memory.events.local cannot be read (kernels before 5.2 do not have it)'
          : undefined;
    }
  }

  return {
    follow(trees) {
      if (wanted === undefined)
        hasLocalEvents =
          cgroupMountOptions(mountinfo ?? readMounts(), root)?.includes('memory_localevents') ?? false;
      wanted = trees;
      totals.follow(new Map(trees.map(({ identity, key }) => [key, identity])));
    },
    async settle(signal) {
      const done = queue.run(runPass);
      await (signal === undefined ? done : unlessAborted(done, signal));
      if (signal?.aborted) return [];
      const kills = unreturned;
      unreturned = [];
      return kills;
    },
    totals: () => totals.list((tree) => whyUnread(tree) === undefined),
    health: () => ({
      unread: (wanted ?? []).flatMap(({ key }) => {
        const why = whyUnread(key);
        return why === undefined ? [] : [{ tree: key, why }];
      }),
      unattributed,
    }),
    close() {
      isClosed = true;
      for (const parent of parents.values()) parent.close();
    },
  };
}

/** Empty where the file does not exist. */
function readMounts(): string {
  try {
    return readTextFileSync('/proc/self/mountinfo');
  } catch {
    return '';
  }
}

/** One for each place and level. */
function mergeKills(kills: readonly ClassifiedKill<KillPlace>[]): readonly ClassifiedKill<KillPlace>[] {
  const result: ClassifiedKill<KillPlace>[] = [];
  for (const kill of kills) {
    const index = result.findIndex(({ level, victim }) => level === kill.level && victim === kill.victim);
    const same = result[index];
    if (same === undefined) result.push(kill);
    else {
      const processes = same.processes + kill.processes;
      result[index] = { ...same, processes, events: same.events + kill.events };
    }
  }
  return result;
}

function memoryOf(limit: KillPlace | undefined): OomKill['memory'] {
  const folder = limit?.node?.folder;
  const max = folder && knownOf(folder.limit('memory.max'));
  return {
    limit: max?.kind === 'limit' ? max.value : undefined,
    usage: folder && knownOf(folder.number('memory.current')),
    anon: folder && knownOf(folder.keyed('memory.stat', anonKeys))?.anon,
  };
}
