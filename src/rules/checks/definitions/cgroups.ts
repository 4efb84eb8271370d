/** Git's own cgroups: may Gitaly make them, and do they bound what Git takes? */

import type { MemoryMax } from '../../../sources/cgroup/facts.ts';
import { type Check, cannotTell, fail, judge, passIf, type Verdict } from '../check.ts';
import { inPod, lookAtPod } from '../fix-commands.ts';
import { perGitalyPod, perNode, perServer } from '../subjects.ts';
import { bytesText } from '../text.ts';
import { version } from '../version.ts';
import { beyond, constrain, requirements } from './sources.ts';

const onKubernetes = version('17.3');

/** GitLab's documentation of 13.10: 'Control groups'. */
const firstCgroups = version('13.10');

/** runAsUser of the chart: user git. */
const gitUid = 1000;

export const enableCgroups = `gitlab:
  gitaly:
    cgroups:
      enabled: true
      memoryBytes: 8589934592   # all Git processes together: the pod's request less 1 GiB or more
      cpuShares: 1024
      repositories:
        count: 100              # about twice the repositories that are active at once
        memoryBytes: 4294967296 # of one bucket
        cpuShares: 512`;

export const cgroupChecks: readonly Check[] = [
  {
    id: 'cgroup_v2',
    title: 'The node has cgroup v2',
    why: 'Under v1 and the hybrid mode the cgroups of a pod cannot be handed to an unprivileged container, so Gitaly cannot bound Git.',
    expected: 'cgroup v2 alone on every node with a Gitaly',
    evidence: 'cgroup.controllers at the root of the cgroup tree',
    source: requirements,
    severity: 'warning',
    about: 'node',
    rests: 'node',
    since: onKubernetes,
    mend: { other: 'Boot the node with systemd.unified_cgroup_hierarchy=1, or take a newer node image.' },
    run: (inputs) =>
      perNode(inputs, (_, { cgroupVersion }) =>
        judge(cgroupVersion, (found) => passIf(found === 'v2', `cgroup ${found}`)),
      ),
  },
  {
    id: 'cgroup_driver_systemd',
    title: 'The kubelet uses the systemd cgroup driver',
    why: 'init-cgroups knows the slices of systemd only, and refuses the layout of cgroupfs.',
    expected: 'kubepods.slice on every node with a Gitaly',
    evidence: 'kubepods.slice in the cgroup tree',
    source: requirements,
    severity: 'warning',
    about: 'node',
    rests: 'node',
    since: onKubernetes,
    mend: {
      other:
        "Set cgroupDriver: systemd in the kubelet's configuration and SystemdCgroup = true in containerd's, then drain and restart the node.",
    },
    run: (inputs) =>
      perNode(inputs, (_, { cgroupDriver }) =>
        judge(cgroupDriver, (found) => passIf(found === 'systemd', `driver ${found}`)),
      ),
  },
  {
    id: 'cgroup_nsdelegate',
    title: 'The cgroup tree is mounted without nsdelegate',
    why: "With nsdelegate the kernel lets no process out of its namespace's part of the tree, so Gitaly cannot put Git into cgroups beside its container's (Gitaly issue 6480).",
    expected: 'no nsdelegate among the options of the cgroup2 mount',
    evidence: "the options of the node's cgroup2 mount in /proc/mounts",
    source: requirements,
    severity: 'warning',
    about: 'node',
    rests: 'node',
    since: onKubernetes,
    mend: {
      other: 'On the node: `mount -o remount,rw /sys/fs/cgroup` without nsdelegate, and make it last.',
    },
    run: (inputs) =>
      perNode(inputs, (_, { nsdelegate }) =>
        judge(nsdelegate, (found) => passIf(!found, found ? 'nsdelegate is set' : 'nsdelegate is not set')),
      ),
  },
  {
    id: 'init_cgroups_ran',
    title: 'init-cgroups ended well',
    why: "It hands the pod's slice to Gitaly. Without it Gitaly has no cgroups to put Git into.",
    expected: 'an init container init-cgroups that ended with 0',
    evidence: "the pod's status.initContainerStatuses",
    source: requirements,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    since: onKubernetes,
    mend: { helm: enableCgroups, kubectl: inPod('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) => {
        const init = pod.initContainers.find(({ name }) => name === 'init-cgroups');
        if (init === undefined) return fail('no init container init-cgroups: cgroups are off in the chart');
        const ended = init.state.kind === 'terminated' ? init.state : undefined;
        if (ended === undefined) return cannotTell(`init-cgroups has not ended yet (${init.state.kind})`);
        return passIf(ended.exitCode === 0, `ended with ${ended.exitCode}`);
      }),
  },
  {
    id: 'cgroup_owner',
    title: "The pod's slice belongs to Gitaly's user",
    why: 'Otherwise Gitaly may neither make cgroups there nor move Git processes into them.',
    expected: "cgroup.procs of the slice belongs to the pod's runAsUser (1000 in the chart)",
    evidence: "the owner of cgroup.procs in the pod's slice",
    source: requirements,
    severity: 'warning',
    about: 'pod',
    rests: 'node',
    since: onKubernetes,
    mend: { helm: enableCgroups, kubectl: inPod('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { cgroup }) =>
        judge(cgroup, ({ ownerUid }) =>
          judge(ownerUid, (uid) => passIf(uid === (pod.runAsUser ?? gitUid), `uid ${uid}`)),
        ),
      ),
  },
  {
    id: 'git_cgroups_configured',
    title: "Git's cgroups and their limit are configured",
    why: 'Without them one Git process can take all the memory there is, and the OOM kill takes the whole Gitaly with it. `count = 0` switches them off without a word.',
    expected: 'cgroups.repositories.count over 0, and cgroups.memory_bytes set',
    evidence: "Gitaly's config.toml, as the ConfigMap or the file has it",
    source: constrain,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    since: firstCgroups,
    mend: {
      helm: enableCgroups,
      kubectl: inPod('get configmap -l app=gitaly -o yaml'),
      other: "On a virtual machine: gitaly['configuration'][:cgroups] in gitlab.rb.",
    },
    run: (inputs) =>
      perServer(inputs, ({ config }) =>
        judge(config, ({ cgroups: { memoryBytes, repositories } }) => {
          if (repositories.count === 0) return fail('repositories.count is 0: off');
          const limit = memoryBytes === undefined ? 'not set' : bytesText(memoryBytes);
          return passIf(memoryBytes !== undefined, `${repositories.count} buckets, memory_bytes ${limit}`);
        }),
      ),
  },
  {
    id: 'git_cgroups_enabled',
    title: 'Git really runs in cgroups of its own, with a limit',
    why: 'What is configured is not yet in force: only the tree itself shows that Git is bounded.',
    expected: 'repos-0 below gitaly-<pid>, and a number in memory.max of gitaly-<pid>',
    evidence: "Gitaly's cgroups on the node",
    source: constrain,
    severity: 'warning',
    about: 'pod',
    rests: 'node',
    since: firstCgroups,
    mend: { helm: enableCgroups, kubectl: inPod('logs POD -c gitaly | grep -i cgroup') },
    run: (inputs) =>
      perServer(inputs, ({ cgroup }) =>
        judge(cgroup, ({ layout, repositoryCgroups, gitMemoryMax }) => {
          if (layout === 'none') return fail('no gitaly-<pid>: off');
          return judge(repositoryCgroups, (count) => {
            if (count === 0) return fail('gitaly-<pid> is there, but no repos-0');
            return judge(gitMemoryMax, (max) =>
              passIf(max !== 'max', `${count} repos-N so far, memory.max of gitaly-<pid> is ${maxText(max)}`),
            );
          });
        }),
      ),
  },
  {
    id: 'git_limit_as_configured',
    title: "Git's memory limit is the configured one",
    why: 'A limit that was changed in the configuration alone is not in force: Gitaly sets it when it starts.',
    expected: 'memory.max of gitaly-<pid> as cgroups.memory_bytes says, to the page',
    evidence: "Gitaly's config.toml and its cgroups on the node, by an exporter that reads both",
    source: constrain,
    severity: 'advice',
    about: 'pod',
    rests: 'node',
    since: firstCgroups,
    mend: {
      kubectl: inPod('rollout restart statefulset WORKLOAD'),
      other: 'On a virtual machine: `gitlab-ctl restart gitaly`.',
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
    why: "Git runs beside Gitaly's container, outside of its limit: only the slice's memory.max bounds both together. While that is `max`, the node's memory is the limit, and the OOM killer chooses among all pods of the node.",
    expected: "a number in memory.max of the pod's slice",
    evidence: "memory.max of the pod's slice",
    source: `${beyond}: the kernel's rules for cgroups`,
    severity: 'warning',
    about: 'pod',
    rests: 'node',
    mend: {
      helm: `gitlab:
  gitaly:
    resources:
      requests: {cpu: "4", memory: 10Gi}
      limits: {cpu: "4", memory: 10Gi}
    init: # also for the init containers: one without a limit leaves the slice unbounded
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`,
      kubectl: lookAtPod('.spec.initContainers[*].resources'),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (_, { cgroup }) =>
        judge(cgroup, ({ podMemoryMax }) =>
          judge(podMemoryMax, (max) => passIf(max !== 'max', `memory.max is ${maxText(max)}`)),
        ),
      ),
  },
];

/** The kernel rounds a limit down to whole pages, of 64 KiB at most. */
const largestPage = 65536;

function asConfigured(configured: number | undefined, max: MemoryMax): Verdict {
  const both = `memory.max is ${maxText(max)}, memory_bytes ${configured === undefined ? 'not set' : bytesText(configured)}`;
  if (configured === undefined || max === 'max')
    return passIf(configured === undefined && max === 'max', both);
  return passIf(max <= configured && configured - max < largestPage, both);
}

const maxText = (max: MemoryMax): string => (max === 'max' ? 'max' : bytesText(max));
