/** Folders that could not be looked into, as few lines for people, however many there are. */
import type { Failure } from '../../../scheduler/outcome.ts';

export interface Problems {
  /** `code`: the kernel's own, such as EACCES. */
  unreadable(path: string, code: string): void;
  /** More was there than is looked at. */
  truncated(path: string): void;
  failures(): readonly Failure[];
}

export function createProblems(root: string): Problems {
  const unreadable = new Map<string, string[]>();
  const truncated: string[] = [];
  const counted = ([first = '', ...more]: readonly string[]): string =>
    more.length === 0 ? `/${first}` : `/${first} and ${more.length} more`;

  return {
    unreadable(path, code) {
      const paths = unreadable.get(code) ?? [];
      unreadable.set(code, [...paths, path]);
    },
    truncated: (path) => void truncated.push(path),
    failures: () => [
      ...[...unreadable].map(
        ([code, paths]): Failure =>
          code === 'EACCES' || code === 'EPERM'
            ? {
                reason: 'permission',
                message: `cgroup.root ${root}: this user may not look into ${counted(paths)}: let it read and search there`,
              }
            : {
                reason: 'query',
                message: `cgroup.root ${root}: ${counted(paths)} cannot be listed (${code})`,
              },
      ),
      ...(truncated.length === 0
        ? []
        : [
            {
              reason: 'too_large',
              message: `cgroup.root ${root}: ${counted(truncated)} holds more cgroups than are looked at, Gitaly's may be among the rest`,
            } as const,
          ]),
    ],
  };
}
