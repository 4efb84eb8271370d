/** The stores and their watches by role: which resources, in which namespaces, by which selectors. */
import type { Clock } from '../../../lib/clock.ts';
import type { Log } from '../../../lib/log.ts';
import type { KubeApi } from '../api/api.ts';
import { fieldsOf } from '../objects/fields.ts';
import { mergedSelectors, parseSelector, selects } from '../objects/selector.ts';
import type {
  KubeEvent,
  KubeObject,
  LabelSelector,
  Node,
  Pod,
  PodDisruptionBudget,
  StatefulSet,
} from '../objects/types.ts';
import {
  noRestarts,
  type Stores,
  storesByResource,
  type WatchedResource,
  type WatchState,
  watchedResources,
} from '../store.ts';
import { runWatchLoop, type WatchLoop, type WatchLoopState } from './loop.ts';
import { createMergedStore, type MergedStore } from './merged-store.ts';
import { kubeResources, type Resource, type Scope } from './resources.ts';

export interface StoresOptions {
  readonly api: KubeApi;
  /** Undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  /** agent: its own node and the pods of that node; else everything. */
  readonly role: 'all' | 'cluster' | 'agent';
  /** The exporter's own node, for an agent. */
  readonly node: string;
  readonly gitalySelector: string;
  readonly praefectSelector: string;
  readonly staleMs: number;
  readonly clock: Clock;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
  readonly log: Log;
}

export interface WatchedStores extends Stores {
  /**
   * State of each watched resource. The stores of resources that the role does not watch are empty, and never
   * current.
   */
  states(): readonly { readonly resource: WatchedResource; readonly state: WatchState }[];
  readonly clockSkewMs: () => number | undefined;
  /** Resolves when every watched resource was listed or has failed, or when the signal aborts. */
  listed(signal: AbortSignal): Promise<void>;
  start(): void;
  /** Ends all watches; the stores keep their objects. */
  stop(): Promise<void>;
}

/** The API server deletes events after an hour, too. */
const eventBounds = { maxObjects: 5000, maxAgeMs: 3_600_000 };
const listedPollMs = 50;
const maxEventDelayMs = 30_000;
/** Each wait ends by its signal; this is for what does not. */
const maxStopMs = 3000;

