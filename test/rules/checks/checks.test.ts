/**
 * Each check on its own: the variant that follows all recommendations with one change, and the expected result.
 */
import { describe, expect, test } from '@jest/globals';
import { known, notApplicable, unknown } from '../../../src/lib/known.ts';
import { type CheckId, checkIds } from '../../../src/rules/checks/check.ts';
import { evaluate } from '../../../src/rules/checks/evaluate.ts';
import { type CheckInputs, nothingKnown } from '../../../src/rules/checks/inputs.ts';
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
import { captured, findingsOf, resultOf } from './support.ts';

const good = captured('posture-good');
const GiB = 2 ** 30;
const forbidden = unknown('nodes may not be listed: grant list on nodes');

type Change = (before: CheckInputs) => CheckInputs;
type Case = readonly [CheckId, what: string, Change, found: string];

const kubelet = (kubeletVersion: string) => nodes(() => ({ kubeletVersion }));
const runtime = (runtimeVersion: string) => nodes(() => ({ runtimeVersion }));
const memory = (memoryBytes: number | undefined, count = 100) =>
  config(({ cgroups }) => ({
    cgroups: { ...cgroups, memoryBytes, repositories: { ...cgroups.repositories, count } },
  }));
const env = (GOMEMLIMIT: string) => container(() => ({ env: { GOMEMLIMIT } }));
const annotations = (given: Record<string, string>) => pods(() => ({ annotations: given }));
const onOneNode = pods(() => ({ node: 'lab-node-1' }));
const soft = pods(() => ({ antiAffinity: { required: [], preferred: ['kubernetes.io/hostname'] } }));
const budgets = (selector: Record<string, string>, labelSelector?: object) =>
  inputs(({ disruptionBudgets }) => ({
    disruptionBudgets: known(
      listOf(disruptionBudgets).map(({ labelSelector: _, ...budget }) => ({
        ...budget,
        selector,
        ...(labelSelector as object),
      })),
    ),
  }));
const rotation = (seconds: number) => servers(() => ({ rotationSeconds: known(seconds) }));
const gitlab = (tag: string) => container(() => ({ image: `registry.example:5000/gitaly:${tag}` }));
const replicas = (count: number) =>
  inputs(({ statefulSets }) => ({
    statefulSets: known(listOf(statefulSets).map((set) => ({ ...set, replicas: count }))),
  }));
const praefectTag = (tag: string) =>
  inputs(({ praefectPods }) => ({
    praefectPods: known(
      listOf(praefectPods).map((pod) => ({
        ...pod,
        containers: pod.containers.map((each) => ({ ...each, image: `gitaly:${tag}` })),
      })),
    ),
  }));
const sslModes = (...modes: readonly string[]) =>
  praefect({
    connections: modes.map((sslMode, i) =>
      known({ configuration: `ConfigMap gitlab/praefect-${i}`, sslMode, host: 'postgresql.example' }),
    ),
  });
const noKubernetes = notApplicable('no Kubernetes is watched');
const machines = inputs((before) => ({
  ...nothingKnown(before.now, noKubernetes),
  praefect: before.praefect,
  servers: before.servers.slice(0, 2).map((server, i) => ({
    ...server,
    identity: { namespace: '', pod: '', node: `gitaly-${i + 1}` },
  })),
}));
const both =
  (...changes: readonly Change[]): Change =>
  (before) =>
    changes.reduce((now, change) => change(now), before);

