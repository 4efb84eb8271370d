/**
 * Gitaly's pods and what surrounds them, out of what the watches hold: no request is made. What is not current is
 * absent, and the run then a failed one that says why; what is current is shown all the same.
 */
import type { Block } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { type Failure, failed } from '../../scheduler/outcome.ts';
import { budgetFamilies, nodeFamilies, oomFamilies, setFamilies } from './around-families.ts';
import { gitalyBudgets, gitalySets, nodesOf, oneForEachName } from './belonging.ts';
import { kubernetesMetrics } from './metrics.ts';
import type { NodeOoms } from './node-oom.ts';
import type { Pod } from './objects/types.ts';
import { podFamilies } from './pod-families.ts';
import type { RotationRecord } from './rotation/record.ts';
import type { Store, Stores } from './store.ts';
import type { PodTally } from './tally.ts';

export interface KubernetesCollectorOptions {
  readonly stores: Stores;
  readonly isGitaly: (pod: Pod) => boolean;
  readonly restarts: PodTally;
  readonly rotations: RotationRecord;
  readonly nodeOoms: NodeOoms;
}

export function createKubernetesCollector(options: KubernetesCollectorOptions): Collector {
  const { stores, restarts, rotations, nodeOoms } = options;
  return {
    name: 'kubernetes',
    title: "Kubernetes: Gitaly's pods, StatefulSets, disruption budgets and nodes",
    metrics: kubernetesMetrics,
    schedule: { kind: 'scrape', timeoutMs: 1000 },
    async collect() {
      const pods = oneForEachName(stores.pods.all().filter(options.isGitaly));
      const sets = gitalySets(stores.statefulSets.all(), pods);
      const nodes = nodesOf(pods);
      forgetWhatIsGone(options, pods);

      const families: Block['families'][number][] = [];
      // Which nodes, sets and budgets are Gitaly's is known by its pods.
      const podsFailure = notCurrent(stores.pods, 'pods');
      if (podsFailure === undefined) {
        families.push(...podFamilies({ pods, sets, restarts, rotations }));
        const budgets = gitalyBudgets(stores.disruptionBudgets.all(), pods, sets);
        if (stores.disruptionBudgets.state().current) families.push(...budgetFamilies(budgets));
        if (stores.statefulSets.state().current) families.push(...setFamilies(sets));
        if (stores.nodes.state().current) families.push(...nodeFamilies(nodes, stores.nodes.all()));
        if (stores.events.state().current) families.push(...oomFamilies(nodes, nodeOoms));
      }
      const failures = storeFailures(stores).map(({ failure }) => failure);
      const [first] = failures;
      if (first === undefined) return { kind: 'data', block: { families } };
      const messages = [...new Set(failures.map(({ message }) => message))];
      return failed(first.reason, messages.join('; '), { families });
    },
  };
}

export const watchedParts = ['pods', 'statefulsets', 'poddisruptionbudgets', 'nodes', 'events'] as const;
export type WatchedPart = (typeof watchedParts)[number];

/** What is not current, and why. */
export const storeFailures = (
  stores: Stores,
): readonly { readonly part: WatchedPart; readonly failure: Failure }[] => {
  const parts: Readonly<Record<WatchedPart, Store<unknown>>> = {
    pods: stores.pods,
    statefulsets: stores.statefulSets,
    poddisruptionbudgets: stores.disruptionBudgets,
    nodes: stores.nodes,
    events: stores.events,
  };
  return watchedParts.flatMap((part) => {
    const failure = notCurrent(parts[part], part);
    return failure === undefined ? [] : [{ part, failure }];
  });
};

function notCurrent(store: Store<unknown>, part: WatchedPart): Failure | undefined {
  const { current, failure, heardAt } = store.state();
  if (current) return undefined;
  const message =
    heardAt === undefined
      ? `the ${part} of Kubernetes were not listed yet`
      : `nothing was heard of the ${part} from the Kubernetes API for longer than kubernetes.stale-after; what was last heard is withdrawn`;
  return failure ?? { reason: 'timeout', message };
}

/** A name lives while it has a pod or one on its way, and what it went through on a node while there is that node. */
function forgetWhatIsGone(
  { stores, rotations, restarts, nodeOoms }: KubernetesCollectorOptions,
  pods: readonly Pod[],
): void {
  const { current } = stores.pods.state();
  if (!current) return;
  const names = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, pod } of rotations.ongoing()) names.add(`${namespace}/${pod}`);
  const nodes = stores.nodes.state().current
    ? new Set(stores.nodes.all().map(({ name }) => name))
    : undefined;
  const used = new Set(nodesOf(pods));
  const isNode = (node: string): boolean => nodes === undefined || nodes.has(node) || used.has(node);
  for (const tally of [restarts, rotations.counts])
    tally.keep(({ namespace, pod, node }) => names.has(`${namespace}/${pod}`) && isNode(node));
  rotations.keep((name) => names.has(name));
  nodeOoms.keep(isNode);
}
