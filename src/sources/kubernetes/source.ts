/**
 * The Kubernetes source: its collector reports what the watches hold, without requests of its own. What is not
 * current is absent, and the run then fails with the reason; what is current is reported all the same.
 */
import type { Clock } from '../../lib/clock.ts';
import { listText } from '../../lib/format.ts';
import type { Block } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { type Failure, failed, httpFailureReasons, type Outcome } from '../../scheduler/outcome.ts';
import type { Component, Identity } from '../identity.ts';
import { serverInfo } from '../server-info.ts';
import { localTimes, type PastTime } from './api-time.ts';
import { budgetFamilies, nodeFamilies, oomFamilies, statefulSetFamilies } from './cluster-families.ts';
import { countNodeOoms, countRestarts, type PodCounters } from './counters.ts';
import { createExpectedPods, type ExpectedPods } from './expected-pods.ts';
import { infoFamilies, podFamilies, praefectPodFamilies } from './families.ts';
import {
  type ComponentOf,
  gitalyBudgets,
  mainContainer,
  newestOfEachName,
  nodeNamesOf,
  statefulSetsOf,
} from './gitaly-objects.ts';
import { kubernetesMetrics } from './metrics.ts';
import type { Pod, StatefulSet, Workload } from './objects/types.ts';
import { createRotationRecord, type RotationRecord } from './rotation/record.ts';
import type { OngoingRotation } from './rotation/rotation.ts';
import { type SeenTimes, watchSeenTimes } from './seen-times.ts';
import {
  apiClockSkewMs,
  incompleteness,
  mayBeUnread,
  notCurrentResources,
  objectName,
  type Stores,
} from './store.ts';
import { type KubernetesView, viewOf } from './view.ts';

/** Names of the collectors, for reporting them as disabled. */
export const kubernetesCollectorNames: readonly string[] = ['kubernetes'];

interface KubernetesSourceOptions {
  /** Not started yet, so that no change is missed. */
  readonly stores: Stores;
  /** An agent watches the pods of its own node only, which the cluster's exporter reports. */
  readonly role: 'all' | 'cluster' | 'agent';
  readonly componentOf: ComponentOf;
  /** The watched namespaces; undefined: all of them. */
  readonly namespaces?: readonly string[] | undefined;
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
  const { stores, role, clock, events } = options;
  const startedAt = clock.now();
  /** By the API server's clock. */
  const since = (): number => startedAt + apiClockSkewMs(stores);
  const pastTime = localTimes(stores, clock);
  const seenTimes = watchSeenTimes(stores.pods);
  const gitaly = watchComponent('gitaly', since, pastTime, options, events);
  // Events of Praefect's pods would push those of Gitaly's out of the log, which is bounded.
  const praefect = watchComponent('praefect', since, pastTime, options, { add: () => undefined });
  const state: CollectorState = {
    options,
    seenTimes,
    gitaly,
    praefect,
    nodeOoms: countNodeOoms(stores.events, since),
  };
  const collector: Collector = {
    name: 'kubernetes',
    title: "Kubernetes: Gitaly's pods, StatefulSets, disruption budgets and nodes",
    metrics: options.reportsServerInfo ? [...kubernetesMetrics, serverInfo] : kubernetesMetrics,
    failureReasons: httpFailureReasons,
    schedule: { kind: 'scrape', timeoutMs: 1000 },
    collect: async () => collect(state),
  };
  return {
    collectors: role === 'agent' ? [] : [collector],
    view: () =>
      viewOf({
        stores,
        isGitaly: gitaly.isIncluded,
        facts: {
          ongoing: ongoingWith(gitaly),
          lastRotations: gitaly.rotations.last(),
          missing: gitaly.expected.missing(),
          deletedSets: gitaly.expected.deletedSets(),
          emptyNamespaces: emptyNamespaces(state),
        },
        ...{ pastTime, seenTimes, now: clock.now() },
      }),
    rotationSeconds: ({ namespace, pod }) => gitaly.rotations.slowestReplacementSeconds(namespace, pod),
  };
}

/** What is followed of the pods of one component. */
interface ComponentState {
  /** Whether the pods of this namespace cannot be read. */
  readonly isUnread: (namespace: string) => boolean;
  readonly component: Component;
  readonly isIncluded: (workload: Workload) => boolean;
  readonly restarts: PodCounters;
  readonly rotations: RotationRecord;
  readonly expected: ExpectedPods;
}

