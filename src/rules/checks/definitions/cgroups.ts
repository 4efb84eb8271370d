/** Git's own cgroups: whether Gitaly can create them, and whether they limit Git. */

import { bytesText } from '../../../lib/format.ts';
import type { MemoryMax } from '../../../sources/cgroup/facts.ts';
import { type Check, fail, judge, passIf, sources, undecided, type Verdict } from '../check.ts';
import { kubectl, showPodField } from '../commands.ts';
import { perGitalyPod, perNode, perServer } from '../subjects.ts';
import { version } from '../version.ts';

/** Gitaly in pods manages cgroups since this version. */
const cgroupsInPods = version('17.3');

/** GitLab 13.10 documents 'Control groups' for the first time. */
const firstCgroups = version('13.10');

/** runAsUser of the chart: user git. */
const gitUid = 1000;

export const enableCgroups = `gitlab:
  gitaly:
    cgroups:
      enabled: true
      memoryBytes: 8589934592   # all Git processes together: the pod's request minus at least 1 GiB
      cpuShares: 1024
      repositories:
        count: 100              # about twice the number of repositories active at the same time
        memoryBytes: 4294967296 # one bucket
        cpuShares: 512`;

export const cgroupChecks: readonly Check[] = [
  {
    id: 'cgroup_v2',
    title: 'The node uses cgroup v2',
    why: "With v1 or the hybrid mode a pod's cgroups cannot be delegated to an unprivileged container, so Gitaly cannot limit Git.",
    expected: 'cgroup v2 only on every node that runs a Gitaly pod',
    evidence: 'cgroup.controllers at the root of the cgroup tree',
    source: sources.requirements,
    severity: 'warning',
    scope: 'node',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: { text: 'Boot the node with systemd.unified_cgroup_hierarchy=1, or use a newer node image.' },
    run: (inputs) =>
      perNode(inputs, (_, { cgroupVersion }) =>
        judge(cgroupVersion, (found) => passIf(found === 'v2', `cgroup ${found}`)),
      ),
  },
  {
    id: 'cgroup_driver_systemd',
    title: 'The kubelet uses the systemd cgroup driver',
    why: "init-cgroups supports only systemd's slices, and rejects the layout of the cgroupfs driver.",
    expected: 'kubepods.slice on every node that runs a Gitaly pod',
    evidence: 'kubepods.slice in the cgroup tree',
    source: sources.requirements,
    severity: 'warning',
    scope: 'node',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: {
      text: "Set cgroupDriver: systemd in the kubelet's configuration and SystemdCgroup = true in containerd's, then drain and restart the node.",
    },
    run: (inputs) =>
      perNode(inputs, (_, { cgroupDriver }) =>
        judge(cgroupDriver, (found) => passIf(found === 'systemd', `driver ${found}`)),
      ),
  },
  {
    id: 'cgroup_nsdelegate',
    title: 'The cgroup tree is mounted without nsdelegate',
    why: "With nsdelegate the kernel keeps processes in the cgroups of their namespace, so Gitaly cannot move Git into cgroups next to its container's (Gitaly issue 6480).",
    expected: 'no nsdelegate in the options of the cgroup2 mount',
    evidence: "the options of the node's cgroup2 mount in /proc/mounts",
    source: sources.requirements,
    severity: 'warning',
    scope: 'node',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: {
      text: 'Run `mount -o remount,rw /sys/fs/cgroup` without nsdelegate on the node, and make the change persistent.',
    },
    run: (inputs) =>
      perNode(inputs, (_, { nsdelegate }) =>
        judge(nsdelegate, (found) => passIf(!found, found ? 'nsdelegate is set' : 'nsdelegate is not set')),
      ),
  },
  {
    id: 'init_cgroups_ran',
    title: 'init-cgroups completed successfully',
    why: "It delegates the pod's slice to Gitaly. Without it Gitaly has no cgroups for Git processes.",
    expected: 'an init container init-cgroups with exit code 0',
    evidence: "the pod's status.initContainerStatuses",
    source: sources.requirements,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'api',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) => {
        const init = pod.initContainers.find(({ name }) => name === 'init-cgroups');
        if (init === undefined)
          return fail('no init container init-cgroups: cgroups are disabled in the chart');
        const ended = init.state.kind === 'terminated' ? init.state : undefined;
        if (ended === undefined) return undecided(`init-cgroups has not completed (${init.state.kind})`);
        return passIf(ended.exitCode === 0, `exit code ${ended.exitCode}`);
      }),
  },
  {
    id: 'cgroup_owner',
    title: "The pod's slice is owned by Gitaly's user",
    why: 'Otherwise Gitaly can neither create cgroups there nor move Git processes into them.',
    expected: "cgroup.procs of the slice owned by the pod's runAsUser (1000 in the chart)",
    evidence: "the owner of cgroup.procs in the pod's slice",
    source: sources.requirements,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { cgroup }) =>
        judge(cgroup, ({ ownerUid }) =>
          judge(ownerUid, (uid) => passIf(uid === (pod.runAsUser ?? gitUid), `uid ${uid}`)),
        ),
      ),
  },
  {
    id: 'git_cgroups_configured',
    title: "Git's cgroups and their memory limit are configured",
    why: 'Without them a single Git process can use all memory, and the OOM kill takes down all of Gitaly. `count = 0` disables them silently.',
    expected: 'cgroups.repositories.count greater than 0, and cgroups.memory_bytes set',
    evidence: "Gitaly's config.toml, from the ConfigMap or the file",
    source: sources.constrain,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'api',
    since: firstCgroups,
    fix: {
      helm: enableCgroups,
      kubectl: kubectl('get configmap -l app=gitaly -o yaml'),
      text: "On a virtual machine: gitaly['configuration'][:cgroups] in gitlab.rb.",
    },
    run: (inputs) =>
      perServer(inputs, ({ config }) =>
        judge(config, ({ cgroups: { memoryBytes, repositories } }) => {
          if (repositories.count === 0) return fail('repositories.count is 0: disabled');
          const limit = memoryBytes === undefined ? 'not set' : bytesText(memoryBytes);
          return passIf(memoryBytes !== undefined, `${repositories.count} buckets, memory_bytes ${limit}`);
        }),
      ),
  },
  {
    id: 'git_cgroups_enabled',
    title: 'Git runs in cgroups of its own, with a memory limit',
    why: 'A configuration may not be in effect yet: only the cgroup tree shows that Git is limited.',
    expected: 'repos-0 below gitaly-<pid>, and a number in memory.max of gitaly-<pid>',
    evidence: "Gitaly's cgroups on the node",
    source: sources.constrain,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'node',
    since: firstCgroups,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c gitaly | grep -i cgroup') },
    run: (inputs) =>
      perServer(inputs, ({ cgroup }) =>
        judge(cgroup, ({ layout, repositoryCgroups, gitMemoryMax }) => {
          if (layout === 'none') return fail('no gitaly-<pid>: disabled');
          return judge(repositoryCgroups, (count) => {
            if (count === 0) return fail('gitaly-<pid> exists, but has no repos-0');
            return judge(gitMemoryMax, (max) =>
              passIf(max !== 'max', `${count} repos-N so far, memory.max of gitaly-<pid> is ${maxText(max)}`),
            );
          });
        }),
      ),
  },
  {
    id: 'git_limit_as_configured',
    title: "Git's memory limit in effect is the configured one",
    why: 'Gitaly sets the limit when it starts: a later change of the configuration has no effect until then.',
    expected: 'memory.max of gitaly-<pid> equal to cgroups.memory_bytes, rounded to pages',
    evidence: "Gitaly's config.toml and its cgroups on the node, from an exporter that reads both",
    source: sources.constrain,
    severity: 'info',
    scope: 'pod',
    readFrom: 'node',
    since: firstCgroups,
    fix: {
      kubectl: kubectl('rollout restart statefulset WORKLOAD'),
      text: 'On a virtual machine: `gitlab-ctl restart gitaly`.',
    },
    run: (inputs) =>
      perServer(inputs, ({ config, cgroup }) =>
        judge(cgroup, ({ gitMemoryMax }) =>
          judge(gitMemoryMax, (max) =>
            judge(config, ({ cgroups: { memoryBytes } }) => asConfigured(memoryBytes, max)),
          ),
        ),
      ),
  },
  {
    id: 'pod_memory_bounded',
    title: "The pod's slice has a memory limit",
    why: "Git runs next to Gitaly's container, outside of its limit: only memory.max of the slice limits both together. While that is `max`, the node's memory is the limit, and the OOM killer chooses among all pods of the node.",
    expected: "a number in memory.max of the pod's slice",
    evidence: "memory.max of the pod's slice",
    source: `${sources.notInGuide}: cgroup v2 in the kernel's documentation`,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'node',
    fix: {
      helm: `gitlab:
  gitaly:
    resources:
      requests: {cpu: "4", memory: 10Gi}
      limits: {cpu: "4", memory: 10Gi}
    init: # init containers too: one without a limit leaves the slice unlimited
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`,
      kubectl: showPodField('.spec.initContainers[*].resources'),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (_, { cgroup }) =>
        judge(cgroup, ({ podMemoryMax }) =>
          judge(podMemoryMax, (max) => passIf(max !== 'max', `memory.max is ${maxText(max)}`)),
        ),
      ),
  },
];

/** The kernel rounds a limit down to whole pages, of at most 64 KiB. */
const largestPage = 65536;

function asConfigured(configured: number | undefined, max: MemoryMax): Verdict {
  const both = `memory.max is ${maxText(max)}, memory_bytes ${configured === undefined ? 'not set' : bytesText(configured)}`;
  if (configured === undefined || max === 'max')
    return passIf(configured === undefined && max === 'max', both);
  return passIf(max <= configured && configured - max < largestPage, both);
}

const maxText = (max: MemoryMax): string => (max === 'max' ? 'max' : bytesText(max));
