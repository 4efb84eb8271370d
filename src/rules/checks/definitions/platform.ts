/** The node below: what GitLab's page asks of Kubernetes, the container runtime and the kernel. */

import { isUnknown, type Known, mapKnown, present } from '../../../lib/known.ts';
import type { Node } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, cannotTell, judge, passIf, type Verdict } from '../check.ts';
import { lookAtNode } from '../fix-commands.ts';
import { perNode } from '../subjects.ts';
import { bytesText } from '../text.ts';
import { isAtLeast, parseRuntime, parseVersion, type Version, version, versionText } from '../version.ts';
import { requirements } from './sources.ts';

const leastKubernetes = version('1.29');
const leastContainerd = version('2.1.0');
const leastRunc = version('1.1.9');

export const platformChecks: readonly Check[] = [
  {
    id: 'kubernetes_version',
    title: 'Kubernetes is 1.29 or later',
    why: 'GitLab supports Gitaly on Kubernetes from 1.29 on; its guidance is not tested with earlier ones.',
    expected: 'kubelet 1.29 or later on every node with a Gitaly',
    evidence: "the node's status.nodeInfo.kubeletVersion",
    source: requirements,
    severity: 'warning',
    about: 'node',
    rests: 'api',
    mend: {
      kubectl: lookAtNode('.status.nodeInfo.kubeletVersion'),
      other: 'Upgrade the node, or move Gitaly to a node pool that is newer; its pod rotates.',
    },
    run: (inputs) =>
      perNode(inputs, (node) =>
        judge(node, ({ kubeletVersion }) => atLeast('kubelet', kubeletVersion, leastKubernetes)),
      ),
  },
  {
    id: 'container_runtime_version',
    title: 'containerd is 2.1.0 or later',
    why: 'cgroup_writable, by which an unprivileged Gitaly may write its own cgroups, came with containerd 2.1.0.',
    expected: 'containerd 2.1.0 or later on every node with a Gitaly',
    evidence: "the node's status.nodeInfo.containerRuntimeVersion",
    source: requirements,
    severity: 'warning',
    about: 'node',
    rests: 'api',
    since: version('17.3'),
    mend: {
      kubectl: lookAtNode('.status.nodeInfo.containerRuntimeVersion'),
      other: 'Upgrade the node; its pods rotate. GitLab names no other runtime.',
    },
    run: (inputs) =>
      perNode(inputs, (node) =>
        judge(node, ({ runtimeVersion }) => {
          const runtime = parseRuntime(runtimeVersion);
          if (runtime === undefined)
            return cannotTell(
              `the node tells no version of its container runtime (${JSON.stringify(runtimeVersion)})`,
            );
          if (runtime.name !== 'containerd')
            return cannotTell("GitLab's page names a version of containerd only", runtimeVersion);
          return passIf(isAtLeast(runtime.version, leastContainerd), runtimeVersion);
        }),
      ),
  },
  {
    id: 'runc_version',
    title: 'runc is 1.1.9 or later',
    why: 'GitLab tests its handing over of cgroups with no earlier one.',
    expected: 'runc 1.1.9 or later on every node with a Gitaly',
    evidence: 'runc --version on the node; the API does not tell',
    source: requirements,
    severity: 'advice',
    about: 'node',
    rests: 'node',
    since: version('17.3'),
    mend: { other: 'On the node: `runc --version`. Upgrade the node, or its package of runc.' },
    run: (inputs) =>
      perNode(inputs, (_, { runcVersion }) =>
        judge(runcVersion, (found) => atLeast('runc', found, leastRunc)),
      ),
  },
  {
    id: 'no_swap',
    title: 'No swap on the node',
    why: 'The kernel counts swap in addition to a memory limit: a Git process at its limit goes on in swap and slows the whole node down, where it should be killed.',
    expected: 'no swap on any node with a Gitaly',
    evidence: '/proc/swaps; of nodes without an agent status.nodeInfo.swap, where the kubelet tells it',
    source: "GitLab: Cgroups, 'Before you begin'",
    severity: 'warning',
    about: 'node',
    rests: 'node',
    mend: {
      kubectl: lookAtNode('.status.nodeInfo.swap'),
      other: 'On the node: `swapoff -a`, and take swap out of /etc/fstab.',
    },
    run: (inputs) =>
      perNode(inputs, (node, { swapBytes }) =>
        // One source for each node: with two, the one that is lost might be the one that had found swap.
        judge(
          isUnknown(swapBytes) && swapBytes.notApplicable === true ? swapTold(node) : swapBytes,
          (bytes) => passIf(bytes === 0, bytes === 0 ? 'no swap' : `${bytesText(bytes)} of swap`),
        ),
      ),
  },
];

const swapTold = (node: Known<Node>): Known<number> =>
  mapKnown(node, (told) => present(told.swapBytes, 'its kubelet does not tell, and no agent did'));

function atLeast(what: string, found: string, least: Version): Verdict {
  const parsed = parseVersion(found);
  return parsed === undefined
    ? cannotTell(`no version can be read from ${JSON.stringify(found.slice(0, 80))}`)
    : passIf(
        isAtLeast(parsed, least),
        `${what} ${found}${isAtLeast(parsed, least) ? '' : `, before ${versionText(least)}`}`,
      );
}