export function createStores(options: StoresOptions): WatchedStores {
  const { clock, log, staleMs, node } = options;
  const isAgent = options.role === 'agent';
  const store = <T extends KubeObject>(name: WatchedResource, bounds?: typeof eventBounds): MergedStore<T> =>
    createMergedStore<T>({ name, clock, log, staleMs, ...(bounds === undefined ? {} : { bounds }) });
  const stores = {
    pods: store<Pod>('pods'),
    statefulSets: store<StatefulSet>('statefulsets'),
    disruptionBudgets: store<PodDisruptionBudget>('poddisruptionbudgets'),
    nodes: store<Node>('nodes'),
    events: store<KubeEvent>('events', eventBounds),
  };
  const stopping = new AbortController();
  const loops: WatchLoop[] = [];

  function watch<T extends KubeObject>(
    resource: Resource<T>,
    into: MergedStore<T>,
    scopes: readonly Scope[],
    isIncluded: (raw: unknown, object: T) => boolean = () => true,
  ): readonly WatchLoop[] {
    const started = scopes.map((scope) => {
      let loop: WatchLoop | undefined;
      const sink = into.addWatch(() => loop?.state() ?? notStarted, scope);
      loop = runWatchLoop({ ...options, resource, scope, isIncluded, sink, signal: stopping.signal });
      return loop;
    });
    loops.push(...started);
    return started;
  }

  const namespaces: readonly (string | undefined)[] = [...new Set(options.namespaces ?? [undefined])];

  function podScopes(): Scope[] {
    const selectors = mergedSelectors(
      isAgent ? [options.gitalySelector] : [options.gitalySelector, options.praefectSelector],
    );
    return namespaces.flatMap((namespace) =>
      selectors.map((labelSelector) => ({
        namespace,
        labelSelector,
        isSmall: true as const,
        ...(isAgent ? { fieldSelector: `spec.nodeName=${node}` } : {}),
      })),
    );
  }

  function eventScopes(): Scope[] {
    const about = (kind: string) => (namespace: string | undefined) => ({
      namespace,
      fieldSelector: `involvedObject.kind=${kind}`,
    });
    // Events of nodes are in `default`, whichever namespaces are watched, and a Role of another namespace does not
    // cover them.
    const ofNodes = { ...about('Node')('default'), isOptional: true } as const;
    return [...namespaces.map(about('Pod')), ...namespaces.map(about('StatefulSet')), ofNodes];
  }

  /**
   * After pods and StatefulSets have been listed, because they decide which events concern Gitaly; without them after a
   * while all the same, and then all events are kept.
   */
  async function watchEvents(tried: readonly Promise<void>[]): Promise<void> {
    const ended = new AbortController();
    const either = AbortSignal.any([ended.signal, stopping.signal]);
    await Promise.race([Promise.all(tried), clock.sleep(maxEventDelayMs, either)]);
    ended.abort();
    if (!stopping.signal.aborted)
      watch(kubeResources.events, stores.events, eventScopes(), (_raw, event) =>
        concernsGitaly(event, stores),
      );
  }

  const watched: readonly WatchedResource[] = isAgent ? ['pods', 'nodes'] : watchedResources;
  const byResource = storesByResource(stores);
  const states = () => watched.map((resource) => ({ resource, state: byResource[resource].state() }));

  return {
    ...stores,
    states,
    clockSkewMs: () => options.api.clockSkewMs(),
    async listed(signal) {
      const isPending = (): boolean =>
        states().some(
          ({ state: { lastEventAt, failure, unavailable } }) =>
            lastEventAt === undefined && failure === undefined && unavailable === undefined,
        );
      while (!signal.aborted && isPending()) await clock.sleep(listedPollMs, signal);
    },
    start() {
      const inNamespaces = namespaces.map((namespace) => ({ namespace }));
      const ownNode = {
        namespace: undefined,
        fieldSelector: `metadata.name=${node}`,
        isSmall: true,
      } as const;
      const pods = watch(kubeResources.pods, stores.pods, podScopes());
      watch(kubeResources.nodes, stores.nodes, [isAgent ? ownNode : { namespace: undefined }]);
      if (isAgent) return;
      const hasSelectedPods = templateMatcher([options.gitalySelector, options.praefectSelector]);
      const sets = watch(kubeResources.statefulSets, stores.statefulSets, inNamespaces, hasSelectedPods);
      watch(kubeResources.disruptionBudgets, stores.disruptionBudgets, inNamespaces);
      void watchEvents([...pods, ...sets].map(({ tried }) => tried));
    },
    async stop() {
      stopping.abort();
      const ended = new AbortController();
      await Promise.race([
        Promise.all(loops.map((loop) => loop.ended)),
        clock.sleep(maxStopMs, ended.signal),
      ]);
      ended.abort();
    },
  };
}

/**
 * Whether the selectors match a StatefulSet's pods. By the template's labels, not by the set's own, which an
 * operator may set differently.
 */
function templateMatcher(selectors: readonly string[]): (raw: unknown) => boolean {
  const parsed = selectors.map(parseSelector).filter((each): each is LabelSelector => each !== undefined);
  return (raw) => {
    const { template } = fieldsOf(fieldsOf(raw)['spec']);
    const labels = fieldsOf(fieldsOf(fieldsOf(template)['metadata'])['labels']) as Readonly<
      Record<string, string>
    >;
    return parsed.some((selector) => selects(selector, labels));
  };
}

/**
 * The event is about a known pod, a possible pod of a known StatefulSet, such a set itself, or a node with a known
 * pod.
 */
function concernsGitaly({ about }: KubeEvent, { pods, statefulSets }: Stores): boolean {
  const isListed = [pods, statefulSets].every((store) => store.state().lastEventAt !== undefined);
  if (!isListed) return true;
  const isInNamespace = (object: { readonly namespace: string }): boolean =>
    object.namespace === about.namespace;
  switch (about.kind) {
    case 'Pod':
      return (
        pods.get(about.uid) !== undefined ||
        statefulSets
          .all()
          .some(
            (set) =>
              isInNamespace(set) &&
              /^-\d+$/.test(about.name.slice(set.name.length)) &&
              about.name.startsWith(set.name),
          )
      );
    case 'StatefulSet':
      return statefulSets.all().some((set) => isInNamespace(set) && set.name === about.name);
    case 'Node':
      return pods.all().some((pod) => pod.node === about.name);
    default:
      return false;
  }
}

const notStarted: WatchLoopState = {
  listed: false,
  lastEventAt: undefined,
  lastEventMonotonic: undefined,
  ...{ failure: undefined, malformed: [], unavailable: undefined },
  restarts: noRestarts(),
};
