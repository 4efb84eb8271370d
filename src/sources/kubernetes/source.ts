/**
 * The Kubernetes source: its collector reports what the watches hold, without requests of its own. What is not
 * current is absent, and the run then fails with the reason; what is current is reported all the same.
 */
import type { Clock } from '../../lib/clock.ts';
import type { Block } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { failed, type Outcome } from '../../scheduler/outcome.ts';
import type { Identity } from '../identity.ts';
import { serverInfo } from '../server-info.ts';
import { countNodeOoms, countRestarts, type NodeOomCounters, type PodCounters } from './counters.ts';
import {
  budgetFamilies,
  infoFamily,
  nodeFamilies,
  oomFamilies,
  podFamilies,
  statefulSetFamilies,
} from './families.ts';
import { gitalyBudgets, gitalyStatefulSets, newestOfEachName, nodeNamesOf } from './gitaly-objects.ts';
import { kubernetesMetrics } from './metrics.ts';
import type { Pod } from './objects/types.ts';
import { createRotationRecord, type RotationRecord } from './rotation/record.ts';
import { notCurrentResources, type Stores } from './store.ts';
import { type KubernetesView, viewOf } from './view.ts';

/** Names of the collectors, for reporting them as disabled. */
export const kubernetesCollectorNames: readonly string[] = ['kubernetes'];

interface KubernetesSourceOptions {
  /** Not started yet, so that no change is missed. */
  readonly stores: Stores;
  /** An agent watches the pods of its own node only, which the cluster's exporter reports. */
  readonly role: 'all' | 'cluster' | 'agent';
  readonly isGitaly: (pod: Pod) => boolean;
  /** Report gitaly_server_info; false where the cgroup source reports it. */
  readonly reportsServerInfo: boolean;
  readonly clock: Clock;
  readonly events: EventLog;
}

interface KubernetesSource {
  readonly collectors: readonly Collector[];
  view(): KubernetesView;
  /**
   * Seconds from deletion to Ready at the slowest of the pod's last ten replacements whose total is known; container
   * restarts do not count.
   */
  rotationSeconds(identity: Identity): number | undefined;
}

export function createKubernetesSource(options: KubernetesSourceOptions): KubernetesSource {
  const { stores, role, isGitaly, clock, events } = options;
  const since = clock.now();
  const rotations = createRotationRecord({ stores, isGitaly, events });
  const restarts = countRestarts(stores.pods, isGitaly, since);
  const nodeOoms = countNodeOoms(stores.events, since);
  const state: CollectorState = { ...options, restarts, rotations, nodeOoms };
  const collector: Collector = {
    name: 'kubernetes',
    title: "Kubernetes: Gitaly's pods, StatefulSets, disruption budgets and nodes",
    metrics: options.reportsServerInfo ? [...kubernetesMetrics, serverInfo] : kubernetesMetrics,
    schedule: { kind: 'scrape', timeoutMs: 1000 },
    collect: async () => collect(state),
  };
  return {
    collectors: role === 'agent' ? [] : [collector],
    view: () => viewOf(stores, isGitaly, rotations),
    rotationSeconds: ({ namespace, pod }) => rotations.slowestReplacementSeconds(namespace, pod),
  };
}

interface CollectorState extends Pick<KubernetesSourceOptions, 'stores' | 'isGitaly' | 'reportsServerInfo'> {
  readonly restarts: PodCounters;
  readonly rotations: RotationRecord;
  readonly nodeOoms: NodeOomCounters;
}

function collect(state: CollectorState): Outcome {
  const { stores, isGitaly, reportsServerInfo, restarts, rotations, nodeOoms } = state;
  const pods = newestOfEachName(stores.pods.all().filter(isGitaly));
  const statefulSets = gitalyStatefulSets(stores.statefulSets.all(), pods);
  const nodeNames = nodeNamesOf(pods);
  dropRemoved(state, pods);

  const families: Block['families'][number][] = [];
  // Gitaly's nodes, sets and budgets are found by its pods.
  if (stores.pods.state().current) {
    families.push(...podFamilies({ pods, statefulSets, restarts, rotations }));
    const budgets = gitalyBudgets(stores.disruptionBudgets.all(), pods, statefulSets);
    const nodes = stores.nodes.state().current ? stores.nodes.all() : undefined;
    if (stores.disruptionBudgets.state().current) families.push(...budgetFamilies(budgets));
    if (stores.statefulSets.state().current) families.push(...statefulSetFamilies(statefulSets));
    if (nodes !== undefined) families.push(...nodeFamilies(nodeNames, nodes));
    if (stores.events.state().current) families.push(...oomFamilies(nodeNames, nodeOoms));
    if (reportsServerInfo) families.push(infoFamily(pods, nodes ?? []));
  }
  const failures = notCurrentResources(stores).map(({ failure }) => failure);
  const [first] = failures;
  if (first === undefined) return { kind: 'data', block: { families } };
  const messages = [...new Set(failures.map(({ message }) => message))];
  return failed(first.reason, messages.join('; '), { families });
}

/** Drops counters of names that have no pod and no rotation under way, and of nodes that were removed. */
function dropRemoved({ stores, rotations, restarts, nodeOoms }: CollectorState, pods: readonly Pod[]): void {
  if (!stores.pods.state().current) return;
  const names = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, pod } of rotations.ongoing()) names.add(`${namespace}/${pod}`);
  const nodes = stores.nodes.state().current
    ? new Set(stores.nodes.all().map(({ name }) => name))
    : undefined;
  const used = new Set(nodeNamesOf(pods));
  const isNode = (node: string): boolean => nodes === undefined || nodes.has(node) || used.has(node);
  for (const counters of [restarts, rotations.counts])
    counters.retain(({ namespace, pod, node }) => names.has(`${namespace}/${pod}`) && isNode(node));
  rotations.retain((name) => names.has(name));
  nodeOoms.retain(isNode);
}
