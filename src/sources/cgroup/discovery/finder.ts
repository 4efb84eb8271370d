/**
 * Finds each Gitaly of this host in its cgroups. Looking everywhere takes a listing of every folder, so it is done
 * once a minute; between, only the places that held something are looked at, and there only what changed is listed.
 */
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { createSlices, type Slices } from '../buckets/slices.ts';
import { createCgroupFiles } from '../files/files.ts';
import { knownOf } from '../files/reading.ts';
import type { GitalyTree, KnownPod, PodDirectory } from '../tree.ts';
import { createDirectories, hasSameNames } from './directories.ts';
import type { Finder, Found } from './found.ts';
import type { GitalyFolder } from './gitaly-folders.ts';
import { type Choice, chooseLiving, type Living } from './living.ts';
import { hasBuckets, lookAt, type Sight } from './look.ts';
import * as missing from './missing.ts';
import { findPlaces, type Places } from './places.ts';
import { createProblems, type Problems } from './problems.ts';
import { inspectRoot, type Root } from './root.ts';
import { hostTree, podTree } from './trees.ts';

export interface FinderOptions {
  readonly root: string;
  /** The node of a pod that nobody has told of, and of a virtual machine. */
  readonly hostName: string;
  /** Who knows Gitaly's pods; without it trees are recognised by their Git cgroups and named by uid. */
  readonly directory?: PodDirectory;
  readonly clock?: Pick<Clock, 'monotonic'>;
}

/** Looks everywhere after this, ms. */
const everywhereMs = 60_000;
/** The same while there is nothing to look at. */
const searchMs = 5_000;
/** Each costs a watch of the kernel's. */
const mostFolders = 2_000;

