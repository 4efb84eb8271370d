/** OOM kills of every Gitaly on this host, each counted once, whoever asks: a watch, the poll or a scrape. */

import type { Clock } from '../../../lib/clock.ts';
import type { Identity } from '../../identity.ts';
import { createSlices } from '../buckets/slices.ts';
import { type CgroupFiles, knownOf } from '../files/reading.ts';
import { createAccounts } from './accounts.ts';
import { type ClassifiedKill, classify } from './classify.ts';
import { createForest, type Forest } from './forest.ts';
import { hasLocalEvents, readMounts } from './mount.ts';
import { type Children, childrenBelow, readStart } from './neighbours.ts';
import type { Place } from './node.ts';
import type { OomKill, OomTracker } from './record.ts';
import type { TopKills } from './slice.ts';

export interface OomTrackerOptions {
  readonly files: CgroupFiles;
  /** Where cgroup v2 is mounted, the same as `files` has. */
  readonly root: string;
  /** Lists cgroups. Default: those of the root. */
  readonly childrenOf?: Children;
  /** What /proc/self/mountinfo says. Default: read at the first `follow`. */
  readonly mountinfo?: string;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
}

/** How far what the tracker says can be believed. */
export interface OomHealth {
  /** Gitalys whose kills are not known now, and why; `totals()` leaves them out. */
  readonly unread: readonly { readonly tree: string; readonly why: string }[];
  /**
   * Processes killed, since the start, in pods that went before they could be read, where it cannot be told whether
   * the pod was Gitaly's: no Gitaly has them in its totals.
   */
  readonly unattributed: number;
}

export interface OomTrackerWithHealth extends OomTracker {
  health(): OomHealth;
}

const anonKeys = ['anon'] as const;

/** Reads nothing before the first `follow`. The first `settle` after it counts nothing: it is where counting starts. */
export function createOomTracker({
  clock,
  files,
  root,
  childrenOf = childrenBelow(root),
  mountinfo,
}: OomTrackerOptions): OomTrackerWithHealth {
  const accounts = createAccounts(clock);
  const closing = new AbortController();
  let forest: Forest | undefined;
  let isLocal = false;
  let hasBaseline = false;
  /** What to follow from the next pass on. */
  let wanted: Parameters<OomTracker['follow']>[0] = [];
  /** Counted, but told to nobody yet. */
  let untold: OomKill[] = [];
  let unattributed = 0;
  let running: Promise<void> | undefined;
  let following: Promise<void> | undefined;

  async function pass(): Promise<void> {
    if (forest === undefined || closing.signal.aborted) return;
    forest.follow(wanted);
    const moment = { at: clock.monotonic(), isBaseline: !hasBaseline };
    const isWhole = await forest.settle(createSlices(closing.signal), moment, (settled) => {
      unattributed += settled.unattributed;
      for (const kills of settled.found) untold.push(...tell(kills, moment.at));
    });
    if (isWhole) hasBaseline = true;
  }

  /** One pass at a time; who asks while one runs gets one that begins after that, with all others who did. */
  function settled(): Promise<void> {
    if (running === undefined) {
      running = pass().finally(() => {
        running = undefined;
      });
      return running;
    }
    following ??= running
      .catch(() => {}) // Told to whoever asked for it.
      .then(() => {
        following = undefined;
        return settled();
      });
    return following;
  }

  function tell({ moved, tree }: TopKills, at: number): readonly OomKill[] {
    const identity = accounts.identity(tree);
    if (identity === undefined) return [];
    const { groups, kills, spent } = classify(moved);
    for (const [{ node }, ooms] of spent) if (node !== undefined) node.ooms -= ooms;
    for (const [{ node }, group] of groups) {
      if (node === undefined || node.group === group) continue;
      node.group = group;
      node.groupAt = at;
    }
    return merged(kills).map((kill) => {
      const { bucket } = kill.victim.shape;
      accounts.add(tree, { level: kill.level, processes: kill.processes, events: kill.events, bucket });
      return killOf(kill, tree, identity, clock.now());
    });
  }

  function whyUnread(tree: string): string | undefined {
    if (isLocal)
      return 'cgroup v2 is mounted with memory_localevents, so that no total has what is below it: mount it without';
    const top = forest?.top(tree);
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
        return top?.local === undefined
          ? 'its memory.events.local cannot be read (kernels before 5.2 do not have it)'
          : undefined;
    }
  }

  return {
    follow(trees) {
      if (forest === undefined) {
        isLocal = hasLocalEvents(mountinfo ?? readMounts(), root);
        forest = createForest(files, childrenOf, readStart(files, childrenOf));
      }
      wanted = trees;
      accounts.follow(new Map(trees.map(({ identity, key }) => [key, identity])));
    },
    async settle(signal) {
      await until(settled(), signal);
      if (signal?.aborted) return [];
      const told = untold;
      untold = [];
      return told;
    },
    totals: () => accounts.totals((tree) => whyUnread(tree) === undefined),
    health: () => ({
      unread: wanted.flatMap(({ key }) => {
        const why = whyUnread(key);
        return why === undefined ? [] : [{ tree: key, why }];
      }),
      unattributed,
    }),
    close() {
      closing.abort();
      forest?.close();
    },
  };
}

/** As soon as it is done, or the signal aborts. */
async function until(done: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return done;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    await Promise.race([done, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** One for each victims' place and level. */
function merged(kills: readonly ClassifiedKill<Place>[]): readonly ClassifiedKill<Place>[] {
  const result: ClassifiedKill<Place>[] = [];
  for (const kill of kills) {
    const index = result.findIndex(({ level, victim }) => level === kill.level && victim === kill.victim);
    const same = result[index];
    if (same === undefined) result.push(kill);
    else
      result[index] = {
        ...same,
        processes: same.processes + kill.processes,
        events: same.events + kill.events,
      };
  }
  return result;
}

function killOf(kill: ClassifiedKill<Place>, tree: string, identity: Identity, at: number): OomKill {
  const { events, level, limit, processes, victim } = kill;
  const folder = limit?.node?.folder;
  const max = folder && knownOf(folder.limit('memory.max'));
  return Object.freeze({
    at,
    tree,
    identity,
    level,
    processes,
    events,
    bucket: victim.shape.bucket,
    container: victim.shape.container,
    memory: {
      limit: max?.kind === 'limit' ? max.value : undefined,
      usage: folder && knownOf(folder.number('memory.current')),
      anon: folder && knownOf(folder.keyed('memory.stat', anonKeys))?.anon,
    },
    fromAncestor: victim.node === undefined,
  });
}
