/** Reads every level of every Gitaly: the pod's slice, its container, the parent of all Git processes. */
import type { CgroupFiles, CgroupFolder } from '../files/reading.ts';
import { type Level, levels } from '../level-metrics.ts';
import type { ContainerScope, GitalyTree } from '../tree.ts';
import { type LevelRead, readLevel } from './read.ts';

/** One cgroup of one Gitaly, as it was read. */
export interface LevelLook extends LevelRead {
  readonly level: Level;
  readonly path: string;
  /** Of the level `container`. */
  readonly container: string | undefined;
}

export interface GitalyLook {
  readonly tree: GitalyTree;
  /** Those that were there: a cgroup that was removed meanwhile is left out. */
  readonly levels: readonly LevelLook[];
  /** One was removed since the look for trees. */
  readonly isOutdated: boolean;
}

export interface LevelReader {
  /** Reads each cgroup once, and closes those that no tree has any more. */
  read(trees: readonly GitalyTree[]): readonly GitalyLook[];
}

export function createLevelReader(files: CgroupFiles): LevelReader {
  let open = new Map<string, CgroupFolder>();
  return {
    read(trees) {
      const before = open;
      open = new Map();
      const looks = trees.map((tree): GitalyLook => {
        const read = cgroupsOf(tree).map(({ level, path, container }): LevelLook => {
          const folder = before.get(path) ?? open.get(path) ?? files.folder(path);
          open.set(path, folder);
          return { level, path, container, ...readLevel(folder) };
        });
        const levels = read.filter(({ gone }) => !gone);
        return { tree, levels, isOutdated: levels.length < read.length };
      });
      for (const [path, folder] of before) if (!open.has(path)) folder.close();
      return looks;
    },
  };
}

type LevelCgroup = Pick<LevelLook, 'level' | 'path' | 'container'>;

function cgroupsOf(tree: GitalyTree): readonly LevelCgroup[] {
  const paths: Readonly<Record<Level, readonly { path: string; container?: string }[]>> = {
    pod: tree.pod === undefined ? [] : [{ path: tree.pod }],
    container: gitalyContainers(tree),
    git: tree.git === undefined ? [] : [{ path: tree.git.path }],
  };
  return levels.flatMap((level) => paths[level].map(({ path, container }) => ({ level, path, container })));
}

/** Gitaly's own; while nobody knows which it is, each that may be. */
function gitalyContainers({ containers }: GitalyTree): readonly { path: string; container: string }[] {
  const own = containers.filter(({ gitaly }) => gitaly === true);
  const meant = own.length > 0 ? own : containers.filter(({ gitaly }) => gitaly === undefined);
  const names = new Set<string>();
  return meant.map((scope) => {
    const container = names.has(scope.name) ? shortId(scope) : scope.name;
    names.add(container);
    return { path: scope.path, container };
  });
}

/** A container that was restarted may leave its scope for a moment: two of one name. */
const shortId = ({ id }: ContainerScope): string => id.slice(0, 12);
