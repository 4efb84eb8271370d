/**
 * False passes and false failures of each check: what a weaker check would pass although it is wrong, and what
 * a stricter check would fail although it is right. Each line is a change to a cluster that follows all
 * recommendations, with the right result.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { known, notApplicable, unknown } from '../../../src/lib/known.ts';
import { type CheckId, checkIds } from '../../../src/rules/checks/check.ts';
import type { CheckInputs, PraefectFacts } from '../../../src/rules/checks/inputs.ts';
import type { PodDisruptionBudget, StatefulSet } from '../../../src/sources/kubernetes/objects/types.ts';
import {
  cgroup,
  config,
  container,
  inputs,
  listOf,
  nodeFacts,
  nodes,
  pods,
  praefect,
  servers,
} from './change.ts';
import { captured, configOf, findingsOf } from './support.ts';

const good = captured('posture-good');
const MiB = 2 ** 20;
const GiB = 2 ** 30;
const hour = 3_600_000;

type Change = (before: CheckInputs) => CheckInputs;
/** The change, and the result: `fail: FOUND`, `unknown: FOUND; REASON`. */
type Line = readonly [what: string, change: Change, outcome: string];

interface Sides {
  /** Passed in an earlier version, or would pass a check of mere presence. A text: why there is no such case. */
  readonly falsePasses: readonly Line[] | string;
  /** Failed in an earlier version, or would fail a stricter check. A text: why there is no such case. */
  readonly falseFailures: readonly Line[] | string;
}

const all =
  (...changes: readonly Change[]): Change =>
  (before) =>
    changes.reduce((now, change) => change(now), before);

const kubelet = (kubeletVersion: string) => nodes(() => ({ kubeletVersion }));
const runtime = (runtimeVersion: string) => nodes(() => ({ runtimeVersion }));
const image = (tag: string) => container(() => ({ image: `registry.example:5000/gitaly:${tag}` }));
const sizes = (memoryBytes: number | undefined, bucketBytes?: number) =>
  config(({ cgroups }) => ({
    cgroups: { ...cgroups, memoryBytes, repositories: { ...cgroups.repositories, memoryBytes: bucketBytes } },
  }));
const file = (name: string) => {
  const text = readFileSync(new URL(`../../fixtures/gitaly/configs/field/${name}`, import.meta.url), 'utf8');
  return config(() => configOf(text));
};
const limits = (text: string) => config(() => configOf(text));
const limit = (rpc: string, more = 'max_per_repo = 20') =>
  `[[concurrency]]\nrpc = "/gitaly.${rpc}"\n${more}\n`;
const nested = cgroup({ layout: 'nested' });
const withoutInitCgroups = pods(({ initContainers }) => ({
  initContainers: initContainers.filter(({ name }) => name !== 'init-cgroups'),
}));
const noAgent = servers(() => ({ cgroup: unknown('no agent on the node') }));
const started = (agoMs: number) =>
  container((each) =>
    each.name === 'gitaly' ? { state: { kind: 'running', startedAt: good.now - agoMs } } : {},
  );
const annotations = (given: Record<string, string>) => pods(() => ({ annotations: given }));
const karpenterNodes = nodes(({ labels }) => ({ labels: { ...labels, 'karpenter.sh/nodepool': 'default' } }));
const budgets = (change: (budget: PodDisruptionBudget) => readonly Partial<PodDisruptionBudget>[]) =>
  inputs(({ disruptionBudgets }) => ({
    disruptionBudgets: known(
      listOf(disruptionBudgets).flatMap((budget) =>
        change(budget).map((changed) => ({ ...budget, ...changed })),
      ),
    ),
  }));
const rule = (minAvailable: string, maxUnavailable: string) =>
  budgets(() => [{ minAvailable, maxUnavailable, disruptionsAllowed: 0 }]);
const byPod = { key: 'statefulset.kubernetes.io/pod-name', values: [] } as const;
const sets = (change: (set: StatefulSet) => Partial<StatefulSet>) =>
  inputs(({ statefulSets }) => ({
    statefulSets: known(listOf(statefulSets).map((set) => ({ ...set, ...change(set) }))),
  }));
