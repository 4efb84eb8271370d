/** Both captured variants of the chart: the expected results of each check, written down before the first run. */
import { describe, expect, test } from '@jest/globals';
import { type CheckId, checkIds } from '../../../src/rules/checks/check.ts';
import { checks } from '../../../src/rules/checks/definitions/index.ts';
import { evaluate } from '../../../src/rules/checks/evaluate.ts';
import { captured, findingsOf, resultOf } from './support.ts';

type Expected = 'pass' | 'fail' | `unknown: ${string}` | `n/a: ${string}`;

/** Recommendation -> [all followed, the chart's defaults]. */
const expected: Readonly<Record<CheckId, readonly [Expected, Expected]>> = {
  kubernetes_version: ['pass', 'pass'], // 1.35.4; 1.33.9
  container_runtime_version: ['pass', 'fail'], // 2.1.5; 1.7.27
  runc_version: ['pass', 'unknown: not reported'], // the API does not report it
  cgroup_v2: ['pass', 'pass'],
  cgroup_driver_systemd: ['pass', 'pass'],
  cgroup_nsdelegate: ['pass', 'pass'],
  init_cgroups_ran: ['pass', 'fail'], // no such container
  cgroup_owner: ['pass', 'fail'], // root
  git_cgroups_configured: ['pass', 'fail'],
  git_cgroups_enabled: ['pass', 'fail'],
  git_limit_as_configured: ['pass', 'n/a: there is no gitaly-<pid>'],
  git_memory_buffer: ['pass', 'fail'], // 10 GiB - 8 GiB; no limits at all
  pod_memory_bounded: ['pass', 'fail'], // max
  qos_guaranteed: ['pass', 'fail'], // Burstable
  gomemlimit: ['pass', 'fail'], // 1.9 GiB of 2 GiB; not set
  no_swap: ['pass', 'pass'],
  priority_class: ['pass', 'fail'],
  safe_to_evict: ['pass', 'fail'],
  anti_affinity: ['pass', 'pass'], // required; only preferred, but on distinct nodes
  replicas_on_distinct_nodes: ['pass', 'pass'],
  pdb_present: ['pass', 'pass'], // the chart creates them
  fs_group_change_policy: ['pass', 'fail'],
  fast_readiness: ['pass', 'pass'], // the chart's startupProbe
  short_graceful_stop: ['pass', 'fail'], // 6; 30
  client_retry_window: ['pass', 'fail'], // 1.4 s
  concurrency_limits: ['pass', 'fail'],
  volume_free_space: ['pass', 'pass'],
  praefect_sslmode: ['pass', 'fail'],
  postgresql_version: ['pass', 'pass'], // 16 for GitLab 18.10
  three_praefects: ['pass', 'fail'], // 2
};

const good = captured('posture-good');
const defaults = captured('posture-chart-defaults');

test.each(checkIds)('%s', (id) => {
  expect([resultOf(good, id), resultOf(defaults, id)]).toEqual(expected[id]);
});

test('each id has one check, in the order of the list', () => {
  expect(checks.map(({ id }) => id)).toEqual(checkIds);
});

describe('the subjects of checks', () => {
  const names = (id: CheckId) =>
    findingsOf(good, id).map(({ labels: { namespace, pod, node, workload } }) =>
      [namespace, pod, node, workload].join(' '),
    );

  test('of Gitaly are its pods, each with its node and StatefulSet', () => {
    expect(names('qos_guaranteed')).toEqual([
      'gitlab gl-gitaly-default-0 lab-node-4 gl-gitaly-default',
      'gitlab gl-gitaly-default-1 lab-node-2 gl-gitaly-default',
      'gitlab gl-gitaly-default-2 lab-node-3 gl-gitaly-default',
    ]);
    expect(names('kubernetes_version')).toEqual(names('qos_guaranteed'));
  });

  test('are also the StatefulSets of Gitaly and of Praefect, Praefect alone, and the cluster', () => {
    expect(names('pdb_present')).toEqual(['gitlab   gl-gitaly-default', 'gitlab   gl-praefect']);
    expect(names('anti_affinity')).toEqual(['gitlab   gl-gitaly-default']);
    expect(names('three_praefects')).toEqual(['gitlab   gl-praefect']);
    expect(names('praefect_sslmode')).toEqual(['   ']);
  });
});

