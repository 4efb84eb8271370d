/** What Gitaly's configuration says of its cgroups, compared with what was found. */
import { posix } from 'node:path';
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { identityKey } from '../../identity.ts';
import type { ConfiguredGitaly, GitalyTree } from '../tree.ts';
import * as messages from './messages.ts';

/** Where Linux distributions mount cgroup v2. */
const usualMount = '/sys/fs/cgroup';

const withoutSlashes = (path: string): string => path.replace(/^\/+|\/+$/g, '');

/** Below a mount point: `gitlab.slice` of /sys/fs/cgroup/gitlab.slice. Undefined if it is not below it. */
const below = (mount: string, path: string): string | undefined =>
  path === mount || path.startsWith(`${mount}/`) ? withoutSlashes(path.slice(mount.length)) : undefined;

/**
 * The folder of gitaly-<pid> on a virtual machine, relative to the root, which is mounted elsewhere if the exporter runs in
 * a container. A mount point of Gitaly's own shows the same hierarchy.
 */
export function hostPlaceOf(
  { hierarchyRoot, mountpoint }: ConfiguredGitaly,
  root: string,
): string | undefined {
  const inMount = hierarchyRootIn({ hierarchyRoot });
  if (inMount === undefined || mountpoint === undefined) return undefined;
  const mount = posix.normalize(mountpoint).replace(/\/+$/, '');
  const above = below(root.replace(/\/+$/, ''), mount) ?? below(usualMount, mount) ?? '';
  return above === '' ? inMount : `${above}/${inMount}`;
}

/** Relative, without dots that lead out of it. */
export function hierarchyRootIn({
  hierarchyRoot,
}: Pick<ConfiguredGitaly, 'hierarchyRoot'>): string | undefined {
  if (hierarchyRoot === undefined || hierarchyRoot.includes('\0')) return undefined;
  const path = withoutSlashes(posix.normalize(`/${hierarchyRoot}`));
  return path === '' ? undefined : path;
}

/** By name; a single one is this host's under whatever name. */
export function configsOfHost(
  gitalys: readonly ConfiguredGitaly[],
  hostName: string,
): readonly ConfiguredGitaly[] {
  const machines = gitalys.filter(({ identities }) => identities.some(({ pod }) => pod === ''));
  const named = machines.filter(({ identities }) => identities.some(({ node }) => node === hostName));
  return named.length > 0 || machines.length !== 1 ? named : machines;
}

interface ExpectationsOptions {
  readonly root: string;
  readonly hostName: string;
  readonly clock: Pick<Clock, 'monotonic'>;
}

interface Found {
  /** What could not be read explains what was not found, and is reported itself. */
  readonly isPartial: boolean;
  /** No Gitaly is to be here, by a complete list of pods. */
  readonly hasNoPods: boolean;
}

interface Expectations {
  failures(
    configured: { readonly gitalys: readonly ConfiguredGitaly[]; readonly failures: readonly string[] },
    trees: readonly GitalyTree[],
    found: Found,
  ): readonly Failure[];
  /** Buckets that the configuration does not have: one line for each Gitaly. */
  differences(
    configured: { readonly gitalys: readonly ConfiguredGitaly[] },
    trees: readonly GitalyTree[],
  ): readonly string[];
}

/** A container has its cgroup before Gitaly starts in it and creates its own. */
const podGraceMs = 120_000;

export function createExpectations({ root, hostName, clock }: ExpectationsOptions): Expectations {
  /** Pods without Git cgroups, by identity: when they were first seen so, monotonic. */
  let without = new Map<string, number>();

  function hostFailures(
    gitalys: readonly ConfiguredGitaly[],
    trees: readonly GitalyTree[],
  ): readonly Failure[] {
    if (trees.some(({ key }) => key === 'host')) return [];
    return configsOfHost(gitalys, hostName)
      .filter(({ count }) => (count ?? 0) > 0)
      .map(({ count = 0, name, ...gitaly }) => {
        const place = hostPlaceOf({ count, name, ...gitaly }, root);
        return messages.configuredButMissing(name, count, root, place);
      });
  }

  function podFailures(
    gitalys: readonly ConfiguredGitaly[],
    trees: readonly GitalyTree[],
  ): readonly Failure[] {
    const now = clock.monotonic();
    const before = without;
    without = new Map();
    const failures: Failure[] = [];
    for (const { containers, git, identity, pod, vacancy } of trees) {
      if (git !== undefined || pod === undefined || vacancy !== undefined) continue;
      if (!containers.some(({ gitaly }) => gitaly === true)) continue;
      const key = identityKey(identity);
      const config = gitalys.find(
        ({ count, identities }) => (count ?? 0) > 0 && identities.some((each) => identityKey(each) === key),
      );
      if (config === undefined) continue;
      const since = before.get(key) ?? now;
      without.set(key, since);
      if (now - since >= podGraceMs)
        failures.push(messages.podWithoutGitCgroups(identity, config.name, config.count ?? 0, pod));
    }
    return failures;
  }

  const configOf = (gitalys: readonly ConfiguredGitaly[], tree: GitalyTree): ConfiguredGitaly | undefined => {
    const key = identityKey(tree.identity);
    const own = tree.key === 'host' ? configsOfHost(gitalys, hostName) : gitalys;
    return own.find(
      ({ identities }) => tree.key === 'host' || identities.some((each) => identityKey(each) === key),
    );
  };

  return {
    differences: ({ gitalys }, trees) =>
      trees.flatMap((tree) => {
        const config = configOf(gitalys, tree);
        const last = tree.git?.buckets.at(-1);
        if (config?.count === undefined || last === undefined || last < config.count) return [];
        return [messages.otherCount(tree.identity, config.name, config.count, last)];
      }),
    failures({ failures: unread, gitalys }, trees, { hasNoPods, isPartial }) {
      const ofPods = podFailures(gitalys, trees);
      if (isPartial) return ofPods;
      const missing = [...hostFailures(gitalys, trees), ...ofPods];
      const [first] = unread;
      if (missing.length > 0 || trees.length > 0 || hasNoPods || first === undefined) return missing;
      return [messages.unknownExpectation(root, first)];
    },
  };
}
