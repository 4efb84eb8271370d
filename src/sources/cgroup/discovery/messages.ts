/** What an operator should know about what discovery could not find or read: one line each, with the fix. */
import { listText } from '../../../lib/format.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type Identity, identityText } from '../../identity.ts';
import type { GitalyTree } from '../tree.ts';
import type { UnreadableFolder } from './directory-cache.ts';

/** Any process with a delegated cgroup may choose the names in it. */
const nameText = (name: string): string => outsideText(name);

const someOf = (names: readonly string[]): string => listText(names.map(nameText), 3);

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
    const [first] = folders;
    const paths = firstOf([...new Set(folders.map(({ path }) => path))]);
    return code === 'EACCES' || code === 'EPERM'
      ? {
          reason: 'permission',
          message: `cgroup.root ${root}: this user may not read ${paths}: grant read and search permission there${first === undefined ? '' : accessText(first)}. Gitaly's cgroups in it are not seen until then`,
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

const firstOf = (paths: readonly string[]): string =>
  listText(
    paths.map((path) => `/${nameText(path)}`),
    1,
  );

/** As in `stat`. */
const accessText = ({ mode, owner }: UnreadableFolder): string =>
  mode === undefined
    ? ''
    : ` (its mode is ${mode.toString(8).padStart(4, '0')}, its owner UID ${owner}; this process has UID ${process.geteuid?.()}), by group, or give the exporter CAP_DAC_READ_SEARCH (docs/cgroup-access.md)`;

export const unsearched = (folders: readonly UnreadableFolder[]): string =>
  `not searched for Gitaly's cgroups, since this user may not read them and all of Gitaly's pods were found elsewhere: ${firstOf(folders.map(({ path }) => path))}`;

export const skipped = (paths: readonly string[]): string =>
  `not searched for Gitaly's cgroups, because of their depth or names: ${firstOf(paths)}; those that Gitaly's configuration names are (gitaly.config-file)`;

export const lostPods = (pods: readonly string[], root: string): Failure => ({
  reason: 'missing',
  message: `${someOf(pods)}: runs on this node according to the list of pods, but has no cgroup below ${root}: check that cgroup.root is the host's hierarchy, and kubernetes.node`,
});

export function vacantPod({ identity, pod, vacancy }: GitalyTree): Failure {
  const place = vacancy?.elsewhere === undefined ? '' : ` (one is in /${nameText(vacancy.elsewhere)})`;
  return {
    reason: 'missing',
    message: `${identityText(identity)}: the pod runs, but none of its containers is in its slice /${pod}${place}, so that its memory, CPU and OOM kills are unknown and its limits do not apply: let the container runtime use the kubelet's cgroup driver (containerd: SystemdCgroup = true)`,
  };
}

/** `place`: relative to the root. */
export const configuredButMissing = (
  name: string,
  count: number,
  root: string,
  place: string | undefined,
): Failure => ({
  reason: 'missing',
  message: `${name} sets count = ${count} in [cgroups.repositories], but no gitaly-<pid>/repos-<n> exists below ${root}${place === undefined ? '' : `, where it belongs into /${place}`}: Gitaly does not run on this host, was not restarted since, or may not create cgroups (its log has the reason)`,
});

export const podWithoutGitCgroups = (
  identity: Identity,
  name: string,
  count: number,
  pod: string,
): Failure => ({
  reason: 'missing',
  message: `${identityText(identity)}: ${name} sets count = ${count} in [cgroups.repositories], but there is no gitaly-<pid>/repos-<n> below /${pod}: Gitaly was not restarted since, or may not create cgroups there (the log of its init container init-cgroups has the reason)`,
});

/** `why`: why the configuration is unknown. */
export const unknownExpectation = (root: string, why: string): Failure => ({
  reason: 'missing',
  message: `no cgroups of Gitaly below ${root}, and whether there must be some is unknown: ${why}`,
});

/** `last`: the highest number of a bucket that exists. */
export const otherCount = (identity: Identity, name: string, count: number, last: number): string =>
  `${identityText(identity)}: repos-${last} exists, but ${name} sets count = ${count} in [cgroups.repositories]: Gitaly was not restarted since the change, and uses the count of before`;
