/** Where pods run and what may evict them: priority, autoscaler, placement, disruption budgets. */

import { listText } from '../../../lib/format.ts';
import { present } from '../../../lib/known.ts';
import type { OtherPod } from '../../../sources/kubernetes/directory/other-pods.ts';
import type { Pod, PodDisruptionBudget } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, fail, judge, pass, passIf, sources, undecided, type Verdict } from '../check.ts';
import { kubectl, patchTemplate } from '../commands.ts';
import { perGitalyPod, perWorkload, type Workload } from '../subjects.ts';

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
    expected: "a priorityClassName whose value is greater than all others except Kubernetes' own",
    evidence: 'spec.priorityClassName and spec.priority of the Gitaly pods and of all other pods',
    source: sources.priority,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    priorityClassName: gitlab-gitaly`,
      kubectl: patchTemplate({ spec: { priorityClassName: 'gitlab-gitaly' } }),
      text: 'Create the class first: `kubectl create priorityclass gitlab-gitaly --value=1000000 --description="Gitaly before other workloads"`.',
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) => {
        if (pod.priorityClass === '') return fail('no priorityClassName');
        return judge(present(pod.priority, 'the API reports no priority for the pod'), (own) =>
          judge(inputs.otherPods, (others) => comparedWith(others, pod.priorityClass, own)),
        );
      }),
  },
  {
    id: 'safe_to_evict',
    title: 'The cluster autoscaler does not evict Gitaly',
    why: "When the cluster scales down, the autoscaler evicts pods to empty a node: an outage for that Gitaly's repositories.",
    expected: `annotation ${safeToEvict}: "false" (or ${doNotDisrupt}: "true" for Karpenter)`,
    evidence: "the pod's annotations",
    source: sources.autoscaling,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    annotations:
      ${safeToEvict}: "false"`,
      kubectl: kubectl(`annotate pod POD ${safeToEvict}=false`),
      text: 'The kubectl line takes effect immediately and without a rotation; the next rotation removes the annotation.',
    },
    run: (inputs) =>
      perGitalyPod(inputs, ({ annotations }) => {
        const evict = annotations[safeToEvict];
        const disrupt = annotations[doNotDisrupt];
        const found = [
          evict === undefined ? '' : `${safeToEvict}: ${JSON.stringify(evict)}`,
          disrupt === undefined ? '' : `${doNotDisrupt}: ${JSON.stringify(disrupt)}`,
        ].filter((part) => part !== '');
        return passIf(
          evict === 'false' || disrupt === 'true',
          found.length === 0 ? 'annotation not set' : found.join(', '),
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
    scope: 'workload',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    antiAffinity: hard`,
      text: 'Needs as many nodes as pods, in the zones of their volumes; otherwise a pod stays Pending. The rule takes effect when a pod is scheduled next.',
    },
    run: (inputs) =>
      perWorkload(inputs, [inputs.gitalyPods], (workload) => {
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
    scope: 'workload',
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
    run: (inputs) => perWorkload(inputs, [inputs.gitalyPods, inputs.praefectPods], placement),
  },
  {
    id: 'pdb_present',
    title: 'A PodDisruptionBudget covers the pods',
    why: 'Without one, draining nodes or upgrading a node pool may evict all pods at the same time.',
    expected: 'a PodDisruptionBudget whose selector matches every pod of the StatefulSet',
    evidence: "the budgets' selectors and the pods' labels",
    source: sources.notInGuide,
    severity: 'warning',
    scope: 'workload',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    maxUnavailable: 1 # the chart's default; with Praefect: global.praefect.virtualStorages[].maxUnavailable
  praefect:
    maxUnavailable: 1`,
      kubectl: kubectl('get poddisruptionbudgets'),
    },
    run: (inputs) =>
      perWorkload(inputs, [inputs.gitalyPods, inputs.praefectPods], ({ pods }) =>
        judge(inputs.disruptionBudgets, (budgets) => coverage(pods, budgets)),
      ),
  },
];

function comparedWith(others: readonly OtherPod[], name: string, own: number): Verdict {
  const compared = others.filter((other) => (other.priority ?? 0) < systemPriority);
  const above = compared.filter((other) => (other.priority ?? 0) >= own);
  if (above.length === 0) return pass(`${name} (${own}), above all ${compared.length} other pods`);
  const names = above.map((pod) => `${pod.namespace}/${pod.name} (${pod.priority ?? 0})`);
  return fail(`${name} (${own}), not above ${listText(names)}`);
}

/** The nodes of one StatefulSet's pods. A pod that is missing or Pending may still be scheduled next to another. */
function placement({ pods, set }: Workload): Verdict {
  const nodes = Map.groupBy(
    pods.filter(({ node }) => node !== ''),
    ({ node }) => node,
  );
  const shared = [...nodes].filter(([, on]) => on.length > 1);
  const [first] = shared;
  if (first !== undefined)
    return fail(
      `${listText(first[1].map(({ name }) => name))} share ${first[0]}${shared.length > 1 ? `, and ${shared.length - 1} more nodes have several pods` : ''}`,
    );
  return judge(set, ({ replicas }) => {
    const placed = [...nodes.values()].flat().length;
    if (!(placed >= Math.max(replicas, pods.length)))
      return undecided(`${placed} of ${replicas} pods are scheduled`);
    return pass(
      `${placed} ${placed === 1 ? 'pod' : 'pods'} on ${nodes.size} ${nodes.size === 1 ? 'node' : 'nodes'}`,
    );
  });
}

type Match = 'all' | 'not all' | 'undecided';

function coverage(pods: readonly Pod[], budgets: readonly PodDisruptionBudget[]): Verdict {
  const found = budgets.map((budget) => ({ budget, match: matchOf(budget, pods) }));
  const covering = found.find(({ match }) => match === 'all');
  if (covering !== undefined) return pass(budgetText(covering.budget));
  const open = found.find(({ match }) => match === 'undecided');
  return open === undefined
    ? fail('no budget covers them')
    : undecided(`the selector of ${open.budget.name} uses expressions that are not evaluated`);
}

/** An empty selector matches all pods of the namespace, but here it may also be one that could not be parsed. */
function matchOf(budget: PodDisruptionBudget, pods: readonly Pod[]): Match {
  const { labels, expressions } = budget.labelSelector ?? { labels: budget.selector, expressions: undefined };
  const matches = (pod: Pod): boolean =>
    pod.namespace === budget.namespace &&
    Object.entries(labels).every(
      ([key, value]) => Object.hasOwn(pod.labels, key) && pod.labels[key] === value,
    );
  if (!pods.every(matches)) return 'not all';
  const whole = expressions?.length === 0 || (expressions === undefined && Object.keys(labels).length > 0);
  return whole ? 'all' : 'undecided';
}

function budgetText({ name, maxUnavailable, minAvailable, disruptionsAllowed }: PodDisruptionBudget): string {
  const rule = maxUnavailable !== '' ? `maxUnavailable ${maxUnavailable}` : `minAvailable ${minAvailable}`;
  return `${name}: ${rule}, ${disruptionsAllowed} allowed now`;
}
