/** What is watched of the API, by role: which resources, in which namespaces, by which selectors. */
import type { Clock } from '../../../lib/clock.ts';
import type { Log } from '../../../lib/log.ts';
import type { KubeApi } from '../api/api.ts';
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
import { type Stores, type WatchEnd, watchEnds } from '../store.ts';
import { type Loop, type LoopState, runLoop } from './loop.ts';
import { createMergedStore, type MergedStore } from './merged-store.ts';
import { record } from './raw.ts';
import type { Resource, Scope, WatchedResource } from './resources.ts';
import * as resources from './resources.ts';

export interface StoresOptions {
  readonly api: KubeApi;
  /** Undefined: all. */
  readonly namespaces: readonly string[] | undefined;
  /** agent: the pods of its own node and that node; else everything. */
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

export interface KubeStores extends Stores {
  /** Those of the role; the others' stores stay empty, and are never current. */
  readonly watched: readonly WatchedResource[];
  byResource(resource: WatchedResource): MergedStore<KubeObject>;
  start(): void;
  /** Ends all watches; what the stores hold stays. */
  stop(): Promise<void>;
}

/** Events of this age are of no use to anybody here, and the API server forgets them too. */
const eventBounds = { most: 5000, maxAgeMs: 3_600_000 };

export function createStores(options: StoresOptions): KubeStores {
  const { clock, log, staleMs, role, node } = options;
  const store = <T extends KubeObject>(name: WatchedResource, bounds?: typeof eventBounds): MergedStore<T> =>
    createMergedStore<T>({ name, clock, log, staleMs, ...(bounds === undefined ? {} : { bounds }) });
  const stores = {
    pods: store<Pod>('pods'),
    statefulSets: store<StatefulSet>('statefulsets'),
    disruptionBudgets: store<PodDisruptionBudget>('poddisruptionbudgets'),
    nodes: store<Node>('nodes'),
    events: store<KubeEvent>('events', eventBounds),
  };
  const agent = role === 'agent';
  const stopping = new AbortController();
  const loops: Loop[] = [];

  function watch<T extends KubeObject>(
    resource: Resource<T>,
    into: MergedStore<T>,
    scopes: readonly Scope[],
    keep: (raw: unknown, object: T) => boolean = () => true,
  ): readonly Loop[] {
    const made = scopes.map((scope) => {
      let loop: Loop | undefined;
      const sink = into.join(() => loop?.state() ?? notYet, scope.optional);
      loop = runLoop({ ...options, resource, scope, keep, sink, signal: stopping.signal });
      return loop;
    });
    loops.push(...made);
    return made;
  }

  const namespaces: readonly (string | undefined)[] = [...new Set(options.namespaces ?? [undefined])];

  function podScopes(): Scope[] {
    const selectors = mergedSelectors(
      agent ? [options.gitalySelector] : [options.gitalySelector, options.praefectSelector],
    );
    return namespaces.flatMap((namespace) =>
      selectors.map((labelSelector) => ({
        namespace,
        labelSelector,
        few: true as const,
        ...(agent ? { fieldSelector: `spec.nodeName=${node}` } : {}),
      })),
    );
  }

  function eventScopes(): Scope[] {
    const of = (kind: string) => (namespace: string | undefined) => ({
      namespace,
      fieldSelector: `involvedObject.kind=${kind}`,
    });
    // Events of nodes lie in `default`, whatever namespaces are watched, and a Role elsewhere does not reach them.
    const ofNodes = { ...of('Node')('default'), optional: true } as const;
    return [...namespaces.map(of('Pod')), ...namespaces.map(of('StatefulSet')), ofNodes];
  }

  async function watchEvents(tried: readonly Promise<void>[]): Promise<void> {
    // Which of them are of Gitaly is known only then.
    await Promise.all(tried);
    if (!stopping.signal.aborted)
      watch(resources.events, stores.events, eventScopes(), (_raw, event) => concerns(event, stores));
  }

  const each = namespaces.map((namespace) => ({ namespace }));
  const watched: readonly WatchedResource[] = agent ? ['pods', 'nodes'] : resources.watchedResources;
  const named: Readonly<Record<WatchedResource, MergedStore<KubeObject>>> = {
    pods: stores.pods,
    statefulsets: stores.statefulSets,
    poddisruptionbudgets: stores.disruptionBudgets,
    nodes: stores.nodes,
    events: stores.events,
  };

  return {
    ...stores,
    watched,
    byResource: (resource) => named[resource],
    start() {
      const pods = watch(resources.pods, stores.pods, podScopes());
      const own = { namespace: undefined, fieldSelector: `metadata.name=${node}`, few: true } as const;
      watch(resources.nodes, stores.nodes, [agent ? own : { namespace: undefined }]);
      if (agent) return;
      const ours = templateOf([options.gitalySelector, options.praefectSelector]);
      const sets = watch(resources.statefulSets, stores.statefulSets, each, ours);
      watch(resources.disruptionBudgets, stores.disruptionBudgets, each);
      void watchEvents([...pods, ...sets].map(({ tried }) => tried));
    },
    async stop() {
      stopping.abort();
      await Promise.all(loops.map(({ ended }) => ended));
    },
  };
}

/**
 * StatefulSets whose pods the selectors would find. By the template's labels, not by the set's own: an operator's
 * sets may carry others, and PodDisruptionBudgets, which are all kept, are joined by the pods too.
 */
function templateOf(selectors: readonly string[]): (raw: unknown) => boolean {
  const parsed = selectors.map(parseSelector).filter((each): each is LabelSelector => each !== undefined);
  return (raw) => {
    const { template } = record(record(raw)['spec']);
    const labels = record(record(record(template)['metadata'])['labels']) as Readonly<Record<string, string>>;
    return parsed.some((selector) => selects(selector, labels));
  };
}

/** The event is about a pod, a StatefulSet or a node that is ours as far as is known by now. */
function concerns({ about }: KubeEvent, { pods, statefulSets }: Stores): boolean {
  const sameSpace = ({ namespace }: { readonly namespace: string }): boolean => namespace === about.namespace;
  switch (about.kind) {
    case 'Pod':
      return (
        pods.get(about.uid) !== undefined ||
        statefulSets
          .all()
          .some(
            (set) =>
              sameSpace(set) &&
              /^-\d+$/.test(about.name.slice(set.name.length)) &&
              about.name.startsWith(set.name),
          )
      );
    case 'StatefulSet':
      return statefulSets.all().some((set) => sameSpace(set) && set.name === about.name);
    case 'Node':
      return pods.all().some((pod) => pod.node === about.name);
    default:
      return false;
  }
}

const notYet: LoopState = {
  listed: false,
  heardAt: undefined,
  heardMonotonic: undefined,
  failure: undefined,
  restarts: Object.fromEntries(watchEnds.map((end) => [end, 0])) as Record<WatchEnd, number>,
};