function watchComponent(
  component: Component,
  since: () => number,
  pastTime: PastTime,
  { stores, componentOf, clock }: KubernetesSourceOptions,
  events: Pick<EventLog, 'add'>,
): ComponentState {
  const isIncluded = (workload: Workload): boolean => componentOf(workload) === component;
  return {
    isIncluded,
    component,
    isUnread: (namespace) => stores.pods.state().unread?.includes(namespace) === true,
    restarts: countRestarts(stores.pods, isIncluded, since, component),
    rotations: createRotationRecord({
      ...{ stores, isIncluded, events },
      localTime: (time) => pastTime(time.at, time.clock === 'api' ? 'api' : 'node'),
    }),
    expected: createExpectedPods({ stores, isIncluded, clock }),
  };
}

/**
 * Rotations under way, and pods that are missing though the exporter did not see their removal. Not in namespaces that
 * cannot be read.
 */
function ongoingWith({ rotations, expected, isUnread }: ComponentState): readonly OngoingRotation[] {
  const ongoing = rotations.ongoing().filter(({ namespace }) => !isUnread(namespace));
  const names = new Set(ongoing.map(({ namespace, pod }) => `${namespace}/${pod}`));
  const others = expected.missing().filter(({ namespace, pod }) => !names.has(`${namespace}/${pod}`));
  return [
    ...ongoing,
    ...others.map(
      ({ namespace, pod, statefulSet, since }): OngoingRotation => ({
        ...{ namespace, pod, statefulSet, node: '', startedAt: since },
        ...{ phase: 'scheduling', cause: 'unknown', missing: true, isNew: false },
      }),
    ),
  ];
}

interface CollectorState {
  readonly options: Pick<
    KubernetesSourceOptions,
    'stores' | 'reportsServerInfo' | 'namespaces' | 'clock' | 'role' | 'componentOf'
  >;
  readonly seenTimes: SeenTimes;
  readonly gitaly: ComponentState;
  readonly praefect: ComponentState;
  readonly nodeOoms: PodCounters;
}

interface ComponentObjects {
  /** One per name. */
  readonly pods: readonly Pod[];
  readonly statefulSets: readonly StatefulSet[];
}

function objectsOf(stores: Stores, { isIncluded }: ComponentState): ComponentObjects {
  const pods = newestOfEachName(stores.pods.all().filter(isIncluded));
  return { pods, statefulSets: statefulSetsOf(stores.statefulSets.all(), pods, isIncluded) };
}

function collect(state: CollectorState): Outcome {
  const { gitaly, praefect, nodeOoms, seenTimes } = state;
  const { stores, reportsServerInfo } = state.options;
  const { pods, statefulSets } = objectsOf(stores, gitaly);
  const ofPraefect = objectsOf(stores, praefect);
  const nodeNames = nodeNamesOf(pods);
  const ongoing = ongoingWith(gitaly);
  dropUnused(state, gitaly, praefect);

  const families: Block['families'][number][] = [];
  // Gitaly's nodes, sets and budgets are found by its pods.
  if (stores.pods.state().current) {
    const withDeleted = [...statefulSets, ...gitaly.expected.deletedSets()];
    families.push(...podFamilies({ ...gitaly, pods, statefulSets: withDeleted, ongoing, seenTimes }));
    families.push(
      ...praefectPodFamilies({ ...praefect, ...ofPraefect, ongoing: ongoingWith(praefect), seenTimes }),
    );
    const budgets = gitalyBudgets(stores.disruptionBudgets.all(), pods, statefulSets);
    const nodes = stores.nodes.state().current ? stores.nodes.all() : undefined;
    if (stores.disruptionBudgets.state().current) families.push(...budgetFamilies(budgets));
    if (stores.statefulSets.state().current) families.push(...statefulSetFamilies(statefulSets));
    if (nodes !== undefined)
      families.push(...nodeFamilies(nodeNames, nodes, (name) => mayBeUnread(stores.nodes, name)));
    if (stores.events.state().current) families.push(...oomFamilies(nodeNames, nodeOoms));
    if (reportsServerInfo) families.push(...infoFamilies(pods, nodes ?? []));
  }
  const failures = [
    ...notCurrentResources(stores).map(({ failure }) => failure),
    ...emptinessFailures(state),
    ...ambiguousPods(state.options),
    ...unknownContainers(pods),
  ];
  const [first] = failures;
  if (first === undefined) return { kind: 'data', block: { families } };
  const messages = [...new Set(failures.map(({ message }) => message))];
  return failed(first.reason, messages.join('; '), { families });
}

