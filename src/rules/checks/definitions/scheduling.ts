/** Where pods run and what may take them away: priority, autoscaler, placement, disruption budgets. */

import { present } from '../../../lib/known.ts';
import type { OtherPod } from '../../../sources/kubernetes/directory/other-pods.ts';
import type { Pod, PodDisruptionBudget } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, cannotTell, fail, judge, pass, passIf, type Verdict } from '../check.ts';
import { inPod, patchTemplate } from '../fix-commands.ts';
import { perGitalyPod, perWorkload, type Workload } from '../subjects.ts';
import { listText } from '../text.ts';
import { autoscaling, beyond, isolate, priority } from './sources.ts';

const safeToEvict = 'cluster-autoscaler.kubernetes.io/safe-to-evict';
const doNotDisrupt = 'karpenter.sh/do-not-disrupt';
const hostname = 'kubernetes.io/hostname';

/** Kubernetes keeps values from here on for its own classes (system-cluster-critical). */
const systemPriority = 2_000_000_000;

export const schedulingChecks: readonly Check[] = [
  {
    id: 'priority_class',
    title: 'A PriorityClass puts Gitaly before other workloads',
    why: "On a full node pods of lower priority give way. Without a class of its own Gitaly's pod waits for room after each rotation, and may be the one that is preempted or evicted.",
    expected: "a priorityClassName whose value is above all others but Kubernetes' own",
    evidence: "spec.priorityClassName and spec.priority of Gitaly's pods and of all others",
    source: priority,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    priorityClassName: gitlab-gitaly`,
      kubectl: patchTemplate({ spec: { priorityClassName: 'gitlab-gitaly' } }),
      other:
        'Make the class first: `kubectl create priorityclass gitlab-gitaly --value=1000000 --description="Gitaly before other workloads"`.',
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) => {
        if (pod.priorityClass === '') return fail('no priorityClassName');
        return judge(present(pod.priority, 'the API shows no priority of the pod'), (own) =>
          judge(inputs.otherPods, (others) => amongOthers(pod.priorityClass, own, others)),
        );
      }),
  },
  {
    id: 'safe_to_evict',
    title: 'The autoscaler leaves Gitaly where it is',
    why: "When the cluster shrinks, the autoscaler evicts pods to empty a node: for Gitaly that is an outage of that pod's repositories.",
    expected: `annotation ${safeToEvict}: "false" (or ${doNotDisrupt}: "true" for Karpenter)`,
    evidence: "the pod's annotations",
    source: autoscaling,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    annotations:
      ${safeToEvict}: "false"`,
      kubectl: inPod(`annotate pod POD ${safeToEvict}=false`),
      other: 'The kubectl line acts at once and without a rotation, and is lost at the next one.',
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
          found.length === 0 ? 'no such annotation' : found.join(', '),
        );
      }),
  },
  {
    id: 'anti_affinity',
    title: 'No two Gitaly pods of a StatefulSet may share a node',
    why: "The chart's soft rule lets two pods onto one node when room is short. That node's failure then takes two storages: with Praefect possibly the majority of the copies.",
    expected: `podAntiAffinity required on ${hostname}, or at least no two of its pods on one node now`,
    evidence: "the pods' affinity and nodes",
    source: isolate,
    severity: 'warning',
    about: 'workload',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    antiAffinity: hard`,
      other:
        'Needs as many nodes as pods, in the zones of their volumes; otherwise a pod stays Pending. The rule acts when a pod is scheduled next.',
    },
    run: (inputs) =>
      perWorkload(inputs, [inputs.gitalyPods], (workload) => {
        if (workload.pods.every(({ antiAffinity }) => antiAffinity.required.includes(hostname)))
          return pass(`required on ${hostname}`);
        const soft = workload.pods.every(({ antiAffinity }) => antiAffinity.preferred.includes(hostname));
        const rule = soft ? 'only preferred, not required' : 'no rule keeps them apart';
        const placed = placement(workload);
        return placed.result === 'unknown' ? placed : { ...placed, found: `${rule}; ${placed.found}` };
      }),
  },
  {
    id: 'replicas_on_distinct_nodes',
    title: 'Each replica is on a node of its own',
    why: 'Two copies on one node are lost together, and so is the quorum of Praefects that share one.',
    expected: 'as many nodes as pods, for each StatefulSet of Gitaly and of Praefect',
    evidence: "the pods' nodes",
    source: beyond,
    severity: 'warning',
    about: 'workload',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    antiAffinity: hard
  praefect:
    antiAffinity: hard`,
      kubectl: inPod('get pods -o wide'),
      other: 'Then delete one of the two pods, in a maintenance window: it is scheduled anew.',
    },
    run: (inputs) => perWorkload(inputs, [inputs.gitalyPods, inputs.praefectPods], placement),
  },
  {
    id: 'pdb_present',
    title: 'A PodDisruptionBudget covers the pods',
    why: 'Without one a drain, or the upgrade of a node pool, evicts all pods at once.',
    expected: 'a PodDisruptionBudget whose selector takes in every pod of the StatefulSet',
    evidence: "the budgets' selectors and the pods' labels",
    source: beyond,
    severity: 'warning',
    about: 'workload',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    maxUnavailable: 1 # the chart's default; with Praefect: global.praefect.virtualStorages[].maxUnavailable
  praefect:
    maxUnavailable: 1`,
      kubectl: inPod('get poddisruptionbudgets'),
    },
    run: (inputs) =>
      perWorkload(inputs, [inputs.gitalyPods, inputs.praefectPods], ({ pods }) =>
        judge(inputs.disruptionBudgets, (budgets) => covered(pods, budgets)),
      ),
  },
];

function amongOthers(name: string, own: number, others: readonly OtherPod[]): Verdict {
  const judged = others.filter((other) => (other.priority ?? 0) < systemPriority);
  const above = judged.filter((other) => (other.priority ?? 0) >= own);
  if (above.length === 0) return pass(`${name} (${own}), above all ${judged.length} other pods`);
  const names = above.map((pod) => `${pod.namespace}/${pod.name} (${pod.priority ?? 0})`);
  return fail(`${name} (${own}), not above ${listText(names)}`);
}

/** Where the pods of one StatefulSet are. One that is missing or waits may still land beside another. */
function placement({ pods, set }: Workload): Verdict {
  const nodes = Map.groupBy(
    pods.filter(({ node }) => node !== ''),
    ({ node }) => node,
  );
  const shared = [...nodes].filter(([, on]) => on.length > 1);
  const [first] = shared;
  if (first !== undefined)
    return fail(
      `${listText(first[1].map(({ name }) => name))} are together on ${first[0]}${shared.length > 1 ? `, and ${shared.length - 1} more nodes have several` : ''}`,
    );
  return judge(set, ({ replicas }) => {
    const placed = [...nodes.values()].flat().length;
    if (!(placed >= Math.max(replicas, pods.length)))
      return cannotTell(`${placed} of ${replicas} pods have a node`);
    return pass(
      `${placed} ${placed === 1 ? 'pod' : 'pods'} on ${nodes.size} ${nodes.size === 1 ? 'node' : 'nodes'}`,
    );
  });
}

type Cover = 'covers' | 'leaves out' | 'undecided';

function covered(pods: readonly Pod[], budgets: readonly PodDisruptionBudget[]): Verdict {
  const found = budgets.map((budget) => ({ budget, cover: coverOf(budget, pods) }));
  const covering = found.find(({ cover }) => cover === 'covers');
  if (covering !== undefined) return pass(budgetText(covering.budget));
  const undecided = found.find(({ cover }) => cover === 'undecided');
  return undecided === undefined
    ? fail('none covers them')
    : cannotTell(`the selector of ${undecided.budget.name} has other terms than labels`);
}

/** An empty selector takes in all pods of the namespace, but stands here also for one that could not be read. */
function coverOf(budget: PodDisruptionBudget, pods: readonly Pod[]): Cover {
  const { labels, expressions } = budget.labelSelector ?? { labels: budget.selector, expressions: undefined };
  const matches = (pod: Pod): boolean =>
    pod.namespace === budget.namespace &&
    Object.entries(labels).every(
      ([key, value]) => Object.hasOwn(pod.labels, key) && pod.labels[key] === value,
    );
  if (!pods.every(matches)) return 'leaves out';
  const whole = expressions?.length === 0 || (expressions === undefined && Object.keys(labels).length > 0);
  return whole ? 'covers' : 'undecided';
}

function budgetText({ name, maxUnavailable, minAvailable, disruptionsAllowed }: PodDisruptionBudget): string {
  const rule = maxUnavailable !== '' ? `maxUnavailable ${maxUnavailable}` : `minAvailable ${minAvailable}`;
  return `${name}: ${rule}, ${disruptionsAllowed} allowed now`;
}