export function createFinder({ root, hostName, directory, clock = systemClock }: FinderOptions): Finder {
  const directories = createDirectories(root);
  const files = createCgroupFiles({ root, maxDescriptors: 0 });
  const choices = new Map<string, Choice>();
  let places: Places | undefined;
  let placesAt = Number.NEGATIVE_INFINITY;
  let rootNames: readonly string[] = [];
  /** Uids of pods with Gitaly's cgroups that the directory does not list, as of the last look everywhere. */
  let unlisted: readonly string[] = [];
  /** Whether the list of pods was whole at the last look: who is not on it was shown before. */
  let wasByList = false;
  let last: Promise<unknown> = Promise.resolve();

  function isBusy({ path }: GitalyFolder): boolean {
    const folder = files.folder(path);
    const { populated } = knownOf(folder.keyed('cgroup.events', populatedKey)) ?? {};
    folder.close();
    return populated === 1;
  }

  function livingOf(key: string, gitaly: readonly GitalyFolder[]): Living {
    const { choice, ...living } = chooseLiving(gitaly, choices.get(key), isBusy);
    if (choice === undefined) choices.delete(key);
    else choices.set(key, choice);
    return living;
  }

  /** Undefined when it is time to give up. */
  async function mustLookEverywhere(slices: Slices, problems: Problems): Promise<boolean | undefined> {
    const top = await directories.list('', slices);
    if (top === undefined) return undefined;
    if (top.kind === 'failed') problems.unreadable('', top.code);
    const names = top.kind === 'listed' ? top.names : [];
    const isNew = names !== rootNames && !hasSameNames(names, rootNames);
    rootNames = names;
    const isEmpty = places === undefined || places.kubepods.length + places.parents.length === 0;
    return isNew || clock.monotonic() - placesAt >= (isEmpty ? searchMs : everywhereMs);
  }

  async function look(
    inspected: Extract<Root, { kind: 'cgroup2' }>,
    slices: Slices,
  ): Promise<Found | undefined> {
    const problems = createProblems(root);
    const told = directory?.pods();
    const known = new Map(told?.pods.map((pod) => [pod.uid, pod]));
    const isByList = told !== undefined && told.failure === undefined;
    const isDue = await mustLookEverywhere(slices, problems);
    if (isDue === undefined) return undefined;
    const isEverywhere = isDue || (isByList && !wasByList);
    if (isEverywhere || places === undefined) {
      places = await findPlaces(createDirectories(root), slices);
      if (places === undefined) return undefined;
      placesAt = clock.monotonic();
      directories.expire();
    }
    if (!places.isWhole) problems.truncated('');
    const isWanted = (uid: string): boolean => isEverywhere || !isByList || known.has(uid);

    const sight = await lookAt(root, places, isWanted, directories, slices);
    if (sight === undefined) return undefined;
    if (sight.isOutdated) placesAt = Number.NEGATIVE_INFINITY;
    if (isEverywhere) directories.prune();

    const { trees, folders, notListed } = sortOut(sight, known, isByList, problems);
    if (isEverywhere || !isByList) unlisted = notListed;
    wasByList = isByList;
    for (const key of choices.keys()) if (!trees.some((tree) => tree.key === key)) choices.delete(key);
    if (trees.length === 0 && places.kubepods.length === 0 && !inspected.isTopmost)
      return { kind: 'failed', reason: 'parse', message: missing.nothingVisible(root) };
    return {
      kind: 'found',
      trees,
      missing: linesOf(sight, trees, [...known.values()], inspected),
      unlisted,
      failures: [...(told?.failure === undefined ? [] : [told.failure]), ...problems.failures()],
      folders: foldersOf(places, folders),
    };
  }

  function sortOut(
    sight: Sight,
    known: ReadonlyMap<string, KnownPod>,
    isByList: boolean,
    problems: Problems,
  ) {
    const trees: GitalyTree[] = [];
    const folders = [...sight.folders];
    const notListed: string[] = [];
    for (const { path, code } of sight.unreadable) problems.unreadable(path, code);
    for (const [uid, pod] of sight.pods) {
      const { gitaly } = pod.contents;
      const ofPod = known.get(uid);
      // One that is not Gitaly's yet may become so, where nobody tells.
      if (ofPod !== undefined || !isByList) {
        folders.push(...pod.folders);
        for (const { path, code } of pod.unreadable) problems.unreadable(path, code);
      }
      // What others do in their pods is theirs.
      if (!pod.contents.isWhole && (ofPod !== undefined || hasBuckets(gitaly)))
        problems.truncated(pod.folder.path);
      if (ofPod === undefined && !hasBuckets(gitaly)) continue;
      if (ofPod === undefined && isByList) notListed.push(uid);
      else trees.push(podTree(pod, ofPod, livingOf(uid, gitaly), hostName));
    }
    trees.sort((left, right) => (left.key < right.key ? -1 : 1));
    const host = livingOf(
      'host',
      sight.hosts.flatMap(({ gitaly }) => gitaly),
    );
    if (host.git !== undefined) {
      const parent = parentOf(host.git.path);
      trees.push(
        hostTree({ ...host, dead: host.dead.filter(({ path }) => parentOf(path) === parent) }, hostName),
      );
    }
    return { trees, folders, notListed };
  }

  function linesOf(
    { pods, hosts }: Sight,
    trees: readonly GitalyTree[],
    known: readonly KnownPod[],
    { isTopmost }: Extract<Root, { kind: 'cgroup2' }>,
  ): readonly string[] {
    const lines: string[] = [];
    const unnamed = trees.filter(({ uid }) => uid !== '' && !known.some((pod) => pod.uid === uid));
    if (unnamed.length > 0)
      lines.push(
        missing.namedByUid(
          unnamed.map(({ uid }) => uid),
          directory === undefined ? missing.nobodyTellsPods : 'because the list of pods is not whole',
        ),
      );
    const absent = known.filter(({ uid }) => !pods.has(uid));
    if (absent.length > 0)
      lines.push(
        missing.notHere(
          absent.map(({ namespace, name }) => `${namespace}/${name}`),
          root,
        ),
      );
    if (unlisted.length > 0) lines.push(missing.notListed(unlisted));
    const shown = parentOf(trees.find(({ key }) => key === 'host')?.git?.path ?? '');
    const others = hosts.map(({ parent }) => parent).filter((parent) => parent !== shown);
    if (others.length > 0) lines.push(missing.onlyOneHost(shown, others));
    if (!isTopmost && hosts.length > 0) lines.push(missing.ownCgroupOnly);
    if (trees.length === 0 && known.length === 0 && unlisted.length === 0)
      lines.push(missing.nothingFound(root));
    return lines;
  }

  async function run(signal: AbortSignal): Promise<Found> {
    const inspected = inspectRoot(root);
    if (inspected.kind === 'failed') {
      places = undefined;
      return inspected;
    }
    const slices = createSlices(signal);
    let found = await look(inspected, slices);
    // A place is gone, or a folder was exchanged for another behind an unchanged count: what was remembered of it is
    // forgotten by now.
    const isOutdated = directories.wasSurprised() || placesAt === Number.NEGATIVE_INFINITY;
    if (found !== undefined && isOutdated) found = await look(inspected, slices);
    return (
      found ?? {
        kind: 'failed',
        reason: 'timeout',
        message: `cgroup.root ${root}: looking for Gitaly's cgroups took too long`,
      }
    );
  }

  return {
    find(signal) {
      const found = last.then(() => run(signal));
      last = found.catch(() => undefined);
      return found;
    },
  };
}

const populatedKey = ['populated'] as const;

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** Also the folders above the places: a place goes with them. */
function foldersOf({ kubepods, parents }: Places, folders: readonly string[]): readonly string[] {
  const all = new Set(['']);
  for (const path of [...kubepods.map((each) => each.path), ...parents])
    for (let above = path; above !== ''; above = parentOf(above)) all.add(above);
  for (const folder of folders) all.add(folder);
  return [...all].slice(0, mostFolders);
}