const failing: readonly Case[] = [
  [
    'kubernetes_version',
    'EKS before 1.29',
    kubelet('v1.28.15-eks-1234'),
    'kubelet v1.28.15-eks-1234, older than 1.29',
  ],
  ['kubernetes_version', 'an early 1.29', kubelet('v1.29.0-rc.1'), 'kubelet v1.29.0-rc.1, older than 1.29'],
  ['container_runtime_version', 'k3s', runtime('containerd://1.7.22-k3s1'), 'containerd://1.7.22-k3s1'],
  [
    'container_runtime_version',
    'an early 2.1.0',
    runtime('containerd://2.1.0-rc.0'),
    'containerd://2.1.0-rc.0',
  ],
  ['runc_version', 'old', nodeFacts({ runcVersion: known('1.1.8') }), 'runc 1.1.8, older than 1.1.9'],
  ['cgroup_v2', 'hybrid', nodeFacts({ cgroupVersion: known('hybrid') }), 'cgroup hybrid'],
  ['cgroup_driver_systemd', 'cgroupfs', nodeFacts({ cgroupDriver: known('cgroupfs') }), 'driver cgroupfs'],
  ['cgroup_nsdelegate', 'set', nodeFacts({ nsdelegate: known(true) }), 'nsdelegate is set'],
  [
    'init_cgroups_ran',
    'it failed',
    pods(({ initContainers }) => ({
      initContainers: initContainers.map((each) =>
        each.state.kind === 'terminated' ? { ...each, state: { ...each.state, exitCode: 1 } } : each,
      ),
    })),
    'exit code 1',
  ],
  ['cgroup_owner', 'root', cgroup({ ownerUid: known(0) }), 'uid 0'],
  ['git_cgroups_configured', 'count 0', memory(8 * GiB, 0), 'repositories.count is 0: disabled'],
  ['git_cgroups_configured', 'no limit', memory(undefined), '100 buckets, memory_bytes not set'],
  ['git_cgroups_enabled', 'none found', cgroup({ layout: 'none' }), 'no gitaly-<pid>: disabled'],
  [
    'git_cgroups_enabled',
    'no repos-0',
    cgroup({ repositoryCgroups: known(0) }),
    'gitaly-<pid> exists, but has no repos-0',
  ],
  [
    'git_cgroups_enabled',
    'no limit',
    cgroup({ gitMemoryMax: known('max') }),
    '1 repos-N so far, memory.max of gitaly-<pid> is max',
  ],
  [
    'git_limit_as_configured',
    'a change that is not applied',
    cgroup({ gitMemoryMax: known(9 * GiB) }),
    'memory.max is 9 GiB, memory_bytes 8 GiB',
  ],
  [
    'git_limit_as_configured',
    'no limit applied',
    cgroup({ gitMemoryMax: known('max') }),
    'memory.max is max, memory_bytes 8 GiB',
  ],
  [
    'git_memory_buffer',
    'one byte too small',
    memory(9 * GiB + 1),
    'request 10 GiB - memory_bytes 9 GiB = 1024 MiB',
  ],
  [
    'git_memory_buffer',
    'Git unlimited',
    memory(undefined),
    'request 10 GiB; Git has no memory limit of its own',
  ],
  [
    'git_memory_buffer',
    'one init container without a limit',
    pods(({ initContainers }) => ({
      qosClass: 'Burstable',
      initContainers: initContainers.map((each, i) => (i === 1 ? { ...each, resources: {} } : each)),
    })),
    "no memory limit on certificates, so the pod's slice has none either",
  ],
  ['pod_memory_bounded', 'max', cgroup({ podMemoryMax: known('max') }), 'memory.max is max'],
  ['qos_guaranteed', 'Burstable', pods(() => ({ qosClass: 'Burstable' })), 'Burstable'],
  [
    'gomemlimit',
    'the whole limit, as the chart has it',
    env('10737418240'),
    'GOMEMLIMIT 10 GiB, limit 10 GiB - memory_bytes 8 GiB = 2 GiB',
  ],
  ['gomemlimit', 'off', env('off'), 'GOMEMLIMIT off exceeds the limit 10 GiB'],
  [
    'gomemlimit',
    'Git unlimited',
    memory(undefined),
    'GOMEMLIMIT 1.9 GiB; Git has no memory limit, so it may use up the rest',
  ],
  ['no_swap', 'by the agent', nodeFacts({ swapBytes: known(8 * GiB) }), '8 GiB of swap'],
  [
    'no_swap',
    'by the kubelet alone',
    both(
      nodeFacts({ swapBytes: notApplicable('no agent') }),
      nodes(() => ({ swapBytes: 8 * GiB })),
    ),
    '8 GiB of swap',
  ],
  ['priority_class', 'none', pods(() => ({ priorityClass: '' })), 'no priorityClassName'],
  [
    'priority_class',
    'not above others',
    pods(() => ({ priority: 1000 })),
    'gitlab-gitaly (1000), not above shop/web-0 (1000)',
  ],
  [
    'safe_to_evict',
    'true',
    annotations({ 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'true' }),
    'cluster-autoscaler.kubernetes.io/safe-to-evict: "true"',
  ],
  [
    'anti_affinity',
    'preferred only, and two on a node',
    both(soft, onOneNode),
    'preferred, not required; gl-gitaly-default-0, gl-gitaly-default-1, gl-gitaly-default-2 share lab-node-1',
  ],
  ['fs_group_change_policy', 'Always', pods(() => ({ fsGroupChangePolicy: 'Always' })), 'Always'],
  [
    'fast_readiness',
    'no startupProbe, a long delay',
    container(({ readinessProbe }) => ({
      startupProbe: undefined,
      readinessProbe: readinessProbe && { ...readinessProbe, initialDelaySeconds: 10 },
    })),
    'no startupProbe, readinessProbe with initialDelaySeconds 10',
  ],
  [
    'fast_readiness',
    'no probe',
    container(() => ({ startupProbe: undefined, readinessProbe: undefined })),
    'no readinessProbe: requests arrive before Gitaly can serve them',
  ],
  [
    'short_graceful_stop',
    '11 seconds',
    pods(() => ({ terminationGracePeriodSeconds: 11 })),
    'terminationGracePeriodSeconds 11',
  ],
  [
    'client_retry_window',
    'too short',
    rotation(61),
    'clients retry for 1 min; the slowest recent rotation took 1 min 1 s',
  ],
  [
    'client_retry_window',
    'no complete rotation, but the start alone took longer',
    both(
      servers(() => ({ rotationSeconds: unknown('none seen yet') })),
      pods(({ createdAt, containers }) => ({
        containers: containers.map((each) => ({
          ...each,
          state: { kind: 'running' as const, startedAt: createdAt + 90_000 },
        })),
      })),
    ),
    'clients retry for 1 min; from its creation to the start of its container it took 1 min 30 s',
  ],
  ['concurrency_limits', 'none', config(() => ({ rpcs: [] })), 'no [[concurrency]] with a limit'],
  [
    'volume_free_space',
    'bytes',
    servers(() => ({
      volume: known({ capacityBytes: 50 * GiB, availableBytes: 7 * GiB, inodes: notApplicable('btrfs') }),
    })),
    '7 GiB of 50 GiB free (14%)',
  ],
  [
    'volume_free_space',
    'inodes',
    servers(() => ({
      volume: known({
        capacityBytes: 50 * GiB,
        availableBytes: 30 * GiB,
        inodes: known({ total: 1000, free: 20 }),
      }),
    })),
    '30 GiB of 50 GiB free (60%), 2% of the inodes',
  ],
  ['praefect_sslmode', 'disable', sslModes('disable'), 'sslmode disable'],
  [
    'postgresql_version',
    '15 for GitLab 18',
    praefect({ postgresqlVersion: known('15.8') }),
    'PostgreSQL 15.8, GitLab 18.10',
  ],
  [
    'postgresql_version',
    '12.9 for GitLab 15',
    both(praefectTag('v15.11.13'), praefect({ postgresqlVersion: known('12.9') })),
    'PostgreSQL 12.9, GitLab 15.11.13',
  ],
  [
    'postgresql_version',
    'a beta is not yet the release',
    both(praefectTag('v19.0.1'), praefect({ postgresqlVersion: known('17beta1') })),
    'PostgreSQL 17beta1, GitLab 19.0.1',
  ],
];

