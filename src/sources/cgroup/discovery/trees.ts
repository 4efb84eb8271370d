/** From folders and names to what the rest of the room knows as one Gitaly. */
import type { Identity } from '../../identity.ts';
import type { GitalyTree, GitParent, KnownPod } from '../tree.ts';
import { nameContainers } from './containers.ts';
import type { GitalyFolder, PodContents } from './gitaly-folders.ts';
import type { Living } from './living.ts';
import type { PodFolder } from './pods.ts';

export interface FoundPod {
  readonly folder: PodFolder;
  readonly contents: PodContents;
}

const parentOf = ({ path, pid, buckets }: GitalyFolder): GitParent => ({ path, pid, buckets });

/** Without `known` the pod is named by its uid. */
export function podTree(
  { folder, contents }: FoundPod,
  known: KnownPod | undefined,
  { git, dead }: Living,
  hostName: string,
): GitalyTree {
  const identity: Identity =
    known === undefined
      ? { namespace: '', pod: folder.uid, node: hostName }
      : { namespace: known.namespace, pod: known.name, node: known.node || hostName };
  const isInside = contents.containers.some(({ path }) => git?.path.startsWith(`${path}/`));
  return {
    key: folder.uid,
    identity,
    uid: folder.uid,
    qosClass: known?.qosClass || folder.qosClass,
    driver: folder.driver,
    layout: git === undefined ? 'none' : isInside ? 'nested' : 'sibling',
    pod: folder.path,
    containers: nameContainers(contents.containers, known, git?.path),
    git: git && parentOf(git),
    deadGit: dead.map(parentOf),
  };
}

/** Of a virtual machine, or of a container that shows itself alone: no pod is known. */
export const hostTree = ({ git, dead }: Living, hostName: string): GitalyTree => ({
  key: 'host',
  identity: { namespace: '', pod: '', node: hostName },
  uid: '',
  qosClass: '',
  driver: undefined,
  layout: 'sibling',
  pod: undefined,
  containers: [],
  git: git && parentOf(git),
  deadGit: dead.map(parentOf),
});