/**
 * Watched namespaces without a pod of Gitaly and without a StatefulSet that wants one; '' where all namespaces are watched
 * and none has one. Unknown, hence none, while pods or StatefulSets are not current and complete.
 */
function emptyNamespaces({ options, gitaly }: CollectorState): readonly string[] {
  const { stores, namespaces, role } = options;
  const isComplete = [stores.pods, stores.statefulSets].every(
    (store) => store.state().current && incompleteness(store.state()) === undefined,
  );
  if (role === 'agent' || !isComplete) return [];
  const { pods, statefulSets } = objectsOf(stores, gitaly);
  const wanted = statefulSets.filter(({ replicas }) => replicas > 0);
  const used = new Set([...pods, ...wanted].map(({ namespace }) => namespace));
  if (namespaces !== undefined) return [...new Set(namespaces)].filter((each) => !used.has(each));
  return used.size === 0 ? [''] : [];
}

const emptinessFailures = (state: CollectorState): readonly Failure[] =>
  emptyNamespaces(state).map((namespace) => ({
    reason: 'missing',
    message: `no pod of Gitaly, and no StatefulSet that wants one, in ${namespace === '' ? 'any namespace' : `namespace ${namespace}`}: check its replicas, kubernetes.namespace and kubernetes.gitaly-selector (kubectl get pods -A -l app=gitaly --show-labels)`,
  }));

/** Pods that the selectors match, and that are neither component: they would be unseen. */
function ambiguousPods({ stores, componentOf }: CollectorState['options']): readonly Failure[] {
  if (!stores.pods.state().current) return [];
  const names = stores.pods
    .all()
    .filter((pod) => componentOf(pod) === undefined)
    .map(objectName);
  if (names.length === 0) return [];
  const message = `kubernetes.gitaly-selector and kubernetes.praefect-selector both match, and no container is called gitaly or praefect: ${listText(names)}; make the selectors disjoint`;
  return [{ reason: 'parse', message }];
}

/** Alerts on restarts and OOM kills are about Gitaly's container: those of these pods would be in none. */
function unknownContainers(pods: readonly Pod[]): readonly Failure[] {
  const names = pods
    .filter((pod) => pod.containers.length > 1 && mainContainer(pod) === undefined)
    .map(objectName);
  if (names.length === 0) return [];
  const message = `which container runs Gitaly is unknown in ${listText(names)}, and so are its restarts and OOM kills: call it gitaly`;
  return [{ reason: 'parse', message }];
}

/** Counters of names that have no pod and no rotation under way, and of removed nodes, end after a while. */
function dropUnused(state: CollectorState, ...components: readonly ComponentState[]): void {
  const { stores, clock } = state.options;
  if (!stores.pods.state().current) return;
  const now = clock.monotonic();
  const nodes = stores.nodes.state().current ? stores.nodes.all() : undefined;
  const nodeNames = new Set([...(nodes ?? []).map(({ name }) => name), ...nodeNamesOf(stores.pods.all())]);
  const isNode = (node: string): boolean =>
    nodes === undefined || nodeNames.has(node) || mayBeUnread(stores.nodes, node);
  for (const component of components) {
    const names = new Set([
      ...objectsOf(stores, component).pods.map(({ namespace, name }) => `${namespace}/${name}`),
      ...ongoingWith(component).map(({ namespace, pod }) => `${namespace}/${pod}`),
    ]);
    const { restarts, rotations } = component;
    for (const counters of [restarts, rotations.counts])
      counters.retain(({ namespace, pod, node }) => names.has(`${namespace}/${pod}`) && isNode(node), now);
    rotations.retain((name) => names.has(name));
  }
  state.nodeOoms.retain(({ node }) => isNode(node), now);
}
