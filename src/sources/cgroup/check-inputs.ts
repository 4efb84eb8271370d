/** This host's cgroups and node for the checks: its own look each time, since they are run once a minute. */

import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import type { Identity } from '../identity.ts';
import { type CgroupFacts, cgroupFactsOf, type NodeFacts, ownNodeFacts } from './check-facts.ts';
import { createFinder } from './discovery/finder.ts';
import { createCgroupFiles } from './files/files.ts';
import type { PodDirectory } from './tree.ts';

export interface CgroupServer {
  readonly identity: Identity;
  readonly facts: CgroupFacts;
}

export interface CgroupFactsReader {
  /** What is found of each Gitaly here, and of the node. Never rejects. */
  read(signal: AbortSignal): Promise<{ readonly servers: readonly CgroupServer[]; readonly node: NodeFacts }>;
}

export interface CgroupFactsReaderOptions {
  /** cgroup.root */
  readonly root: string;
  /** As Kubernetes knows the node; a virtual machine's own name. */
  readonly node: string;
  readonly directory: PodDirectory | undefined;
  readonly readText: ReadText;
  /** `/proc` */
  readonly proc: string;
  readonly clock: Clock;
}

export function createCgroupFactsReader(options: CgroupFactsReaderOptions): CgroupFactsReader {
  const { root, node, directory, readText, proc, clock } = options;
  const finder = createFinder({ root, hostName: node, clock, ...(directory && { directory }) });
  // Opened, read and closed: none is kept from one minute to the next.
  const files = createCgroupFiles({ root, clock, maxDescriptors: 0 });
  return {
    async read(signal) {
      const found = await finder.find(signal);
      const trees = found.kind === 'found' ? found.trees : [];
      return {
        servers: trees.map((tree) => ({
          identity: tree.identity,
          facts: cgroupFactsOf(tree, root, files),
        })),
        node: await ownNodeFacts({ node, root, trees, readText, proc }),
      };
    },
  };
}
