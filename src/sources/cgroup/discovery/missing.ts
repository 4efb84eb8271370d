/** What an operator should know of what is not known: lines for the page, each with its mend. */

/** Names in a sentence, the first few of them. */
export function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

export const namedByUid = (uids: readonly string[], because: string): string =>
  `${some(uids)}: named by uid, ${because}`;

export const nobodyTellsPods =
  "nobody tells of pods here, and Gitaly's pods without Git cgroups are not recognised: set kubernetes.enabled or cgroup.podsFile";

export const notHere = (pods: readonly string[], root: string): string =>
  `${some(pods)}: listed as Gitaly's on this node, but without a cgroup below ${root}: just gone, not started, or on another node`;

export const notListed = (uids: readonly string[]): string =>
  `${some(uids)}: hold Gitaly's cgroups, but are not among the pods that are listed as Gitaly's on this node: check the selector and kubernetes.node, or cgroup.pods-file; Gitalys of other namespaces may be right to be left out`;

export const onlyOneHost = (shown: string, others: readonly string[]): string =>
  `${some(others.map((parent) => `/${parent}`))}: more Gitalys outside of Kubernetes, which have no names to tell them apart; only /${shown} is shown`;

export const ownCgroupOnly =
  'this root is itself a part of a cgroup tree, so it is not known which pod or container it belongs to';

export const nothingFound = (root: string): string =>
  `no cgroups of Gitaly below ${root} (no gitaly-<pid>/repos-<n>): is [cgroups.repositories] count set in Gitaly's config.toml, and does Gitaly run on this host?`;

export const nothingVisible = (root: string): string =>
  `cgroup.root ${root} shows only this container's own cgroup: mount the host's /sys/fs/cgroup read-only into it and set cgroup.root to that place`;
