/** Git's own cgroups: whether Gitaly can create them, and whether they limit Git. */

import type { GitalyConfig } from '../../../config/gitaly/gitaly-config.ts';
import { bytesText, durationText } from '../../../lib/format.ts';
import { isUnknown, type Known, notApplicable } from '../../../lib/known.ts';
import type { CgroupFacts, MemoryMax } from '../../../sources/cgroup/facts.ts';
import type { Layout } from '../../../sources/cgroup/tree.ts';
import type { Container, Pod } from '../../../sources/kubernetes/objects/types.ts';
import {
  allOf,
  type Check,
  type CheckVerdict,
  fail,
  judge,
  pass,
  passIf,
  sources,
  undecided,
} from '../check.ts';
import { kubectl, showPodField } from '../commands.ts';
import {
  factsOfNode,
  gitalyContainer,
  gitlabVersionOf,
  perGitalyPod,
  perNode,
  perServer,
} from '../subjects.ts';
import { isVersionAtLeast, type Version, version, versionText } from '../version.ts';

/** Gitaly in pods manages cgroups since this version. */
const cgroupsInPods = version('17.3');

/** GitLab 13.10 documents 'Control groups' for the first time. */
const firstCgroups = version('13.10');

/** cgroups.memory_bytes; before it, each repository's cgroup had a limit, and all of them together none. */
const firstGitMemoryLimit = version('15.0');

/** runAsUser of the chart: user git. */
const gitUid = 1000;

/** The kubelet gives each pod with a user namespace a range of this many user IDs, or of a multiple. */
const userNamespaceSize = 65536;

/** The kernel's overflowuid: the owner, seen from a user namespace to which it is not mapped. */
const unmappedUid = 65534;

/** Git's pack.deltaCacheSize alone is 256 MiB by default: below that, a clone of any size is OOM-killed. */
export const minimumGitMemory = 256 * 2 ** 20;

/** More than any server has: a value in another unit, or the kernel's largest number for no limit. */
const maximumGitMemory = 2 ** 44;