describe('a check fails', () => {
  test.each(failing)('%s: %s', (id, _, change, found) => {
    const findings = findingsOf(change(good), id);
    expect(findings.map(({ result, detail }) => [result, detail])).toEqual(
      findings.map(() => ['fail', found]),
    );
    expect(findings.length).toBeGreaterThan(0);
  });

  test('replicas_on_distinct_nodes: for the StatefulSet that shares a node, not for the other', () => {
    expect(
      findingsOf(onOneNode(good), 'replicas_on_distinct_nodes').map(({ labels, result }) => [
        labels.workload,
        result,
      ]),
    ).toEqual([
      ['gl-gitaly-default', 'fail'],
      ['gl-praefect', 'pass'],
    ]);
  });

  test('pdb_present: when no selector matches the pods, or only some of them', () => {
    expect(resultOf(budgets({ app: 'webservice' })(good), 'pdb_present')).toBe('fail');
    expect(
      findingsOf(
        budgets({ 'statefulset.kubernetes.io/pod-name': 'gl-gitaly-default-0' })(good),
        'pdb_present',
      ).map(({ result }) => result),
    ).toEqual(['fail', 'fail']);
  });

  test('three_praefects: for virtual machines, by the number of live Praefects', () => {
    const two = both(machines, praefect({ instances: known(2) }));
    expect(findingsOf(two(good), 'three_praefects')).toMatchObject([{ result: 'fail', detail: '2 alive' }]);
  });

  test('in at least one case', () => {
    const elsewhere: readonly CheckId[] = ['replicas_on_distinct_nodes', 'pdb_present', 'three_praefects'];
    expect([...new Set([...failing.map(([id]) => id), ...elsewhere])].toSorted()).toEqual(
      checkIds.toSorted(),
    );
  });
});

