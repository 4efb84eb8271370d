/** Where pods run and what may evict them: priority, autoscaler, placement, disruption budgets. */

import { counted, listText } from '../../../lib/format.ts';
import { type Known, known, mapKnown, present, unknown } from '../../../lib/known.ts';
import type { OtherPod } from '../../../sources/kubernetes/directory/other-pods.ts';
import { selects } from '../../../sources/kubernetes/objects/selector.ts';
import type { Pod, PodDisruptionBudget } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, type CheckVerdict, fail, judge, pass, sources, undecided } from '../check.ts';
import { kubectl, patchTemplate } from '../commands.ts';
import type { CheckInputs } from '../inputs.ts';
import { type GitalyWorkload, perGitalyPod, perWorkload } from '../subjects.ts';

const safeToEvict = 'cluster-autoscaler.kubernetes.io/safe-to-evict';
const doNotDisrupt = 'karpenter.sh/do-not-disrupt';
const hostname = 'kubernetes.io/hostname';

/** Kubernetes reserves values from here on for its own classes (system-cluster-critical). */
const systemPriority = 2_000_000_000;

export const schedulingChecks: readonly Check[] = [
  {
    id: 'priority_class',
    title: 'A PriorityClass puts Gitaly before other workloads',
    why: "On a full node, pods of lower priority are preempted. Without a class of its own, Gitaly's pod waits for capacity after each rotation, and may itself be preempted or evicted.",
    expected:
      "a priorityClassName whose value is greater than all others except Kubernetes' own, and which may preempt",
    evidence:
      'spec.priorityClassName, spec.priority and spec.preemptionPolicy of the Gitaly pods, and spec.priority of all other pods',
    source: sources.priority,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    priorityClassName: gitlab-gitaly`,
      kubectl: patchTemplate({ spec: { priorityClassName: 'gitlab-gitaly' } }),
      text: 'Create the class first: `kubectl create priorityclass gitlab-gitaly --value=1000000 --description="Gitaly before other workloads"`.',
    },
    ...perGitalyPod((pod, _, inputs) => {
      if (pod.priorityClass === '') return fail('no priorityClassName');
      if (pod.preemptionPolicy === 'Never')
        return fail(`${pod.priorityClass} has preemptionPolicy Never: the pod waits for free capacity`);
      return judge(present(pod.priority, 'the API reports no priority for the pod'), (own) =>
        judge(inputs.otherPods, (others) => comparedWith(others, pod.priorityClass, own)),
      );
    }),
  },
  {
    id: 'safe_to_evict',
    title: 'The cluster autoscaler does not evict Gitaly',
    why: "When the cluster scales down, the autoscaler evicts pods to empty a node: an outage for that Gitaly's repositories.",
    expected: `annotation ${safeToEvict}: "false", or ${doNotDisrupt}: "true" on nodes of Karpenter, which heeds only its own`,
    evidence: "the pod's annotations, and the node's labels",
    source: sources.autoscaling,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    annotations:
      ${safeToEvict}: "false"
      ${doNotDisrupt}: "true" # where Karpenter manages the nodes`,
      kubectl: kubectl(`annotate pod POD ${safeToEvict}=false`),
      text: 'The kubectl line takes effect immediately and without a rotation; the next rotation removes the annotation.',
    },
    ...perGitalyPod(({ annotations, node }, _, inputs) => {
      const evict = annotations[safeToEvict];
      const disrupt = annotations[doNotDisrupt];
      const found = [
        evict === undefined ? '' : `${safeToEvict}: ${JSON.stringify(evict)}`,
        disrupt === undefined ? '' : `${doNotDisrupt}: ${JSON.stringify(disrupt)}`,
      ].filter((part) => part !== '');
      const text = found.length === 0 ? 'annotation not set' : found.join(', ');
      // Either autoscaler ignores the other's annotation.
      if (evict !== 'false' && disrupt !== 'true') return fail(text);
      if (evict === 'false' && disrupt === 'true') return pass(text);
      return judge(isOfKarpenter(inputs, node), (karpenter) =>
        karpenter === (disrupt === 'true')
          ? pass(text)
          : fail(`${text}, which ${karpenter ? 'Karpenter' : 'the cluster autoscaler'} ignores`),
      );
    }),
  },
  {
    id: 'anti_affinity',
    title: "A StatefulSet's Gitaly pods may not share a node",
    why: "The chart's soft rule places two pods on one node when capacity is short. A failure of that node then takes down two storages: with Praefect possibly the majority of the replicas.",
    expected: `required podAntiAffinity on ${hostname}, or at least no two of its pods on one node now`,
    evidence: "the pods' affinity and nodes",
    source: sources.isolate,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    antiAffinity: hard`,
      text: 'Needs as many nodes as pods, in the zones of their volumes; otherwise a pod stays Pending. The rule takes effect when a pod is scheduled next.',
    },
    ...perWorkload(['gitalyPods'], (workload) => {
      if (workload.pods.every(({ antiAffinity }) => antiAffinity.required.includes(hostname)))
        return pass(`required on ${hostname}`);
      const soft = workload.pods.every(({ antiAffinity }) => antiAffinity.preferred.includes(hostname));
      const rule = soft ? 'preferred, not required' : 'no anti-affinity';
      const placed = placement(workload);
      return placed.result === 'unknown' ? placed : { ...placed, found: `${rule}; ${placed.found}` };
    }),
  },
  {
    id: 'replicas_on_distinct_nodes',
    title: 'Each replica runs on a node of its own',
    why: 'Two replicas on one node fail together, and so do Praefects, which may cost the quorum.',
    expected: 'as many nodes as pods, for each StatefulSet of Gitaly and of Praefect',
    evidence: "the pods' nodes",
    source: sources.notInGuide,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    antiAffinity: hard
  praefect:
    antiAffinity: hard`,
      kubectl: kubectl('get pods -o wide'),
      text: 'Then delete one of the two pods, in a maintenance window, so that it is scheduled again.',
    },
    ...perWorkload(['gitalyPods', 'praefectPods'], placement),
  },
  {
    id: 'pdb_present',
    title: 'A PodDisruptionBudget covers the pods',
    why: 'Without one, draining nodes or upgrading a node pool may evict all pods at the same time. One that allows no disruption blocks every drain until the pods are deleted by hand, and two for one pod make every eviction an error.',
    expected:
      'exactly one PodDisruptionBudget whose selector matches every pod of the StatefulSet, and which allows some of them, not all, to be disrupted (a single pod: that one)',
    evidence: "the budgets' selectors and numbers, and the pods' labels",
    source: sources.notInGuide,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    maxUnavailable: 1 # the chart's default; with Praefect: global.praefect.virtualStorages[].maxUnavailable
  praefect:
    maxUnavailable: 1`,
      kubectl: kubectl('get poddisruptionbudgets'),
    },
    ...perWorkload(['gitalyPods', 'praefectPods'], ({ pods }, inputs) =>
      judge(inputs.disruptionBudgets, (budgets) => coverage(pods, budgets)),
    ),
  },
];

/** Karpenter labels the nodes that it made; versions before 0.33 with the provisioner. */
const karpenterLabels = ['karpenter.sh/nodepool', 'karpenter.sh/provisioner-name'];

/** By the node of the pod; unknown while it has none. */
function isOfKarpenter({ nodes }: CheckInputs, name: string): Known<boolean> {
  return mapKnown(nodes, (all) => {
    const node = all.find((each) => each.name === name);
    return node === undefined
      ? unknown('the node of the pod is unknown, and so which autoscaler manages it')
      : known(karpenterLabels.some((label) => Object.hasOwn(node.labels, label)));
  });
}

function comparedWith(others: readonly OtherPod[], name: string, own: number): CheckVerdict {
  // A pod without a class has 0, if no class is the cluster's default.
  if (own <= 0) return fail(`${name} (${own}), not above pods without a PriorityClass`);
  const compared = others.filter((other) => (other.priority ?? 0) < systemPriority);
  const above = compared.filter((other) => (other.priority ?? 0) >= own);
  if (above.length === 0) return pass(`${name} (${own}), above all ${compared.length} other pods`);
  const names = above.map((pod) => `${pod.namespace}/${pod.name} (${pod.priority ?? 0})`);
  return fail(`${name} (${own}), not above ${listText(names)}`);
}

/** The nodes of one StatefulSet's pods. A pod that is missing or Pending may still be scheduled next to another. */
function placement({ pods, set }: GitalyWorkload): CheckVerdict {
  const nodes = Map.groupBy(
    pods.filter(({ node }) => node !== ''),
    ({ node }) => node,
  );
  const shared = [...nodes].filter(([, on]) => on.length > 1);
  if (shared.length > 0)
    return fail(
      listText(shared.map(([node, on]) => `${listText(on.map(({ name }) => name))} share ${node}`)),
    );
  return judge(set, ({ replicas }) => {
    const placed = [...nodes.values()].flat().length;
    if (!(placed >= Math.max(replicas, pods.length)))
      return undecided(`${placed} of ${replicas} pods are scheduled`);
    return pass(`${counted(placed, 'pod', 'pods')} on ${counted(nodes.size, 'node', 'nodes')}`);
  });
}

type Match = 'all' | 'some' | 'none' | 'undecided';

function coverage(pods: readonly Pod[], budgets: readonly PodDisruptionBudget[]): CheckVerdict {
  const found = budgets.map((budget) => ({ budget, match: matchOf(budget, pods) }));
  const matching = found.filter(({ match }) => match === 'all' || match === 'some');
  if (matching.length > 1)
    return overlapping(
      pods,
      matching.map(({ budget }) => budget),
    );
  const [only] = matching;
  if (only?.match === 'all') return sensible(only.budget, pods.length);
  const open = found.find(({ match }) => match === 'undecided');
  if (open !== undefined) return undecided(`the selector of ${open.budget.name} could not be read`);
  return fail(only === undefined ? 'no budget covers them' : `${only.budget.name} covers only some of them`);
}

/** The API refuses to evict a pod that two budgets match. Budgets for a part of the pods each do not add up to one. */
function overlapping(pods: readonly Pod[], budgets: readonly PodDisruptionBudget[]): CheckVerdict {
  const names = listText(budgets.map(({ name }) => name));
  const isTwice = pods.some((pod) => budgets.filter((budget) => selectsPod(budget, pod)).length > 1);
  return fail(
    isTwice
      ? `${names} match the same pod: every eviction of it is refused with an error`
      : `${names} each cover only some of them, so all may be evicted at the same time`,
  );
}

/** @param pods how many the StatefulSet has; the budget may cover more */
function sensible(budget: PodDisruptionBudget, pods: number): CheckVerdict {
  const expected = Math.max(budget.expectedPods, pods);
  const allowed = allowedOf(budget, expected);
  const text = budgetText(budget);
  if (allowed === undefined) return undecided(`the numbers of ${budget.name} could not be read`, text);
  if (allowed <= 0)
    return fail(`${text}: never allows a disruption of its ${expected} pods, so drains wait forever`);
  return expected > 1 && allowed >= expected
    ? fail(`${text}: allows all ${expected} pods to be disrupted at the same time`)
    : pass(text);
}

/** How many pods may be missing when all are healthy. Percentages are rounded up, as the disruption controller does. */
function allowedOf(
  { maxUnavailable, minAvailable }: PodDisruptionBudget,
  expected: number,
): number | undefined {
  if (maxUnavailable !== '') return scaled(maxUnavailable, expected);
  const least = scaled(minAvailable, expected);
  return least === undefined ? undefined : expected - least;
}

/** Of `3` or `50%`. */
function scaled(text: string, of: number): number | undefined {
  const [, digits, percent] = /^(\d{1,9})(%)?$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return percent === undefined ? Number(digits) : Math.ceil((Number(digits) * of) / 100);
}

/** An empty selector matches all pods of the namespace, but here it may also be one that could not be parsed. */
function matchOf(budget: PodDisruptionBudget, pods: readonly Pod[]): Match {
  const isWhole = budget.labelSelector !== undefined || Object.keys(budget.selector).length > 0;
  const matched = pods.filter((pod) => selectsPod(budget, pod)).length;
  if (matched === 0) return 'none';
  if (!isWhole) return 'undecided';
  return matched === pods.length ? 'all' : 'some';
}

const selectsPod = ({ namespace, selector, labelSelector }: PodDisruptionBudget, pod: Pod): boolean =>
  namespace === pod.namespace && selects(labelSelector ?? { labels: selector, expressions: [] }, pod.labels);

function budgetText({ name, maxUnavailable, minAvailable, disruptionsAllowed }: PodDisruptionBudget): string {
  const rule = maxUnavailable !== '' ? `maxUnavailable ${maxUnavailable}` : `minAvailable ${minAvailable}`;
  return `${name}: ${rule}, ${disruptionsAllowed} allowed now`;
}