test('a finding states what was found, with numbers', () => {
  const found = evaluate(defaults)
    .findings.filter(({ result }) => result === 'fail')
    .map(({ id, detail }) => [id, detail]);
  expect(Object.fromEntries(found)).toEqual({
    container_runtime_version: 'containerd://1.7.27',
    init_cgroups_ran: 'no init container init-cgroups: cgroups are disabled in the chart',
    cgroup_owner: 'uid 0',
    git_cgroups_configured: 'repositories.count is 0: disabled',
    git_cgroups_enabled: 'no gitaly-<pid>: disabled',
    git_memory_buffer:
      "no memory limit on gitaly, certificates, configure, so the pod's slice has none either",
    pod_memory_bounded: 'memory.max is max',
    qos_guaranteed: 'Burstable, because of gitaly, certificates, configure',
    gomemlimit:
      "GOMEMLIMIT is not set to a number (the chart's own value is the whole limit, if there is one)",
    priority_class: 'no priorityClassName',
    safe_to_evict: 'annotation not set',
    fs_group_change_policy: 'not set: defaults to Always',
    short_graceful_stop: 'terminationGracePeriodSeconds 30',
    client_retry_window: 'clients retry for 1.4 s; the slowest recent rotation took 38 s',
    concurrency_limits: 'no [[concurrency]] with a limit',
    praefect_sslmode: 'sslmode disable',
    three_praefects: '2 replicas',
  });
});

test('the fix names the StatefulSet, pod and node of the subject', () => {
  const lines = evaluate(defaults).findings.flatMap(({ id, fixes }) =>
    fixes.flatMap(({ kind, text }) => (kind === 'kubectl' ? [[id, text] as const] : [])),
  );
  expect(new Map(lines)).toEqual(
    new Map([
      [
        'container_runtime_version',
        "kubectl get node lab-node-3 -o jsonpath='{.status.nodeInfo.containerRuntimeVersion}'",
      ],
      ['init_cgroups_ran', 'kubectl -n gitlab logs gl-gitaly-default-2 -c init-cgroups'],
      ['cgroup_owner', 'kubectl -n gitlab logs gl-gitaly-default-2 -c init-cgroups'],
      ['git_cgroups_configured', 'kubectl -n gitlab get configmap -l app=gitaly -o yaml'],
      ['git_cgroups_enabled', 'kubectl -n gitlab logs gl-gitaly-default-2 -c gitaly | grep -i cgroup'],
      [
        'git_memory_buffer',
        "kubectl -n gitlab get pod gl-gitaly-default-2 -o jsonpath='{.spec.containers[*].resources}'",
      ],
      [
        'pod_memory_bounded',
        "kubectl -n gitlab get pod gl-gitaly-default-2 -o jsonpath='{.spec.initContainers[*].resources}'",
      ],
      ['qos_guaranteed', "kubectl -n gitlab get pod gl-gitaly-default-2 -o jsonpath='{.status.qosClass}'"],
      [
        'gomemlimit',
        `kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"containers":[{"name":"gitaly","env":[{"name":"GOMEMLIMIT","value":"1900MiB"}]}]}}}}'`,
      ],
      [
        'priority_class',
        `kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"priorityClassName":"gitlab-gitaly"}}}}'`,
      ],
      [
        'safe_to_evict',
        'kubectl -n gitlab annotate pod gl-gitaly-default-2 cluster-autoscaler.kubernetes.io/safe-to-evict=false',
      ],
      [
        'fs_group_change_policy',
        `kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"securityContext":{"fsGroupChangePolicy":"OnRootMismatch"}}}}}'`,
      ],
      [
        'short_graceful_stop',
        `kubectl -n gitlab patch statefulset gl-gitaly-default -p '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":6}}}}'`,
      ],
      [
        'client_retry_window',
        "kubectl -n gitlab get pod gl-gitaly-default-2 -o jsonpath='{.status.conditions}'",
      ],
      ['concurrency_limits', 'kubectl -n gitlab get configmap -l app=gitaly -o yaml'],
      ['three_praefects', 'kubectl -n gitlab scale statefulset gl-praefect --replicas=3'],
    ]),
  );
});
