/** Problems of what Gitaly's pods depend on: nodes, disruption budgets, StatefulSets, namespaces, the API's clock. Pure. */
import { counted } from '../../lib/format.ts';
import { identityText } from '../../sources/identity.ts';
import type { KubernetesView } from '../../sources/kubernetes/view.ts';
import type { Thresholds } from '../thresholds.ts';
import { clockDifference, type Problem, problem } from './problem.ts';

export const kubernetesClusterProblems = (
  view: KubernetesView,
  thresholds: Thresholds,
): readonly Problem[] => [
  ...nodeProblems(view),
  ...budgetProblems(view),
  ...vanishedProblems(view),
  ...clockProblems(view, thresholds),
];

function nodeProblems({ nodes, pods }: KubernetesView): Problem[] {
  const podsOn = (node: string): string =>
    pods
      .filter(({ identity }) => identity.node === node)
      .map(({ identity }) => identityText(identity))
      .join(', ');
  return nodes.flatMap(({ name, isReady, pressures }) => [
    ...(isReady
      ? []
      : [
          problem('node_not_ready', {
            of: name,
            title: `Node ${name} with Gitaly pods is not Ready`,
            subject: name,
            labels: { node: name },
            detail: `Pods on it: ${podsOn(name)}. Their state in the API is the last one that their kubelet reported.`,
            action: `kubectl describe node ${name}; check the machine itself.`,
          }),
        ]),
    ...pressures.map((resource) =>
      problem('node_pressure', {
        of: `${name} ${resource}`,
        title: `Node ${name} with Gitaly pods is short of ${resource === 'pid' ? 'process IDs' : resource}`,
        subject: name,
        labels: { node: name, resource },
        detail: `Its kubelet evicts pods, first those that use more than they request. Pods on it: ${podsOn(name)}.`,
        action: 'Move other load off the node. Guaranteed pods with a high PriorityClass are evicted last.',
      }),
    ),
  ]);
}

/** While one pod is unavailable, 0 is as intended; a budget that never allows a disruption is a mistake. */
function budgetProblems({ disruptionBudgets }: KubernetesView): Problem[] {
  return disruptionBudgets.flatMap((budget): Problem[] => {
    const { namespace, name, disruptionsAllowed, desiredHealthy, expectedPods } = budget;
    if (disruptionsAllowed > 0 || expectedPods === 0 || desiredHealthy < expectedPods) return [];
    return [
      problem('disruption_budget_blocks', {
        of: `${namespace}/${name}`,
        title: `PodDisruptionBudget ${namespace}/${name} never allows an eviction`,
        subject: `${namespace}/${name}`,
        labels: { namespace, poddisruptionbudget: name },
        detail: `It requires ${counted(desiredHealthy, 'healthy pod', 'healthy pods')} of ${expectedPods}: draining their nodes never completes.`,
        action: 'Set maxUnavailable to 1 (gitlab.gitaly.maxUnavailable in the chart).',
      }),
    ];
  });
}

/** Of a deleted set, each pod that is missing is a problem of its own; pods that are left still serve. */
const vanishedProblems = ({ deletedSets, emptyNamespaces, pods }: KubernetesView): Problem[] => [
  ...deletedSets.map(({ namespace, name, replicas, deletedAt }) => {
    const left = pods.filter(
      ({ identity }) =>
        identity.namespace === namespace &&
        /^-\d+$/.test(identity.pod.slice(name.length)) &&
        identity.pod.startsWith(name),
    ).length;
    return problem('stateful_set_deleted', {
      of: `${namespace}/${name}`,
      title: `StatefulSet ${namespace}/${name} was deleted`,
      subject: `${namespace}/${name}`,
      labels: { namespace, statefulset: name },
      detail: `It wanted ${counted(replicas, 'pod', 'pods')}, of which ${left} ${left === 1 ? 'is' : 'are'} left: no controller replaces them. Nothing in the API shows whether that was intended.`,
      action:
        'Create it again, for example with helm upgrade. If it was intended: its pods are expected for six hours, or until the exporter restarts.',
      since: deletedAt / 1000,
    });
  }),
  ...emptyNamespaces.map((namespace) =>
    problem('namespace_without_gitaly', {
      of: namespace,
      title: `No Gitaly runs in ${namespace === '' ? 'any namespace' : `namespace ${namespace}`}`,
      subject: namespace,
      labels: namespace === '' ? {} : { namespace },
      detail:
        'There is no pod, and no StatefulSet that wants one: Gitaly was removed or scaled to 0, or kubernetes.namespace and kubernetes.gitaly-selector do not match it.',
      action: 'kubectl get pods,statefulsets -A -l app=gitaly --show-labels',
    }),
  ),
];

function clockProblems({ clockSkewSeconds }: KubernetesView, thresholds: Thresholds): Problem[] {
  if (Math.abs(clockSkewSeconds) <= thresholds.clockSkew.value) return [];
  return [
    problem('api_clock_skew', {
      title: `The clock of the Kubernetes API server is ${clockDifference(clockSkewSeconds)} the exporter's`,
      detail:
        'Times of the API are corrected by the difference. Those that kubelets write are not: after a clock was set, a few durations are approximate.',
      action: 'Compare `date -u` on the control plane and here, and correct NTP where the clock is wrong.',
    }),
  ];
}