describe('a check passes', () => {
  test.each<Case>([
    ['kubernetes_version', 'k3s', kubelet('1.31.0+k3s1'), 'kubelet 1.31.0+k3s1'],
    ['kubernetes_version', 'GKE', kubelet('v1.29.4-gke.1043002'), 'kubelet v1.29.4-gke.1043002'],
    ['container_runtime_version', 'exactly', runtime('containerd://2.1.0'), 'containerd://2.1.0'],
    [
      'container_runtime_version',
      'a vendor',
      runtime('containerd://v2.2.1-k3s1'),
      'containerd://v2.2.1-k3s1',
    ],
    ['git_memory_buffer', 'exactly 1 GiB', memory(9 * GiB), 'request 10 GiB - memory_bytes 9 GiB = 1 GiB'],
    [
      'git_limit_as_configured',
      'the kernel rounds down to pages',
      both(memory(8 * GiB + 1000), cgroup({ gitMemoryMax: known(8 * GiB) })),
      'memory.max is 8 GiB, memory_bytes 8 GiB',
    ],
    [
      'gomemlimit',
      "with Go's units",
      env('2GiB'),
      'GOMEMLIMIT 2 GiB, limit 10 GiB - memory_bytes 8 GiB = 2 GiB',
    ],
    [
      'safe_to_evict',
      'Karpenter',
      both(
        annotations({ 'karpenter.sh/do-not-disrupt': 'true' }),
        nodes(({ labels }) => ({ labels: { ...labels, 'karpenter.sh/nodepool': 'default' } })),
      ),
      'karpenter.sh/do-not-disrupt: "true"',
    ],
    [
      'anti_affinity',
      'preferred only, but on distinct nodes',
      soft,
      'preferred, not required; 3 pods on 3 nodes',
    ],
    [
      'anti_affinity',
      'required, regardless of the current placement',
      onOneNode,
      'required on kubernetes.io/hostname',
    ],
    [
      'fast_readiness',
      "the page's own probe",
      container(({ readinessProbe }) => ({
        startupProbe: undefined,
        readinessProbe: readinessProbe && { ...readinessProbe, initialDelaySeconds: 2 },
      })),
      'no startupProbe, initialDelaySeconds 2',
    ],
    [
      'priority_class',
      "Kubernetes' own are above all",
      inputs(() => ({
        otherPods: known([{ namespace: 'kube-system', name: 'x', priority: 2_000_001_000 }]),
      })),
      'gitlab-gitaly (1000000), above all 0 other pods',
    ],
    [
      'postgresql_version',
      '13.5 with 11',
      both(praefectTag('v13.5.3'), praefect({ postgresqlVersion: known('11.22') })),
      'PostgreSQL 11.22, GitLab 13.5.3',
    ],
  ])('%s: %s', (id, _, change, found) => {
    const findings = findingsOf(change(good), id);
    expect(findings.map(({ result, detail }) => [result, detail])).toEqual(
      findings.map(() => ['pass', found]),
    );
    expect(findings.length).toBeGreaterThan(0);
  });
});

const noNodes = inputs(() => ({ nodes: forbidden }));
const noPods = inputs(() => ({ gitalyPods: forbidden, praefectPods: forbidden }));

