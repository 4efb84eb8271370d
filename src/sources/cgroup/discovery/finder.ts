/**
 * Finds each Gitaly of this host by its cgroups. A search of the whole tree lists every folder, so it runs once a
 * minute; in between only the places where it found something are scanned, and only what changed is listed again.
 */
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { createSerialQueue } from '../../../lib/serial-queue.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KnownPod } from '../../server-info.ts';
import { createCgroupFiles } from '../files/files.ts';
import type { GitalyConfigs, GitalyTree, KnownPods, PodDirectory } from '../tree.ts';
import {
  createDirectoryCache,
  createPause,
  haveSameNames,
  type Pause,
  parentPath,
  type UnreadableFolder,
} from './directory-cache.ts';
import { configsOfHost, createExpectations, hierarchyRootIn, hostPlaceOf } from './expected.ts';
import * as messages from './messages.ts';
import { inspectRoot, type Root } from './root.ts';
import { type CgroupScan, type SearchedPlaces, scanPlaces, searchPlaces } from './scan.ts';
import { createTreeSorter } from './trees.ts';

export interface FinderOptions {
  readonly root: string;
  /** The node's name where no directory knows the pod, and on a virtual machine. */
  readonly hostName: string;
  /** Knows Gitaly's pods; without it they are recognized by their Git cgroups and named by UID. */
  readonly directory?: PodDirectory;
  /** Gitaly's configuration: where its cgroups must be, and that there must be some. */
  readonly configs?: GitalyConfigs | undefined;
  readonly clock?: Pick<Clock, 'monotonic'>;
}

export interface Finder {
  /**
   * One scan at a time; a call during another one waits for it. Never rejects. Occupies the event loop for a few
   * milliseconds at a time, and holds no descriptor after it has returned.
   */
  find(signal: AbortSignal): Promise<Discovery>;
}

export type Discovery =
  | FoundTrees
  /** There is no readable cgroup v2, or the signal aborted. */
  | ({ readonly kind: 'failed' } & Failure);

export interface FoundTrees {
  readonly kind: 'found';
  /** By key; the host's own last. */
  readonly trees: readonly GitalyTree[];
  /** What is unknown, why, and how to fix it: one line each. */
  readonly missing: readonly string[];
  /** What is excluded on purpose: one line each. */
  readonly notes: readonly string[];
  /** A Gitaly may exist that was not found: what is missing since the last scan has not disappeared. */
  readonly isPartial: boolean;
  /** UIDs of pods that have Gitaly's cgroups and are not in a complete list of pods: they have no tree. */
  readonly unlisted: readonly string[];
  /** What could not be read; the trees are those that could. */
  readonly failures: readonly Failure[];
  /** Folders in which trees are created and removed, relative to the root, for `watchPaths`. */
  readonly folders: readonly string[];
}

/** Between two searches of the whole tree, ms. */
const searchIntervalMs = 60_000;
/** The same while no place is known. */
const emptySearchIntervalMs = 5_000;
/** Each needs an inotify watch. */
const maxFolders = 2_000;