/** A Gitaly that serves calls has run Git by then. */
const unusedAfterMs = 3_600_000;

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
    expected:
      'kubepods.slice on every node that runs a Gitaly pod, with the containers of its pods inside it',
    evidence: 'kubepods.slice in the cgroup tree, and the places of containers',
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
        judge(cgroupDriver, (found) =>
          found === 'mixed'
            ? fail(
                'the kubelet uses systemd, the container runtime cgroupfs: no slice contains its containers',
              )
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
    scope: 'node',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: {
      text: 'Run `mount -o remount,rw /sys/fs/cgroup` without nsdelegate on the node, and make the change persistent.',
    },
    run: (inputs) =>
      perNode(inputs, (_, { nsdelegate }, { cgroup }) =>
        isNested(cgroup)
          ? undecided(insideContainer)
          : judge(nsdelegate, (found) =>
              passIf(!found, found ? 'nsdelegate is set' : 'nsdelegate is not set'),
            ),
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
    scope: 'pod',
    readFrom: 'api',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { cgroup, config }) => {
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
    scope: 'pod',
    readFrom: 'node',
    since: cgroupsInPods,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c init-cgroups') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { cgroup }) =>
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
    scope: 'pod',
    readFrom: 'api',
    since: firstCgroups,
    fix: {
      helm: enableCgroups,
      kubectl: kubectl('get configmap -l app=gitaly -o yaml'),
      text: "On a virtual machine: gitaly['configuration'][:cgroups] in gitlab.rb.",
    },
    run: (inputs) =>
      perServer(inputs, ({ config }, pod) =>
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
    scope: 'pod',
    readFrom: 'node',
    since: firstCgroups,
    fix: { helm: enableCgroups, kubectl: kubectl('logs POD -c gitaly | grep -i cgroup') },
    run: (inputs) =>
      perServer(inputs, ({ cgroup, identity }, pod) =>
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
    scope: 'pod',
    readFrom: 'node',
    since: firstCgroups,
    fix: {
      kubectl: kubectl('rollout restart statefulset WORKLOAD'),
      text: 'On a virtual machine: `gitlab-ctl restart gitaly`.',
    },
    run: (inputs) =>
      perServer(inputs, ({ config, cgroup }) =>
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
      perGitalyPod(inputs, (pod, { cgroup }) =>
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

const isNested = (cgroup: Known<CgroupFacts>): boolean =>
  !isUnknown(cgroup) && cgroup.value.layout === 'nested';

const insideContainer = notApplicable(
  "Gitaly's cgroups are inside its container's, which it can write to (cgroup_writable of containerd)",
);

function initCgroupsRan({ state, lastTermination }: Container): CheckVerdict {
  if (state.kind === 'terminated') return passIf(state.exitCode === 0, `exit code ${state.exitCode}`);
  return lastTermination !== undefined && lastTermination.exitCode !== 0
    ? fail(`exit code ${lastTermination.exitCode}, and it is started again`)
    : undecided(`init-cgroups has not completed (${state.kind})`);
}

/** A container that can write its own cgroups needs no other one to delegate them. */
function withoutInitCgroups(cgroup: Known<CgroupFacts>, config: Known<GitalyConfig>): CheckVerdict {
  const found = 'no init container init-cgroups';
  const layout = isUnknown(cgroup) ? undefined : cgroup.value.layout;
  if (layout === 'nested') return undecided(insideContainer);
  if (layout === 'sibling')
    return undecided(
      notApplicable("Gitaly has its cgroups without it: the pod's slice was delegated otherwise"),
    );
  return judge(config, ({ cgroups }) => {
    if (cgroups.repositories.count === 0) return fail(`${found}: cgroups are disabled in the chart`);
    if (layout === 'none') return fail(`${found}, and no gitaly-<pid> although cgroups are configured`);
    return undecided(
      'cgroups are configured without it, which works where the container can write its own (cgroup_writable of containerd): git_cgroups_enabled shows it, with an agent on the node',
      found,
    );
  });
}

function ownedByGitaly(uid: number, pod: Pod, layout: Layout): CheckVerdict {
  const user = gitalyContainer(pod)?.runAsUser ?? pod.runAsUser ?? gitUid;
  if (uid === unmappedUid && user !== unmappedUid)
    return undecided(
      "the owner has no user ID in this exporter's user namespace: run the agent without one (hostUsers)",
      `uid ${uid}`,
    );
  const isMapped = pod.hostUsers === false || (layout === 'nested' && uid >= userNamespaceSize);
  if (!isMapped) return passIf(uid === user, `uid ${uid}`);
  if (uid < userNamespaceSize)
    return fail(`uid ${uid} of the host, which is no user in the pod's user namespace (hostUsers: false)`);
  const inPod = uid % userNamespaceSize;
  return passIf(inPod === user, `uid ${uid}, in the pod's user namespace ${inPod}`);
}

function sensiblyConfigured(
  { memoryBytes, repositories }: GitalyConfig['cgroups'],
  gitlab: Version | undefined,
): CheckVerdict {
  const bucket = repositories.memoryBytes;
  if (repositories.count === 0) return fail('repositories.count is 0: disabled');
  if (bucket !== undefined && bucket < minimumGitMemory)
    return fail(
      `repositories.memory_bytes is ${bucket} bytes (${bytesText(bucket)}), less than one Git process may need`,
    );
  const buckets = `${repositories.count} buckets`;
  if (memoryBytes === undefined) {
    const hasNoSuchKey = gitlab !== undefined && !isVersionAtLeast(gitlab, firstGitMemoryLimit);
    return hasNoSuchKey && bucket !== undefined
      ? pass(
          `${buckets} of ${bytesText(bucket)} each; GitLab ${versionText(gitlab)} has no limit on them together`,
        )
      : fail(`${buckets}, memory_bytes not set`);
  }
  if (memoryBytes < minimumGitMemory)
    return fail(
      `memory_bytes is ${memoryBytes} bytes (${bytesText(memoryBytes)}) for all Git processes, less than one may need`,
    );
  const found = `${buckets}, memory_bytes ${bytesText(memoryBytes)}`;
  if (memoryBytes > maximumGitMemory) return fail(`${found}, which limits nothing on any server`);
  return bucket !== undefined && bucket > memoryBytes
    ? fail(`${found}, less than the ${bytesText(bucket)} of one bucket`)
    : pass(found);
}

/** @param ageMs since Gitaly's container started; undefined where that is unknown */
function limitsGit(facts: CgroupFacts, nodeMemory: Known<number>, ageMs: number | undefined): CheckVerdict {
  if (facts.layout === 'none') return fail('no gitaly-<pid>: disabled');
  return judge(facts.repositoryCgroups, (count) => {
    if (count === 0) return fail('gitaly-<pid> exists, but has no repos-0');
    return judge(facts.gitMemoryMax, (max) => {
      const found = `${count} repos-N so far, memory.max of gitaly-<pid> is ${maxText(max)}`;
      if (max === 'max') return fail(found);
      if (max < minimumGitMemory) return fail(`${found}, less than one Git process may need`);
      return allOf(
        judge(facts.bucketMemoryMax, (bucket) =>
          bucket !== 'max' && bucket > max
            ? fail(`${found}, less than the ${bytesText(bucket)} of one bucket`)
            : pass(found),
        ),
        judge(nodeMemory, (memory) =>
          passIf(max < memory, `${found}, but the node has only ${bytesText(memory)}`),
        ),
        judge(facts.enclosingMemoryMax, ({ path, max: around }) =>
          around !== 'max' && around <= max
            ? fail(`${found}, but that of ${path} around it ${bytesText(around)}: Git's own limit never acts`)
            : pass(found),
        ),
        judge(facts.hasGitRun, (hasRun) => (hasRun ? pass(found) : unused(found, ageMs))),
      );
    });
  });
}

function unused(found: string, ageMs: number | undefined): CheckVerdict {
  const created = `${found}; created, but no process was ever in them`;
  return ageMs !== undefined && ageMs >= unusedAfterMs
    ? fail(`${created} in the ${durationText(ageMs)} since Gitaly started: Git runs outside of them`)
    : undecided('either no call needed Git yet, or Gitaly may not move Git into its cgroups', created);
}

/** Undefined on a virtual machine, while the container does not run, and for a start in the future. */
function runningMs(pod: Pod | undefined, now: number): number | undefined {
  const state = pod && gitalyContainer(pod)?.state;
  if (state?.kind !== 'running' || state.startedAt === undefined) return undefined;
  const ageMs = now - state.startedAt;
  return ageMs >= 0 ? ageMs : undefined;
}

/** The kernel rounds a limit down to whole pages, of at most 64 KiB. */
const largestPage = 65536;

function asConfigured(
  what: string,
  max: MemoryMax,
  key: string,
  configured: number | undefined,
): CheckVerdict {
  const both = `${what} is ${maxText(max)}, ${key} ${configured === undefined ? 'not set' : bytesText(configured)}`;
  if (configured === undefined || max === 'max')
    return passIf(configured === undefined && max === 'max', both);
  return passIf(max <= configured && configured - max < largestPage, both);
}

const maxText = (max: MemoryMax): string => (max === 'max' ? 'max' : bytesText(max));