describe('a check is unknown, with the reason', () => {
  test.each<readonly [CheckId, what: string, Change, reason: string]>([
    ['kubernetes_version', 'nodes are forbidden', noNodes, forbidden.unknown],
    ['kubernetes_version', 'garbage', kubelet('latest'), 'no version in "latest"'],
    [
      'container_runtime_version',
      'CRI-O',
      runtime('cri-o://1.29.1'),
      "GitLab's page names a minimum version of containerd only",
    ],
    [
      'container_runtime_version',
      'garbage',
      runtime('containerd://Unknown'),
      'the node reports no version of its container runtime ("containerd://Unknown")',
    ],
    [
      'container_runtime_version',
      'the pod waits for a node',
      pods(() => ({ node: '' })),
      'the pod is not scheduled to a node yet',
    ],
    [
      'runc_version',
      'no agent',
      inputs(() => ({ nodeFacts: [] })),
      "read from the node's files, and no exporter on that node reported them: run the agent there",
    ],
    ['cgroup_v2', 'not read', nodeFacts({ cgroupVersion: forbidden }), forbidden.unknown],
    ['cgroup_driver_systemd', 'not read', nodeFacts({ cgroupDriver: forbidden }), forbidden.unknown],
    ['cgroup_nsdelegate', 'not read', nodeFacts({ nsdelegate: forbidden }), forbidden.unknown],
    [
      'init_cgroups_ran',
      'still running',
      pods(({ initContainers }) => ({
        initContainers: initContainers.map((each) => ({
          ...each,
          state: { kind: 'running' as const, startedAt: 0 },
        })),
      })),
      'init-cgroups has not completed (running)',
    ],
    ['cgroup_owner', 'not read', cgroup({ ownerUid: forbidden }), forbidden.unknown],
    ['git_cgroups_enabled', 'no tree', servers(() => ({ cgroup: forbidden })), forbidden.unknown],
    ['git_cgroups_configured', 'no configuration', servers(() => ({ config: forbidden })), forbidden.unknown],
    [
      'git_limit_as_configured',
      'no configuration',
      servers(() => ({ config: forbidden })),
      forbidden.unknown,
    ],
    ['git_limit_as_configured', 'no tree', servers(() => ({ cgroup: forbidden })), forbidden.unknown],
    ['git_memory_buffer', 'no configuration', servers(() => ({ config: forbidden })), forbidden.unknown],
    ['pod_memory_bounded', 'not read', cgroup({ podMemoryMax: forbidden }), forbidden.unknown],
    [
      'qos_guaranteed',
      'not reported',
      pods(() => ({ qosClass: '' })),
      'the API reports no QoS class for the pod',
    ],
    ['gomemlimit', 'no configuration', servers(() => ({ config: forbidden })), forbidden.unknown],
    ['gomemlimit', 'garbage', env('2gigs'), 'GOMEMLIMIT "2gigs" is not in Go\'s format, such as 1900MiB'],
    [
      'no_swap',
      'neither agent nor kubelet report it',
      nodeFacts({ swapBytes: notApplicable('no agent') }),
      'neither its kubelet nor an agent reports swap',
    ],
    ['priority_class', 'others are forbidden', inputs(() => ({ otherPods: forbidden })), forbidden.unknown],
    ['safe_to_evict', 'pods are forbidden', noPods, forbidden.unknown],
    ['anti_affinity', 'one pod is missing', both(soft, replicas(4)), '3 of 4 pods are scheduled'],
    [
      'pdb_present',
      'budgets are forbidden',
      inputs(() => ({ disruptionBudgets: forbidden })),
      forbidden.unknown,
    ],
    [
      'pdb_present',
      'a selector that could not be read',
      budgets({}),
      'the selector of gl-gitaly-default could not be read',
    ],
    ['fs_group_change_policy', 'pods are forbidden', noPods, forbidden.unknown],
    ['fast_readiness', 'pods are forbidden', noPods, forbidden.unknown],
    [
      'short_graceful_stop',
      'not reported',
      pods(() => ({ terminationGracePeriodSeconds: undefined })),
      'the API reports no terminationGracePeriodSeconds',
    ],
    [
      'client_retry_window',
      'no rotation seen yet',
      servers(() => ({ rotationSeconds: unknown('none seen yet') })),
      'none seen yet',
    ],
    [
      'client_retry_window',
      'unknown how long clients retry',
      inputs(() => ({ clientRetrySeconds: unknown('set kubernetes.client-retry') })),
      'set kubernetes.client-retry',
    ],
    ['concurrency_limits', 'no configuration', servers(() => ({ config: forbidden })), forbidden.unknown],
    ['volume_free_space', 'not read', servers(() => ({ volume: forbidden })), forbidden.unknown],
    [
      'praefect_sslmode',
      'not set',
      sslModes(''),
      "sslmode is not set: the default of Praefect's PostgreSQL library applies",
    ],
    ['postgresql_version', 'not read', praefect({ postgresqlVersion: forbidden }), forbidden.unknown],
    [
      'postgresql_version',
      'a GitLab of the future',
      praefectTag('v23.0.0'),
      'this build does not know the minimum version for GitLab 23',
    ],
    ['postgresql_version', 'pods are forbidden', noPods, forbidden.unknown],
    [
      'three_praefects',
      'StatefulSets are forbidden',
      inputs(() => ({ statefulSets: forbidden })),
      forbidden.unknown,
    ],
  ])('%s: %s', (id, _, change, reason) => {
    expect(resultOf(change(good), id)).toBe(`unknown: ${reason}`);
  });

  test('every check is unknown when no fact is known, and none applies without Kubernetes and Praefect', () => {
    const all = checkIds.map((id) => resultOf(nothingKnown(0, forbidden), id));
    expect(all).toEqual(checkIds.map(() => `unknown: ${forbidden.unknown}`));
    const none = checkIds.map((id) => resultOf(nothingKnown(0, noKubernetes), id));
    expect(none).toEqual(checkIds.map(() => 'n/a: no Kubernetes is watched'));
  });

  test('a selector that matches no pod is an unknown result with its reason', () => {
    const empty = inputs(() => ({ gitalyPods: known([]) }))(good);
    expect(resultOf(empty, 'qos_guaranteed')).toBe(
      'unknown: no Gitaly pod found: check that kubernetes.gitaly-selector matches their labels',
    );
  });
});

