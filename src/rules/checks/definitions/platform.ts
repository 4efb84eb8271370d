/** The node: Kubernetes, the container runtime and swap. */

import { bytesText } from '../../../lib/format.ts';
import { isUnknown, type Known, mapKnown, present } from '../../../lib/known.ts';
import type { Node } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, type CheckVerdict, judge, passIf, sources, undecided } from '../check.ts';
import { showNodeField } from '../commands.ts';
import { perNode } from '../subjects.ts';
import {
  isVersionAtLeast,
  parseRuntime,
  parseVersion,
  type Version,
  version,
  versionText,
} from '../version.ts';

const minimumKubernetes = version('1.29');
const minimumContainerd = version('2.1.0');
const minimumRunc = version('1.1.9');

export const platformChecks: readonly Check[] = [
  {
    id: 'kubernetes_version',
    title: 'Kubernetes is 1.29 or later',
    why: 'GitLab supports Gitaly on Kubernetes since 1.29; its guidance is not tested with earlier versions.',
    expected: 'kubelet 1.29 or later on every node that runs a Gitaly pod',
    evidence: "the node's status.nodeInfo.kubeletVersion",
    source: sources.requirements,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      kubectl: showNodeField('.status.nodeInfo.kubeletVersion'),
      text: 'Upgrade the node, or move Gitaly to a newer node pool, which rotates its pods.',
    },
    ...perNode((node) =>
      judge(node, ({ kubeletVersion }) => atLeast('kubelet', kubeletVersion, minimumKubernetes)),
    ),
  },
  {
    id: 'container_runtime_version',
    title: 'containerd is 2.1.0 or later',
    why: 'containerd 2.1.0 added cgroup_writable, which lets an unprivileged Gitaly write its own cgroups.',
    expected: 'containerd 2.1.0 or later on every node that runs a Gitaly pod',
    evidence: "the node's status.nodeInfo.containerRuntimeVersion",
    source: sources.requirements,
    severity: 'warning',
    readFrom: 'api',
    since: version('17.3'),
    fix: {
      kubectl: showNodeField('.status.nodeInfo.containerRuntimeVersion'),
      text: 'Upgrade the node, which rotates its pods. GitLab names no other container runtime.',
    },
    ...perNode((node) =>
      judge(node, ({ runtimeVersion }) => {
        const runtime = parseRuntime(runtimeVersion);
        if (runtime === undefined)
          return undecided(
            `the node reports no version of its container runtime (${JSON.stringify(runtimeVersion)})`,
          );
        if (runtime.name !== 'containerd')
          return undecided("GitLab's page names a minimum version of containerd only", runtimeVersion);
        return passIf(isVersionAtLeast(runtime.version, minimumContainerd), runtimeVersion);
      }),
    ),
  },
  {
    id: 'runc_version',
    title: 'runc is 1.1.9 or later',
    why: 'GitLab tests cgroup delegation with no earlier version.',
    expected: 'runc 1.1.9 or later on every node that runs a Gitaly pod',
    evidence: 'runc --version on the node; the API does not report it',
    source: sources.requirements,
    severity: 'info',
    readFrom: 'node',
    since: version('17.3'),
    fix: { text: 'Run `runc --version` on the node. Upgrade the node, or its runc package.' },
    ...perNode((_, { runcVersion }) => judge(runcVersion, (found) => atLeast('runc', found, minimumRunc))),
  },
  {
    id: 'no_swap',
    title: 'Swap is disabled on the node',
    why: 'Swap is not part of a memory limit: a Git process at its limit continues in swap and slows down the whole node, when it should be OOM-killed.',
    expected: 'no swap on any node that runs a Gitaly pod',
    evidence: '/proc/swaps; for nodes without an agent status.nodeInfo.swap, where the kubelet reports it',
    source: "GitLab: Cgroups, 'Before you begin'",
    severity: 'warning',
    readFrom: 'node',
    fix: {
      kubectl: showNodeField('.status.nodeInfo.swap'),
      text: 'Run `swapoff -a` on the node, and remove swap from /etc/fstab.',
    },
    ...perNode((node, { swapBytes }) =>
      // One source per node: of two, the one that found swap might be the one that is dropped.
      judge(
        isUnknown(swapBytes) && swapBytes.notApplicable === true ? kubeletSwap(node) : swapBytes,
        (bytes) => passIf(bytes === 0, bytes === 0 ? 'no swap' : `${bytesText(bytes)} of swap`),
      ),
    ),
  },
];

const kubeletSwap = (node: Known<Node>): Known<number> =>
  mapKnown(node, ({ swapBytes }) => present(swapBytes, 'neither its kubelet nor an agent reports swap'));

function atLeast(what: string, found: string, least: Version): CheckVerdict {
  const parsed = parseVersion(found);
  return parsed === undefined
    ? undecided(`no version in ${JSON.stringify(found.slice(0, 80))}`)
    : passIf(
        isVersionAtLeast(parsed, least),
        `${what} ${found}${isVersionAtLeast(parsed, least) ? '' : `, older than ${versionText(least)}`}`,
      );
}
