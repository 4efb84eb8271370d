/**
 * Which of several gitaly-<pid> lives. Gitaly makes its own at its start and removes those of processes that ended at
 * the next one, so there is more than one after a start that could not clean up, and during an upgrade in place, when
 * the old process ends its requests beside the new one. Nothing in them names the living: Gitaly itself runs
 * elsewhere, and there are processes in it only while Git commands run. So:
 *
 * 1. the newest that holds processes, unless one newer than it has held some before;
 * 2. else the one that was taken for it before;
 * 3. else the newest.
 */
import type { GitalyFolder } from './gitaly-folders.ts';

export interface Living {
  readonly git: GitalyFolder | undefined;
  /** Newest first. */
  readonly dead: readonly GitalyFolder[];
}

/** What was taken for the living one, and whether processes were seen in it. */
export interface Choice {
  readonly path: string;
  readonly ino: number;
  readonly wasBusy: boolean;
}

/** Cgroups tell no time, but the kernel numbers them as it makes them; other file systems tell when. */
const byAge = (left: GitalyFolder, right: GitalyFolder): number =>
  right.bornMs - left.bornMs || right.ino - left.ino;

/** `isBusy`: asked only when there are several. Returns the choice to pass in `before` at the next look. */
export function chooseLiving(
  folders: readonly GitalyFolder[],
  before: Choice | undefined,
  isBusy: (folder: GitalyFolder) => boolean,
): Living & { readonly choice: Choice | undefined } {
  const newestFirst = folders.toSorted(byAge);
  const isChoice = ({ path, ino }: GitalyFolder): boolean => path === before?.path && ino === before.ino;
  const chosen = newestFirst.find(isChoice);
  if (newestFirst.length === 1 && newestFirst[0] !== undefined)
    return living(newestFirst[0], newestFirst, chosen !== undefined && before?.wasBusy === true);

  const busy = newestFirst.find(isBusy);
  const isOlder = busy !== undefined && chosen !== undefined && byAge(busy, chosen) > 0;
  if (busy !== undefined && !(isOlder && before?.wasBusy)) return living(busy, newestFirst, true);
  const git = chosen ?? newestFirst[0];
  return git === undefined
    ? { git: undefined, dead: [], choice: undefined }
    : living(git, newestFirst, chosen !== undefined && before?.wasBusy === true);
}

const living = (git: GitalyFolder, all: readonly GitalyFolder[], wasBusy: boolean) => ({
  git,
  dead: all.filter((folder) => folder !== git),
  choice: { path: git.path, ino: git.ino, wasBusy },
});