describe('checks do not apply', () => {
  test('to GitLab 13.5, which lacks the features', () => {
    expect(resultOf(gitlab('v13.5.3')(good), 'git_cgroups_enabled')).toBe(
      'n/a: runs GitLab 13.5.3, the feature exists since 13.10',
    );
    expect(resultOf(gitlab('v13.5.3')(good), 'init_cgroups_ran')).toBe(
      'n/a: runs GitLab 13.5.3, the feature exists since 17.3',
    );
    expect(resultOf(gitlab('v13.5.3')(good), 'qos_guaranteed')).toBe('pass');
    expect(resultOf(gitlab('latest')(good), 'init_cgroups_ran')).toBe('pass');
  });

  test('to virtual machines, except the checks of their cgroups, limits, volume and database', () => {
    const onMachines = machines(good);
    const applicable = checkIds.filter((id) => !resultOf(onMachines, id).startsWith('n/a'));
    expect(applicable).toEqual([
      'git_cgroups_configured',
      'git_cgroups_enabled',
      'git_limit_as_configured',
      'concurrency_limits',
      'volume_free_space',
      'praefect_sslmode',
      'postgresql_version',
    ]);
    expect(findingsOf(onMachines, 'concurrency_limits').map(({ labels }) => labels)).toEqual([
      { namespace: '', pod: '', node: 'gitaly-1', workload: '' },
      { namespace: '', pod: '', node: 'gitaly-2', workload: '' },
    ]);
  });
});

test('a failed pod is ignored next to its replacement of the same name', () => {
  const [first] = listOf(good.gitalyPods);
  if (first === undefined) throw new Error('no pod');
  const gone = { ...first, uid: 'old', phase: 'Failed', reason: 'Evicted', node: '', qosClass: 'BestEffort' };
  const more = inputs(({ gitalyPods }) => ({ gitalyPods: known([gone, ...listOf(gitalyPods)]) }))(good);
  expect(evaluate(more).findings).toEqual(evaluate(good).findings);
});

test('of two pods with one name, a failure is not hidden by a pass', () => {
  const [first] = listOf(good.gitalyPods);
  if (first === undefined) throw new Error('no pod');
  const twin = { ...first, uid: 'twin', qosClass: 'Burstable' };
  const more = inputs(({ gitalyPods }) => ({ gitalyPods: known([...listOf(gitalyPods), twin]) }))(good);
  expect(findingsOf(more, 'qos_guaranteed').map(({ result }) => result)).toEqual(['fail', 'pass', 'pass']);
});
