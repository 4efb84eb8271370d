/** Git's own cgroups: whether Gitaly can create them, and whether they limit Git. */
import { bytesText } from '../../../lib/format.ts';
import { allOf, type Check, fail, judge, pass, passIf, sources, undecided } from '../check.ts';
import { kubectl, showPodField } from '../commands.ts';
import { factsOfNode, gitlabVersionOf, perGitalyPod, perNode, perServer } from '../subjects.ts';
import { version } from '../version.ts';
import {
  asConfigured,
  initCgroupsRan,
  insideContainer,
  isNested,
  limitsGit,
  maxText,
  minimumGitMemory,
  ownedByGitaly,
  runningMs,
  sensiblyConfigured,
  withoutInitCgroups,
} from './cgroup-verdicts.ts';

/** Gitaly in pods manages cgroups since this version. */
const cgroupsInPods = version('17.3');

/** GitLab 13.10 documents 'Control groups' for the first time. */
const firstCgroups = version('13.10');

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
    readFrom: 'node',
    since: cgroupsInPods,
    fix: { text: 'Boot the node with systemd.unified_cgroup_hierarchy=1, or use a newer node image.' },
    ...perNode((_, { cgroupVersion }) =>
      judge(cgroupVersion, (found) => passIf(found === 'v2', `cgroup ${found}`)),
    ),
  },
  {
    id: 'cgroup_driver_systemd',
    title: 'The kubelet uses the systemd cgroup driver',
    why: "init-cgroups supports only systemd's slices, and rejects the layout of the cgroupfs driver.",
    expected:
      'kubepods.slice on every node that runs a Gitaly pod, with the containers of its pods inside it',
    evidence: 'kubepods.slice in the cgroup tree, and the places of containers',
    source: sources.requirements,
    severity: 'warning',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: {
      text: "Set cgroupDriver: systemd in the kubelet's configuration and SystemdCgroup = true in containerd's, then drain and restart the node.",
    },
    ...perNode((_, { cgroupDriver }) =>
      judge(cgroupDriver, (found) =>
        found === 'mixed'
          ? fail('the kubelet uses systemd, the container runtime cgroupfs: no slice contains its containers')
          : passIf(found === 'systemd', `driver ${found}`),
      ),
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
    readFrom: 'node',
    since: cgroupsInPods,
    fix: {
      text: 'Run `mount -o remount,rw /sys/fs/cgroup` without nsdelegate on the node, and make the change persistent.',
    },
    ...perNode((_, { nsdelegate }, { cgroup }) =>
      isNested(cgroup)
        ? undecided(insideContainer)
        : judge(nsdelegate, (found) => passIf(!found, found ? 'nsdelegate is set' : 'nsdelegate is not set')),
    ),
  },
  {
    id: 'init_cgroups_ran',
    title: 'init-cgroups completed successfully',
    why: "It delegates the pod's slice to Gitaly. Without it Gitaly has no cgroups for Git processes.",
    expected:
      'an init container init-cgroups with exit code 0; none where the container can write its own cgroups',
    evidence:
      "the pod's status.initContainerStatuses; without that container Gitaly's configuration and cgroups",
    source: sources.requirements,
    severity: 'warning',
    readFrom: 'api',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    ...perGitalyPod((pod, { cgroup, config }) => {
      const init = pod.initContainers.find(({ name }) => name === 'init-cgroups');
      return init === undefined ? withoutInitCgroups(cgroup, config) : initCgroupsRan(init);
    }),
  },
  {
    id: 'cgroup_owner',
    title: "The pod's slice is owned by Gitaly's user",
    why: 'Otherwise Gitaly can neither create cgroups there nor move Git processes into them.',
    expected:
      "cgroup.procs of the slice owned by the runAsUser of Gitaly's container (1000 in the chart), as the pod's user namespace maps it",
    evidence:
      "the owner of cgroup.procs in the pod's slice; in the container's cgroup where Gitaly's cgroups are inside it",
    source: sources.requirements,
    severity: 'warning',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    ...perGitalyPod((pod, { cgroup }) =>
      judge(cgroup, ({ ownerUid, layout }) => judge(ownerUid, (uid) => ownedByGitaly(uid, pod, layout))),
    ),
  },
  {
    id: 'git_cgroups_configured',
    title: "Git's cgroups and their memory limit are configured",
    why: 'Without them a single Git process can use all memory, and the OOM kill takes down all of Gitaly. `count = 0` disables them silently.',
    expected: `cgroups.repositories.count greater than 0, cgroups.memory_bytes of at least ${bytesText(minimumGitMemory)}, and cgroups.repositories.memory_bytes not above it`,
    evidence: "Gitaly's config.toml, from the ConfigMap or the file",
    source: sources.constrain,
    severity: 'warning',
    readFrom: 'api',
    since: firstCgroups,
    fix: {
      helm: enableCgroups,
      kubectl: kubectl('get configmap -l app=gitaly -o yaml'),
      text: "On a virtual machine: gitaly['configuration'][:cgroups] in gitlab.rb.",
    },
    ...perServer(({ config }, pod) =>
      judge(config, ({ cgroups }) => sensiblyConfigured(cgroups, pod && gitlabVersionOf(pod))),
    ),
  },
  {
    id: 'git_cgroups_enabled',
    title: 'Git runs in cgroups of its own, with a memory limit',
    why: 'A configuration may not be in effect yet: only the cgroup tree shows that Git is limited.',
    expected:
      'repos-0 below gitaly-<pid>, processes in them since the start, and memory.max of gitaly-<pid> below every limit around it',
    evidence: "Gitaly's cgroups on the node: their limits and their CPU time",
    source: sources.constrain,
    severity: 'warning',
    readFrom: 'node',
    since: firstCgroups,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c gitaly | grep -i cgroup') },
    ...perServer(({ cgroup, identity }, pod, inputs) =>
      judge(cgroup, (facts) => {
        const { memoryBytes } = factsOfNode(inputs, pod?.node ?? identity.node);
        return limitsGit(facts, memoryBytes, runningMs(pod, inputs.now));
      }),
    ),
  },
  {
    id: 'git_limit_as_configured',
    title: "Git's memory limit in effect is the configured one",
    why: 'Gitaly sets the limit when it starts: a later change of the configuration has no effect until then.',
    expected:
      'memory.max of gitaly-<pid> equal to cgroups.memory_bytes, and of its buckets to cgroups.repositories.memory_bytes, rounded to pages',
    evidence: "Gitaly's config.toml and its cgroups on the node, from an exporter that reads both",
    source: sources.constrain,
    severity: 'info',
    readFrom: 'node',
    since: firstCgroups,
    fix: {
      kubectl: kubectl('rollout restart statefulset WORKLOAD'),
      text: 'On a virtual machine: `gitlab-ctl restart gitaly`.',
    },
    ...perServer(({ config, cgroup }) =>
      judge(cgroup, ({ gitMemoryMax, bucketMemoryMax }) =>
        judge(gitMemoryMax, (max) =>
          judge(config, ({ cgroups: { memoryBytes, repositories } }) => {
            return allOf(
              asConfigured('memory.max', max, 'memory_bytes', memoryBytes),
              judge(bucketMemoryMax, (bucket) =>
                asConfigured(
                  'memory.max of its buckets',
                  bucket,
                  'repositories.memory_bytes',
                  repositories.memoryBytes,
                ),
              ),
            );
          }),
        ),
      ),
    ),
  },
  {
    id: 'pod_memory_bounded',
    title: "The pod's slice has a memory limit",
    why: "Git runs next to Gitaly's container, outside of its limit: only memory.max of the slice limits both together. While that is `max`, the node's memory is the limit, and the OOM killer chooses among all pods of the node.",
    expected:
      "memory.max of the pod's slice below the node's memory; of the container's cgroup where Git runs inside it",
    evidence: "memory.max of the pod's slice, and /proc/meminfo",
    source: `${sources.notInGuide}: cgroup v2 in the kernel's documentation`,
    severity: 'warning',
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
    ...perGitalyPod((pod, { cgroup }, inputs) =>
      judge(cgroup, ({ podMemoryMax }) =>
        judge(podMemoryMax, (max) => {
          const found = `memory.max is ${maxText(max)}`;
          if (max === 'max') return fail(found);
          return judge(factsOfNode(inputs, pod.node).memoryBytes, (memory) =>
            max < memory ? pass(found) : fail(`${found}, but the node has only ${bytesText(memory)}`),
          );
        }),
      ),
    ),
  },
];
