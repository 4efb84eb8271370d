/** What an operator should know about what discovery could not find or read: one line each, with the fix. */
import type { Failure } from '../../../scheduler/outcome.ts';
import type { UnreadableFolder } from './scan.ts';

/** The first few, and how many more. */
function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

export const namedByUid = (uids: readonly string[], because: string): string =>
  `${someOf(uids)}: named by UID, ${because}`;

export const noPodDirectory =
  "because no source of pods is configured, and Gitaly's pods without Git cgroups are not recognized: set kubernetes.enabled or cgroup.podsFile";

export const incompletePodList = 'because the list of pods is incomplete';

export const notHere = (pods: readonly string[], root: string): string =>
  `${someOf(pods)}: listed as Gitaly's on this node, but without a cgroup below ${root}: just removed, not started, or on another node`;

export const notListed = (uids: readonly string[]): string =>
  `${someOf(uids)}: Gitaly's cgroups exist, but the pod is not listed as Gitaly's on this node: check the selector and kubernetes.node, or cgroup.pods-file; Gitalys of other namespaces may be omitted on purpose`;

export const onlyOneHost = (shown: string, others: readonly string[]): string =>
  `${someOf(others.map((parent) => `/${parent}`))}: more Gitalys outside of Kubernetes, which no label can distinguish; only /${shown} is shown`;

export const ownCgroupOnly =
  'cgroup.root is a part of a cgroup tree, so it is unknown which pod or container it belongs to';

export const nothingFound = (root: string): string =>
  `no cgroups of Gitaly below ${root} (no gitaly-<pid>/repos-<n>): is [cgroups.repositories] count set in Gitaly's config.toml, and does Gitaly run on this host?`;

export const nothingVisible = (root: string): string =>
  `cgroup.root ${root} shows only this container's own cgroup: mount the host's /sys/fs/cgroup read-only into it and set cgroup.root to that path`;

export const scanTimedOut = (root: string): string =>
  `cgroup.root ${root}: the search for Gitaly's cgroups timed out`;

/** A few failures, however many folders they concern. `truncated`: folders with more cgroups than are read. */
export function folderFailures(
  root: string,
  unreadable: readonly UnreadableFolder[],
  truncated: readonly string[],
): readonly Failure[] {
  const byCode = Map.groupBy(unreadable, ({ code }) => code);
  const failures = [...byCode].map(([code, folders]): Failure => {
    const paths = firstOf(folders.map(({ path }) => path));
    return code === 'EACCES' || code === 'EPERM'
      ? {
          reason: 'permission',
          message: `cgroup.root ${root}: this user may not read ${paths}: grant read and search permission there`,
        }
      : { reason: 'query', message: `cgroup.root ${root}: ${paths} cannot be listed (${code})` };
  });
  if (truncated.length > 0)
    failures.push({
      reason: 'too_large',
      message: `cgroup.root ${root}: ${firstOf(truncated)} contains more cgroups than the exporter reads; Gitaly's may be among the rest`,
    });
  return failures;
}

const firstOf = ([first = '', ...more]: readonly string[]): string =>
  more.length === 0 ? `/${first}` : `/${first} and ${more.length} more`;
