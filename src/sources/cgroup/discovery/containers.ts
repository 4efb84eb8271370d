/** Which of a pod's scopes is which container, and which of them is Gitaly's. */
import type { ContainerScope, KnownPod } from '../tree.ts';

/** In GitLab's chart and operator. */
const gitalyContainer = 'gitaly';
/** Enough to find it in `crictl ps`. */
const shortId = 12;

/** `git`: where Gitaly's cgroups are, if there are any. By path. */
export function nameContainers(
  containers: readonly { readonly path: string; readonly id: string }[],
  known: KnownPod | undefined,
  git: string | undefined,
): readonly ContainerScope[] {
  const nameOf = (id: string): string | undefined =>
    known?.containers.find((container) => container.id !== '' && container.id === id)?.name;
  // A pod of one container needs no particular name; of several without that name nobody knows which it is.
  const gitalyName =
    known?.containers.length === 1
      ? known.containers[0]?.name
      : known?.containers.find(({ name }) => name === gitalyContainer)?.name;
  const outer = containers.find(({ path }) => git?.startsWith(`${path}/`));
  const named = containers.find(({ id }) => gitalyName !== undefined && nameOf(id) === gitalyName);
  const gitaly = outer ?? named;
  return containers
    .map(({ path, id }): ContainerScope => {
      const name = nameOf(id);
      const isGitaly =
        gitaly !== undefined
          ? path === gitaly.path
          : name !== undefined && gitalyName !== undefined
            ? name === gitalyName
            : undefined;
      return { path, id, name: name ?? shortName(id, containers), gitaly: isGitaly };
    })
    .sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** The whole id where the short one is another's too: two series of one name would spoil the whole scrape. */
function shortName(id: string, containers: readonly { readonly id: string }[]): string {
  const short = id.slice(0, shortId);
  return containers.some((other) => other.id !== id && other.id.startsWith(short)) ? id : short;
}