const connections = (...given: readonly (readonly [sslMode: string, host: string])[]) =>
  praefect({
    connections: given.map(([sslMode, host], i) =>
      known({ configuration: `ConfigMap gitlab/praefect-${i}`, sslMode, host }),
    ),
  });
/** No image has GitLab's version. */
const noVersion = (postgresql: string, schemaReleases: PraefectFacts['schemaReleases']) =>
  all(
    inputs(() => ({ praefectPods: known([]) })),
    praefect({
      postgresqlVersion: known(postgresql),
      schemaReleases,
    }),
  );
const volume = (availableBytes: number, capacityBytes: number, free: number, total: number) =>
  servers(() => ({ volume: known({ availableBytes, capacityBytes, inodes: known({ free, total }) }) }));
const insideContainer =
  "n/a: Gitaly's cgroups are inside its container's, which it can write to (cgroup_writable of containerd)";
const limitFound = '1 repos-N so far, memory.max of gitaly-<pid> is';

const cases: Readonly<Record<CheckId, Sides>> = {
  kubernetes_version: {
    falsePasses: [['a prerelease', kubelet('v1.29.0-rc.1'), 'fail: kubelet v1.29.0-rc.1, older than 1.29']],
    falseFailures: [
      ["a vendor's suffix", kubelet('v1.29.4-eks-036c24b'), 'pass: kubelet v1.29.4-eks-036c24b'],
    ],
  },
  container_runtime_version: {
    falsePasses: [['a prerelease', runtime('containerd://2.1.0-rc.0'), 'fail: containerd://2.1.0-rc.0']],
    falseFailures: [
      ["a vendor's suffix", runtime('containerd://v2.1.0-k3s1'), 'pass: containerd://v2.1.0-k3s1'],
    ],
  },
  runc_version: {
    falsePasses: [
      [
        'a prerelease',
        nodeFacts({ runcVersion: known('1.1.9-rc.1') }),
        'fail: runc 1.1.9-rc.1, older than 1.1.9',
      ],
    ],
    falseFailures: [
      ['a custom build', nodeFacts({ runcVersion: known('1.1.9+dev') }), 'pass: runc 1.1.9+dev'],
    ],
  },
  cgroup_v2: {
    falsePasses: [
      [
        'cgroup.controllers without memory (hybrid)',
        nodeFacts({ cgroupVersion: known('hybrid') }),
        'fail: cgroup hybrid',
      ],
    ],
    falseFailures: 'the root of the tree shows it',
  },
  cgroup_driver_systemd: {
    falsePasses: [
      [
        'kubepods.slice, and containers outside of it',
        nodeFacts({ cgroupDriver: known('mixed') }),
        'fail: the kubelet uses systemd, the container runtime cgroupfs: no slice contains its containers',
      ],
    ],
    falseFailures: 'a folder that the other driver left: test/sources/cgroup/facts.test.ts',
  },
  cgroup_nsdelegate: {
    falsePasses: 'the options of the mount show it',
    falseFailures: [
      [
        "set, and Gitaly's cgroups are inside its container's",
        all(nodeFacts({ nsdelegate: known(true) }), nested),
        insideContainer,
      ],
    ],
  },
  init_cgroups_ran: {
    falsePasses: [
      [
        'it failed, and waits for its restart',
        pods(({ initContainers }) => ({
          initContainers: initContainers.map((each) => ({
            ...each,
            state: { kind: 'waiting', reason: 'CrashLoopBackOff' },
            lastTermination: { reason: 'Error', exitCode: 1, startedAt: undefined, finishedAt: undefined },
          })),
        })),
        'fail: exit code 1, and it is started again',
      ],
      [
        'no such container, cgroups configured, and none created',
        all(withoutInitCgroups, cgroup({ layout: 'none' })),
        'fail: no init container init-cgroups, and no gitaly-<pid> although cgroups are configured',
      ],
    ],
    falseFailures: [
      ['the container can write its own cgroups', all(withoutInitCgroups, nested), insideContainer],
      [
        'the slice was delegated by other means',
        withoutInitCgroups,
        "n/a: Gitaly has its cgroups without it: the pod's slice was delegated otherwise",
      ],
      [
        'cgroups are configured, and only the API is read',
        all(withoutInitCgroups, noAgent),
        'unknown: no init container init-cgroups; cgroups are configured without it, which works where the container can write its own (cgroup_writable of containerd): git_cgroups_enabled shows it, with an agent on the node',
      ],
    ],
  },
  cgroup_owner: {
    falsePasses: [
      [
        "Gitaly's ID, but of the host, and the pod has a user namespace",
        all(
          pods(() => ({ hostUsers: false })),
          cgroup({ ownerUid: known(1000) }),
        ),
        "fail: uid 1000 of the host, which is no user in the pod's user namespace (hostUsers: false)",
      ],
      [
        'the owner is not mapped in the user namespace of the exporter',
        cgroup({ ownerUid: known(65534) }),
        "unknown: uid 65534; the owner has no user ID in this exporter's user namespace: run the agent without one (hostUsers)",
      ],
    ],
    falseFailures: [
      [
        'the pod has a user namespace (hostUsers: false)',
        all(
          pods(() => ({ hostUsers: false })),
          cgroup({ ownerUid: known(131_073_000) }),
        ),
        "pass: uid 131073000, in the pod's user namespace 1000",
      ],
      [
        "another user namespace, and the container's own cgroup",
        all(nested, cgroup({ ownerUid: known(131_073_000) })),
        "pass: uid 131073000, in the pod's user namespace 1000",
      ],
      [
        'the container has a runAsUser of its own',
        all(
          container(() => ({ runAsUser: 1001 })),
          cgroup({ ownerUid: known(1001) }),
        ),
        'pass: uid 1001',
      ],
    ],
  },
  git_cgroups_configured: {
    falsePasses: [
      [
        'half a megabyte for all Git processes',
        file('old-guide.toml'),
        'fail: memory_bytes is 500000 bytes (488 KiB) for all Git processes, less than one may need',
      ],
      [
        'one bucket larger than all of Git',
        sizes(8 * GiB, 9 * GiB),
        'fail: 100 buckets, memory_bytes 8 GiB, less than the 9 GiB of one bucket',
      ],
      [
        "the kernel's largest number, which is no limit",
        sizes(2 ** 63 - 65536, 4 * GiB),
        'fail: 100 buckets, memory_bytes 8192 PiB, which limits nothing on any server',
      ],
      [
        'a bucket of 4 MiB, as in a value in KiB',
        sizes(8 * GiB, 4 * MiB),
        'fail: repositories.memory_bytes is 4194304 bytes (4 MiB), less than one Git process may need',
      ],
    ],
    falseFailures: [
      ['no limit per bucket', sizes(8 * GiB), 'pass: 100 buckets, memory_bytes 8 GiB'],
      ['a bucket as large as all of Git', sizes(8 * GiB, 8 * GiB), 'pass: 100 buckets, memory_bytes 8 GiB'],
      [
        'GitLab 14.9, which limits each bucket, and not all together',
        all(image('v14.9.0'), sizes(undefined, 4 * GiB)),
        'pass: 100 buckets of 4 GiB each; GitLab 14.9 has no limit on them together',
      ],
    ],
  },
  git_cgroups_enabled: {
    falsePasses: [
      [
        'created, and never used in 3 hours',
        all(started(3 * hour), cgroup({ hasGitRun: known(false) })),
        `fail: ${limitFound} 8 GiB; created, but no process was ever in them in the 3 h since Gitaly started: Git runs outside of them`,
      ],
      [
        'created, never used, and the start is in the future by this clock',
        all(started(-3 * hour), cgroup({ hasGitRun: known(false) })),
        `unknown: ${limitFound} 8 GiB; created, but no process was ever in them; either no call needed Git yet, or Gitaly may not move Git into its cgroups`,
      ],
      [
        '12 GiB of Git in a slice of 10 GiB',
        cgroup({ gitMemoryMax: known(12 * GiB) }),
        `fail: ${limitFound} 12 GiB, but that of kubepods.slice/kubepods-podUID.slice around it 10 GiB: Git's own limit never acts`,
      ],
      [
        'more than the node has',
        all(
          cgroup({ gitMemoryMax: known(60 * GiB), enclosingMemoryMax: known({ path: '', max: 'max' }) }),
          nodeFacts({ memoryBytes: known(32 * GiB) }),
        ),
        `fail: ${limitFound} 60 GiB, but the node has only 32 GiB`,
      ],
      [
        'one bucket larger than all of Git',
        cgroup({ bucketMemoryMax: known(9 * GiB) }),
        `fail: ${limitFound} 8 GiB, less than the 9 GiB of one bucket`,
      ],
      [
        'half a megabyte',
        cgroup({ gitMemoryMax: known(499_712) }),
        `fail: ${limitFound} 488 KiB, less than one Git process may need`,
      ],
    ],
    falseFailures: [
      [
        'created five minutes ago, and not used yet',
        all(started(300_000), cgroup({ hasGitRun: known(false) })),
        `unknown: ${limitFound} 8 GiB; created, but no process was ever in them; either no call needed Git yet, or Gitaly may not move Git into its cgroups`,
      ],
      [
        'no limit around it, as on a virtual machine',
        cgroup({ enclosingMemoryMax: known({ path: '', max: 'max' }) }),
        `pass: ${limitFound} 8 GiB`,
      ],
    ],
  },
  git_limit_as_configured: {
    falsePasses: [
      [
        "the buckets' limit changed, that of all Git did not",
        cgroup({ bucketMemoryMax: known(2 * GiB) }),
        'fail: memory.max of its buckets is 2 GiB, repositories.memory_bytes 4 GiB',
      ],
    ],
    falseFailures: [
      [
        'the kernel rounds down to pages',
        sizes(8 * GiB + 1000, 4 * GiB + 1),
        'pass: memory.max is 8 GiB, memory_bytes 8 GiB',
      ],
    ],
  },
  git_memory_buffer: {
    falsePasses: [
      [
        "Git's limit exceeds the request",
        sizes(12 * GiB),
        "fail: request 10 GiB - memory_bytes 12 GiB: Git's limit alone exceeds the request",
      ],
    ],
    falseFailures: [['exactly 1 GiB', sizes(9 * GiB), 'pass: request 10 GiB - memory_bytes 9 GiB = 1 GiB']],
  },
  pod_memory_bounded: {
    falsePasses: [
      [
        'a limit above the memory of the node',
        cgroup({ podMemoryMax: known(2048 * GiB) }),
        'fail: memory.max is 2 TiB, but the node has only 64 GiB',
      ],
    ],
    falseFailures: "the container's limit counts where Git runs inside it: test/sources/cgroup/facts.test.ts",
  },
  qos_guaranteed: {
    falsePasses: 'the kubelet acts by the class that the API reports',
    falseFailures: 'the same',
  },
  gomemlimit: {
    falsePasses: [
      [
        'a number without its unit',
        container(() => ({ env: { GOMEMLIMIT: '1900' } })),
        'fail: GOMEMLIMIT 1.9 KiB, less than Gitaly itself needs; without a unit it is in bytes',
      ],
    ],
    falseFailures: [
      [
        'in bytes',
        container(() => ({ env: { GOMEMLIMIT: '2147483648' } })),
        'pass: GOMEMLIMIT 2 GiB, limit 10 GiB - memory_bytes 8 GiB = 2 GiB',
      ],
    ],
  },
  no_swap: {
    falsePasses: [
      [
        'no agent, and the kubelet reports swap',
        all(
          nodeFacts({ swapBytes: notApplicable('no agent') }),
          nodes(() => ({ swapBytes: 8 * GiB })),
        ),
        'fail: 8 GiB of swap',
      ],
    ],
    falseFailures: "the kubelet keeps containers out of swap, but not Git's cgroups next to them",
  },
  priority_class: {
    falsePasses: [
      [
        'a class that does not preempt',
        pods(() => ({ preemptionPolicy: 'Never' })),
        'fail: gitlab-gitaly has preemptionPolicy Never: the pod waits for free capacity',
      ],
      [
        'a class of the value that pods without one have',
        pods(() => ({ priority: 0 })),
        'fail: gitlab-gitaly (0), not above pods without a PriorityClass',
      ],
    ],
    falseFailures: [
      [
        "only Kubernetes' own pods are above",
        inputs(() => ({
          otherPods: known([{ namespace: 'kube-system', name: 'x', priority: 2_000_001_000 }]),
        })),
        'pass: gitlab-gitaly (1000000), above all 0 other pods',
      ],
    ],
  },
  safe_to_evict: {
    falsePasses: [
      [
        "the cluster autoscaler's annotation on nodes of Karpenter",
        karpenterNodes,
        'fail: cluster-autoscaler.kubernetes.io/safe-to-evict: "false", which Karpenter ignores',
      ],
      [
        "Karpenter's annotation on other nodes",
        annotations({ 'karpenter.sh/do-not-disrupt': 'true' }),
        'fail: karpenter.sh/do-not-disrupt: "true", which the cluster autoscaler ignores',
      ],
      [
        'a value that the autoscaler does not compare with',
        annotations({ 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'False' }),
        'fail: cluster-autoscaler.kubernetes.io/safe-to-evict: "False"',
      ],
    ],
    falseFailures: [
      [
        "Karpenter's annotation on its nodes",
        all(karpenterNodes, annotations({ 'karpenter.sh/do-not-disrupt': 'true' })),
        'pass: karpenter.sh/do-not-disrupt: "true"',
      ],
    ],
  },
  anti_affinity: {
    falsePasses: [
      [
        'the rule is on one pod alone, and all share a node',
        pods(({ antiAffinity }, i) => ({
          node: 'lab-node-1',
          antiAffinity: i === 0 ? antiAffinity : { required: [], preferred: [] },
        })),
        'fail: no anti-affinity; gl-gitaly-default-0, gl-gitaly-default-1, gl-gitaly-default-2 share lab-node-1',
      ],
      [
        'no Gitaly pod',
        inputs(() => ({ gitalyPods: known([]) })),
        'unknown: no Gitaly pod found: check that kubernetes.gitaly-selector matches their labels',
      ],
    ],
    falseFailures: [
      [
        'no rule (topology spread constraints, for example), but apart',
        pods(() => ({ antiAffinity: { required: [], preferred: [] } })),
        'pass: no anti-affinity; 3 pods on 3 nodes',
      ],
    ],
  },
  replicas_on_distinct_nodes: {
    falsePasses: [
      [
        'one of four is not scheduled yet',
        sets(({ replicas }) => ({ replicas: replicas + 1 })),
        'unknown: 3 of 4 pods are scheduled',
      ],
    ],
    falseFailures: 'two pods on a node are on a node',
  },
  pdb_present: {
    falsePasses: [
      [
        'all must be available',
        rule('3', ''),
        'fail: gl-gitaly-default: minAvailable 3, 0 allowed now: never allows a disruption of its 3 pods, so drains wait forever',
      ],
      [
        'a percentage that rounds up to all',
        rule('67%', ''),
        'fail: gl-gitaly-default: minAvailable 67%, 0 allowed now: never allows a disruption of its 3 pods, so drains wait forever',
      ],
      [
        'none may be unavailable',
        rule('', '0'),
        'fail: gl-gitaly-default: maxUnavailable 0, 0 allowed now: never allows a disruption of its 3 pods, so drains wait forever',
      ],
      [
        'all may be unavailable',
        rule('', '100%'),
        'fail: gl-gitaly-default: maxUnavailable 100%, 0 allowed now: allows all 3 pods to be disrupted at the same time',
      ],
      [
        'two budgets for the same pods',
        budgets((budget) => [budget, { name: `${budget.name}-2` }]),
        'fail: gl-gitaly-default, gl-gitaly-default-2 match the same pod: every eviction of it is refused with an error',
      ],
      [
        'one budget for each pod',
        budgets(({ name }) =>
          [0, 1, 2].map((i) => ({
            name: `${name}-${i}`,
            maxUnavailable: '1',
            labelSelector: {
              labels: {},
              expressions: [{ ...byPod, operator: 'In', values: [`${name}-${i}`] }],
            },
          })),
        ),
        'fail: gl-gitaly-default-0, gl-gitaly-default-1, gl-gitaly-default-2 each cover only some of them, so all may be evicted at the same time',
      ],
    ],
    falseFailures: [
      [
        'a percentage that rounds up to one',
        rule('', '10%'),
        'pass: gl-gitaly-default: maxUnavailable 10%, 0 allowed now',
      ],
      [
        'none is allowed at the moment, as during a rotation',
        rule('2', ''),
        'pass: gl-gitaly-default: minAvailable 2, 0 allowed now',
      ],
      [
        'a selector with expressions',
        budgets(({ name }) =>
          name === 'gl-gitaly-default'
            ? [
                {
                  labelSelector: {
                    labels: {},
                    expressions: [{ key: 'app', operator: 'In', values: ['gitaly'] }],
                  },
                },
              ]
            : [{}],
        ),
        'pass: gl-gitaly-default: maxUnavailable 1, 1 allowed now',
      ],
    ],
  },
  fs_group_change_policy: {
    falsePasses: 'the policy is a value of the pod, and has no other meaning',
    falseFailures: [
      [
        'no fsGroup',
        pods(() => ({ fsGroup: undefined as never, fsGroupChangePolicy: '' })),
        'n/a: the pod has no fsGroup, so no owner is changed',
      ],
    ],
  },
  fast_readiness: {
    falsePasses: [
      [
        'a slow startupProbe',
        container(({ startupProbe }) => ({
          startupProbe: startupProbe && { ...startupProbe, initialDelaySeconds: 120, periodSeconds: 60 },
        })),
        'fail: startupProbe with initialDelaySeconds 120, periodSeconds 60',
      ],
      [
        'a startupProbe, and a readinessProbe that starts later',
        container(({ readinessProbe }) => ({
          readinessProbe: readinessProbe && { ...readinessProbe, initialDelaySeconds: 30 },
        })),
        'fail: readinessProbe with initialDelaySeconds 30',
      ],
      [
        'a readinessProbe that has to succeed five times',
        container(({ readinessProbe }) => ({
          startupProbe: undefined,
          readinessProbe: readinessProbe && { ...readinessProbe, successThreshold: 5 },
        })),
        'fail: no startupProbe, readinessProbe with successThreshold 5',
      ],
    ],
    falseFailures: [
      [
        'a startupProbe alone',
        container(({ startupProbe }) => ({
          readinessProbe: undefined,
          startupProbe: startupProbe && { ...startupProbe, periodSeconds: 1 },
        })),
        'pass: startupProbe every 1 s',
      ],
    ],
  },
  short_graceful_stop: {
    falsePasses: [
      [
        'zero seconds',
        pods(() => ({ terminationGracePeriodSeconds: 0 })),
        'fail: terminationGracePeriodSeconds 0: Gitaly is killed before its graceful shutdown ends',
      ],
    ],
    falseFailures: [
      [
        'gracefulRestartTimeout 5 in the chart',
        pods(() => ({ terminationGracePeriodSeconds: 10 })),
        'pass: terminationGracePeriodSeconds 10',
      ],
    ],
  },
  client_retry_window: {
    falsePasses: [
      [
        'no complete rotation, but the start alone took longer',
        all(
          servers(() => ({ rotationSeconds: unknown('none seen yet') })),
          pods(({ createdAt, containers }) => ({
            containers: containers.map((each) => ({
              ...each,
              state: { kind: 'running', startedAt: createdAt + 90_000 },
            })),
          })),
        ),
        'fail: clients retry for 1 min; from its creation to the start of its container it took 1 min 30 s',
      ],
    ],
    falseFailures: [
      [
        'exactly the same duration',
        servers(() => ({ rotationSeconds: known(60) })),
        'pass: clients retry for 1 min; the slowest recent rotation took 1 min',
      ],
    ],
  },
  concurrency_limits: {
    falsePasses: [
      [
        'RPCs that no version of Gitaly has',
        file('no-such-rpc.toml'),
        'fail: no limit on clones and fetches: no known Gitaly has gitaly.SSHService/UploadPack, no known Gitaly has gitaly.DiffService/GetDiff',
      ],
      [
        'RPCs that clones no longer use (GitLab 18.10)',
        file('old-guide.toml'),
        'fail: no limit on clones and fetches: clients of GitLab 18.10 do not use gitaly.SSHService/SSHUploadPack, gitaly.SmartHTTPService/PostReceivePack is no clone or fetch',
      ],
      [
        'the same, and the version is unknown',
        all(image('latest'), file('old-guide.toml')),
        "unknown: a limit on gitaly.SSHService/SSHUploadPack; clients use it before GitLab 15.9 only, and this Gitaly's version is unknown",
      ],
      [
        'a limit that no server reaches',
        limits(limit('SmartHTTPService/PostUploadPackWithSidechannel', 'max_per_repo = 100000')),
        'fail: no limit on clones and fetches: 100000 calls of gitaly.SmartHTTPService/PostUploadPackWithSidechannel at a time are no limit',
      ],
      [
        'only unauthenticated calls',
        limits(
          limit(
            'SmartHTTPService/PostUploadPackWithSidechannel',
            '[concurrency.unauthenticated]\nmax_per_repo = 5',
          ),
        ),
        'fail: no limit on clones and fetches: gitaly.SmartHTTPService/PostUploadPackWithSidechannel is limited for calls without a user only',
      ],
      [
        'pack-objects without its cache, which it needs',
        limits('[pack_objects_limiting]\nmax_concurrency = 20\n'),
        'fail: no [[concurrency]] with a limit',
      ],
    ],
    falseFailures: [
      [
        'the RPCs of that version (GitLab 13.5)',
        all(image('v13.5.3'), file('old-guide.toml')),
        'pass: 3 gitaly.SSHService/SSHUploadPack; clones over HTTP are not limited',
      ],
      [
        'pack-objects, which every clone runs',
        limits('[pack_objects_cache]\nenabled = true\n[pack_objects_limiting]\nmax_concurrency = 20\n'),
        'pass: 20 pack-objects per address',
      ],
      [
        'an adaptive limit',
        limits(
          limit(
            'SmartHTTPService/PostUploadPackWithSidechannel',
            'adaptive = true\nmin_limit = 5\ninitial_limit = 10\nmax_limit = 40',
          ) + limit('SSHService/SSHUploadPackWithSidechannel'),
        ),
        'pass: 40 gitaly.SmartHTTPService/PostUploadPackWithSidechannel, 20 gitaly.SSHService/SSHUploadPackWithSidechannel',
      ],
    ],
  },
  volume_free_space: {
    falsePasses: [
      [
        'no inodes are left',
        volume(30 * GiB, 50 * GiB, 20, 1000),
        'fail: 30 GiB of 50 GiB free (60%), 2% of the inodes',
      ],
      [
        'more free than the size',
        volume(60 * GiB, 50 * GiB, 900, 1000),
        'unknown: the reported sizes make no sense: 60 GiB of 50 GiB free',
      ],
    ],
    falseFailures: [
      [
        'inodes on demand, reported as 0',
        volume(30 * GiB, 50 * GiB, 0, 0),
        'pass: 30 GiB of 50 GiB free (60%)',
      ],
      ['no size yet', volume(0, 0, 0, 0), 'unknown: the reported sizes make no sense: 0 B of 0 B free'],
    ],
  },
  praefect_sslmode: {
    falsePasses: [
      [
        'the first of three configurations requires TLS, the others disable it',
        connections(['require', 'db'], ['disable', 'db'], ['disable', 'db']),
        'fail: ConfigMap gitlab/praefect-1: sslmode disable',
      ],
      [
        'one of two configurations could not be read',
        praefect({
          connections: [
            known({ configuration: 'a', sslMode: 'verify-full', host: 'db' }),
            unknown('no right to get configmaps'),
          ],
        }),
        'unknown: no right to get configmaps',
      ],
      [
        'encrypted only if the server has TLS',
        connections(['prefer', 'db']),
        'unknown: sslmode prefer; with sslmode prefer it is unencrypted if the server has no TLS',
      ],
      [
        'encrypted only if the server requires it',
        connections(['allow', 'db']),
        'fail: sslmode allow, which is unencrypted unless the server refuses that',
      ],
    ],
    falseFailures: [
      [
        'a socket on the same host',
        connections(['disable', '/var/opt/gitlab/postgresql']),
        "pass: sslmode disable, to a database on Praefect's own host",
      ],
      [
        'a proxy next to it',
        connections(['disable', '127.0.0.1']),
        "pass: sslmode disable, to a database on Praefect's own host",
      ],
      [
        'all require TLS',
        connections(['require', 'db'], ['verify-full', 'db']),
        'pass: ConfigMap gitlab/praefect-0: sslmode require',
      ],
    ],
  },
  postgresql_version: {
    falsePasses: [
      ['a beta', praefect({ postgresqlVersion: known('16beta1') }), 'fail: PostgreSQL 16beta1, GitLab 18.10'],
      [
        'enough for some of the versions with this schema only',
        noVersion('15.18', known({ from: '15.0', before: '19.0' })),
        "unknown: PostgreSQL 15.18, enough for GitLab up to 17; the database's schema is that of GitLab 15.0 or later, before 19.0; no image of a Praefect pod shows GitLab's version",
      ],
      [
        'the newest schema, which an unknown GitLab may have',
        noVersion('18.1', known({ from: '19.0', before: undefined })),
        "unknown: PostgreSQL 18.1, enough for GitLab up to 19; the database's schema is that of GitLab 19.0 or later; no image of a Praefect pod shows GitLab's version",
      ],
    ],
    falseFailures: [
      [
        'enough for all versions with this schema',
        noVersion('16.4', known({ from: '15.0', before: '19.0' })),
        "pass: PostgreSQL 16.4, enough for GitLab up to 18; the database's schema is that of GitLab 15.0 or later, before 19.0",
      ],
      [
        'too old for all of them, and unknown before',
        noVersion('11.22', known({ from: '14.6', before: '14.10' })),
        "fail: PostgreSQL 11.22, older than any of these versions needs; the database's schema is that of GitLab 14.6 or later, before 14.10",
      ],
      [
        'only the response of the server is known',
        noVersion('15.18', unknown('no schema')),
        "unknown: PostgreSQL 15.18, enough for GitLab up to 17; no image of a Praefect pod shows GitLab's version",
      ],
    ],
  },
  three_praefects: {
    falsePasses: [
      [
        'three replicas, one of them ready',
        sets(() => ({ readyReplicas: 1 })),
        'unknown: 3 replicas, 1 ready; whether three run is not known before they are ready',
      ],
    ],
    falseFailures: [['five', sets(() => ({ replicas: 5, readyReplicas: 5 })), 'pass: 5 replicas']],
  },
};