export function createFinder({
  root,
  hostName,
  directory,
  configs,
  clock = systemClock,
}: FinderOptions): Finder {
  const directories = createDirectoryCache(root);
  const queue = createSerialQueue();
  const expectations = createExpectations({ root, hostName, clock });
  const sorter = createTreeSorter(createCgroupFiles({ root, maxDescriptors: 0 }), hostName);
  let places: SearchedPlaces | undefined;
  let searchedAt = Number.NEGATIVE_INFINITY;
  let rootNames: readonly string[] = [];
  /** As of the last scan of all pods. */
  let unlisted: readonly string[] = [];
  /** Whether the list of pods was complete at the last scan. */
  let wasListComplete = false;

  async function run(signal: AbortSignal): Promise<Discovery> {
    const inspected = inspectRoot(root);
    if (inspected.kind === 'failed') {
      places = undefined;
      const { version: _, ...failure } = inspected;
      return failure;
    }
    const pause = createPause(signal);
    try {
      const configured = (await configs?.read(signal)) ?? noConfigs;
      const found = await scan(inspected, configured, pause);
      // A place was removed, or a folder was replaced by another at the same number of links: both are forgotten now.
      const isOutdated = directories.wasStale() || searchedAt === Number.NEGATIVE_INFINITY;
      return isOutdated ? await scan(inspected, configured, pause) : found;
    } catch (error) {
      if (!signal.aborted) throw error;
      return { kind: 'failed', reason: 'timeout', message: messages.scanTimedOut(root) };
    }
  }

  async function scan(
    { isTopmost }: Extract<Root, { kind: 'cgroup2' }>,
    configured: Configured,
    pause: Pause,
  ): Promise<Discovery> {
    const list = directory?.pods();
    const known = new Map(list?.pods.map((pod) => [pod.uid, pod]));
    const isListComplete = list !== undefined && list.failure === undefined;
    const hostPlaces = configsOfHost(configured.gitalys, hostName).flatMap(
      (each) => hostPlaceOf(each, root) ?? [],
    );
    const unreadable: UnreadableFolder[] = [];
    const isAll = (await isSearchDue(unreadable, pause)) || (isListComplete && !wasListComplete);
    if (isAll || places === undefined) {
      places = await searchPlaces(createDirectoryCache(root), hostPlaces, () => clock.monotonic(), pause);
      searchedAt = clock.monotonic();
      directories.invalidate();
    }
    const isWanted = (uid: string): boolean => isAll || !isListComplete || known.has(uid);
    const hierarchyRoots = [...new Set(configured.gitalys.flatMap((each) => hierarchyRootIn(each) ?? []))];
    const scanned = await scanPlaces(root, places, isWanted, hierarchyRoots, directories, pause);
    if (scanned.isOutdated) searchedAt = Number.NEGATIVE_INFINITY;
    if (isAll) directories.prune();

    const sorted = sorter.sort(
      { ...scanned, hosts: configuredHosts(scanned.hosts, hostPlaces) },
      known,
      isListComplete,
      places.strayContainers,
    );
    const { trees } = sorted;
    if (isAll || !isListComplete) unlisted = sorted.unlisted;
    wasListComplete = isListComplete;
    if (trees.length === 0 && places.kubepods.length === 0 && !isTopmost)
      return { kind: 'failed', reason: 'parse', message: messages.nothingVisible(root) };
    unreadable.push(...scanned.unreadable, ...sorted.unreadable);
    const truncated = [...(places.isComplete ? [] : ['']), ...sorted.truncated];
    const missingPods = (list?.pods ?? []).filter(({ uid }) => !scanned.pods.has(uid));
    const lostPods = missingPods.filter((pod) => runsHere(pod));
    // With all pods of a complete list found, what cannot be searched outside of their slices is not Gitaly's, unless its
    // name says so.
    const isSettled = isListComplete && hostPlaces.length + missingPods.length + unreadable.length === 0;
    const isExcluded = ({ path }: UnreadableFolder): boolean => isSettled && !/git(?:aly|lab)/.test(path);
    const closed = places.unreadable.filter(({ path }) => !unreadable.some((folder) => folder.path === path));
    const unsearched = closed.filter(isExcluded);
    unreadable.push(...closed.filter((folder) => !isExcluded(folder)));
    const isPartial = unreadable.length + truncated.length > 0;
    const vacant = trees.filter(({ vacancy }) => vacancy !== undefined);
    return {
      kind: 'found',
      trees,
      missing: [
        ...expectations.differences(configured, trees),
        ...missingLines(
          scanned,
          trees,
          list,
          missingPods.filter((pod) => !runsHere(pod)),
          isTopmost,
        ),
      ],
      notes: noteLines(places, trees, unsearched),
      isPartial,
      unlisted,
      failures: [
        ...(list?.failure === undefined ? [] : [list.failure]),
        ...messages.folderFailures(root, unreadable, truncated),
        ...(lostPods.length === 0 ? [] : [messages.lostPods(lostPods.map(podName), root)]),
        ...vacant.map(messages.vacantPod),
        ...expectations.failures(configured, trees, {
          isPartial,
          hasNoPods: isListComplete && known.size === 0,
        }),
      ],
      folders: watchableFolders(places, [...scanned.folders, ...sorted.folders]),
    };
  }

  /** By the API. Of pods of other nodes it is known that they are not here. */
  const runsHere = ({ containers, node }: KnownPod): boolean =>
    (node === '' || node === hostName) && containers.some(({ running }) => running === true);

  async function isSearchDue(unreadable: UnreadableFolder[], pause: Pause): Promise<boolean> {
    const top = await directories.list('', pause);
    if (top.kind === 'failed') unreadable.push({ path: '', code: top.folder.code });
    const names = top.kind === 'listed' ? top.names : [];
    const isChanged = names !== rootNames && !haveSameNames(names, rootNames);
    rootNames = names;
    const isEmpty = places === undefined || places.kubepods.length + places.gitParents.length === 0;
    const intervalMs = isEmpty ? emptySearchIntervalMs : searchIntervalMs;
    return isChanged || clock.monotonic() - searchedAt >= intervalMs;
  }

  function missingLines(
    { hosts }: CgroupScan,
    trees: readonly GitalyTree[],
    list: KnownPods | undefined,
    absent: readonly KnownPod[],
    isTopmost: boolean,
  ): readonly string[] {
    const lines: string[] = [];
    const known = list?.pods ?? [];
    const unnamed = trees.filter(({ uid }) => uid !== '' && !known.some((pod) => pod.uid === uid));
    const because = list === undefined ? messages.noPodDirectory : messages.incompletePodList;
    if (unnamed.length > 0)
      lines.push(
        messages.namedByUid(
          unnamed.map(({ uid }) => uid),
          because,
        ),
      );
    if (absent.length > 0) lines.push(messages.notHere(absent.map(podName), root));
    if (unlisted.length > 0) lines.push(messages.notListed(unlisted));
    const shown = parentPath(trees.find(({ key }) => key === 'host')?.git?.path ?? '');
    const others = hosts.map(({ parent }) => parent).filter((parent) => parent !== shown);
    if (others.length > 0) lines.push(messages.onlyOneHost(shown, others));
    if (!isTopmost && hosts.length > 0) lines.push(messages.ownCgroupOnly);
    if (trees.length === 0 && known.length === 0 && unlisted.length === 0)
      lines.push(messages.nothingFound(root));
    return lines;
  }

  /** What is not searched concerns only those who miss a Gitaly. */
  function noteLines(
    { skipped }: SearchedPlaces,
    trees: readonly GitalyTree[],
    unsearched: readonly UnreadableFolder[],
  ): readonly string[] {
    const lines: string[] = [];
    if (unsearched.length > 0) lines.push(messages.unsearched(unsearched));
    if (trees.length === 0 && skipped.length > 0) lines.push(messages.skipped(skipped));
    return lines;
  }

  return { find: (signal) => queue.run(() => run(signal)) };
}

/** Of several Gitalys outside of Kubernetes the one whose configuration is known. */
function configuredHosts(hosts: CgroupScan['hosts'], places: readonly string[]): CgroupScan['hosts'] {
  const configured = hosts.filter(({ parent }) => places.includes(parent));
  return configured.length > 0 ? configured : hosts;
}

type Configured = Awaited<ReturnType<GitalyConfigs['read']>>;

const noConfigs: Configured = { gitalys: [], failures: [] };

const podName = ({ name, namespace }: KnownPod): string => `${namespace}/${name}`;

/** With the folders above the places: a place may be removed with them. */
function watchableFolders(
  { kubepods, gitParents }: SearchedPlaces,
  scanned: readonly string[],
): readonly string[] {
  const all = new Set(['']);
  for (const path of [...kubepods.map((each) => each.path), ...gitParents])
    for (let above = path; above !== ''; above = parentPath(above)) all.add(above);
  for (const folder of scanned) all.add(folder);
  return [...all].slice(0, maxFolders);
}