const lines = (side: keyof Sides): readonly (readonly [CheckId, ...Line])[] =>
  checkIds.flatMap((id) => {
    const given = cases[id][side];
    return typeof given === 'string' ? [] : given.map((line) => [id, ...line] as const);
  });

/** The result of the first subject. */
function resultOf(changed: CheckInputs, id: CheckId): string {
  const [finding] = findingsOf(changed, id);
  if (finding === undefined) return 'no finding';
  const { result, detail, reason, notApplicable: isNot } = finding;
  return `${isNot ? 'n/a' : result}: ${[detail, reason ?? ''].filter((part) => part !== '').join('; ')}`;
}

describe('a false pass is avoided', () => {
  test.each(lines('falsePasses'))('%s: %s', (id, _, change, outcome) => {
    expect(resultOf(change(good), id)).toBe(outcome);
    expect(outcome).not.toMatch(/^pass/);
  });
});

describe('a false failure is avoided', () => {
  test.each(lines('falseFailures'))('%s: %s', (id, _, change, outcome) => {
    expect(resultOf(change(good), id)).toBe(outcome);
  });
});

test("a version of a mirror in the image's tag does not disable checks", () => {
  expect(resultOf(all(image('2.1.0'), sizes(undefined))(good), 'git_cgroups_configured')).toBe(
    'fail: 100 buckets, memory_bytes not set',
  );
});
