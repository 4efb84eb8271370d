/** Objects of one resource, kept current by watches: the interface that the rest of this source reads. */
import type { Failure } from '../../scheduler/outcome.ts';
import type { KubeEvent, Node, Pod, PodDisruptionBudget, StatefulSet } from './objects/types.ts';

export type Change<T> =
  | { readonly type: 'added'; readonly object: T }
  | { readonly type: 'modified'; readonly object: T; readonly before: T }
  | { readonly type: 'deleted'; readonly object: T }
  /**
   * Everything was listed again after a gap, so that changes between `before` and `now` were missed. The store holds
   * `now` already; no added, modified or deleted follows for it.
   */
  | { readonly type: 'relisted'; readonly before: readonly T[]; readonly now: readonly T[] };

export interface Store<T> {
  /** Empty before the first list. */
  all(): readonly T[];
  get(uid: string): T | undefined;
  state(): WatchState;
  /**
   * Each change in the API server's order, with the time of its arrival (Clock.now()). Returns how to unsubscribe.
   */
  subscribe(listener: (change: Change<T>, at: number) => void): () => void;
}

export interface WatchState {
  /** Listed, and the last data from the API server is at most `staleMs` old; without the namespaces in `unread`. */
  readonly current: boolean;
  /** Clock.now() at the last event, bookmark or list. Undefined before the first list. */
  readonly lastEventAt: number | undefined;
  /** Why it is disconnected; undefined while connected. Names verb and resource where a right is missing. */
  readonly failure: Failure | undefined;
  /**
   * Names of objects whose present state was rejected (`gitlab/gl-gitaly-0`; '' without a name). Their state before is
   * kept for as long as data of that age is not stale.
   */
  readonly malformed: readonly string[];
  /**
   * Watched namespaces that cannot be read, while others are current: their objects are hidden, and neither absent nor
   * removed. `failure` has the reason. Absent: none.
   */
  readonly unread?: readonly string[];
  /** Why the API server has no such resource, which is not a failure; undefined where it has. */
  readonly unavailable: string | undefined;
  readonly objects: number;
  readonly restarts: Readonly<Record<WatchEndReason, number>>;
}

/** Why a list or a watch ended and was started again. Closed: values of a label. */
export const watchEndReasons = [
  'expired',
  'closed',
  'reset',
  'timeout',
  'gone',
  'throttled',
  'server_error',
  'permission',
  'authentication',
  'malformed',
  'not_served',
  'other',
] as const;
export type WatchEndReason = (typeof watchEndReasons)[number];

export const noRestarts = (): Record<WatchEndReason, number> =>
  Object.fromEntries(watchEndReasons.map((reason) => [reason, 0])) as Record<WatchEndReason, number>;

/** A store for each watched resource. */
export interface Stores {
  readonly pods: Store<Pod>;
  readonly statefulSets: Store<StatefulSet>;
  readonly disruptionBudgets: Store<PodDisruptionBudget>;
  readonly nodes: Store<Node>;
  readonly events: Store<KubeEvent>;
  /** How far the API server's clock is ahead of the exporter's, to about a second; undefined while unknown. */
  readonly clockSkewMs?: () => number | undefined;
}

/** Below this the difference is that of the measurement. */
const minSkewMs = 2000;

/** To subtract from a time of the API server; 0 while the clocks are synchronized, or not compared yet. */
export function apiClockSkewMs({ clockSkewMs }: Pick<Stores, 'clockSkewMs'>): number {
  const skew = clockSkewMs?.() ?? 0;
  return Math.abs(skew) < minSkewMs ? 0 : skew;
}

/** As the API names them in its paths. */
export const watchedResources = ['pods', 'statefulsets', 'poddisruptionbudgets', 'nodes', 'events'] as const;
export type WatchedResource = (typeof watchedResources)[number];

export const storesByResource = (stores: Stores): Readonly<Record<WatchedResource, Store<unknown>>> => ({
  pods: stores.pods,
  statefulsets: stores.statefulSets,
  poddisruptionbudgets: stores.disruptionBudgets,
  nodes: stores.nodes,
  events: stores.events,
});

/** Undefined while the store is current; else why its objects must not be reported as the present state. */
export function notCurrent(store: Store<unknown>, resource: WatchedResource): Failure | undefined {
  const { current, failure, lastEventAt, unavailable } = store.state();
  if (current) return undefined;
  if (unavailable !== undefined) return { reason: 'http_status', message: unavailable };
  const message =
    lastEventAt === undefined
      ? `${resource} have not been listed from the Kubernetes API yet`
      : `no list, event or bookmark of ${resource} from the Kubernetes API within kubernetes.stale-after: their last known state is not reported`;
  return failure ?? { reason: 'timeout', message };
}

/**
 * Why the objects of a current store are not all of them, or not all in their present state: the API server sent
 * something else than a list or a watch of the resource, or malformed objects, or a namespace cannot be read.
 */
export function incompleteness({ failure, malformed, unread = [] }: WatchState): Failure | undefined {
  if (failure?.reason === 'parse' || failure?.reason === 'too_large') return failure;
  if (unread.length > 0)
    return failure ?? { reason: 'timeout', message: `namespaces that cannot be read: ${unread.join(', ')}` };
  return malformed.length === 0
    ? undefined
    : (failure ?? { reason: 'parse', message: `malformed objects: ${malformed.join(', ')}` });
}

/** As messages name it: `gitlab/gl-gitaly-0`, `node-1`. */
export const objectName = ({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string => (namespace === '' ? name : `${namespace}/${name}`);

/**
 * Whether an object that a current store lacks may exist all the same: its present state is malformed, its namespace cannot
 * be read, or more objects exist than are kept. A malformed object without a name may be any.
 */
export function mayBeUnread(store: Store<unknown>, name: string): boolean {
  const { failure, malformed, unread = [] } = store.state();
  if (unread.some((namespace) => name.startsWith(`${namespace}/`))) return true;
  return malformed.includes(name) || malformed.includes('') || failure?.reason === 'too_large';
}

/** Resources that are not current or not complete, and why. A resource that the API server does not have is not listed. */
export const notCurrentResources = (
  stores: Stores,
): readonly { readonly resource: WatchedResource; readonly failure: Failure }[] => {
  const byResource = storesByResource(stores);
  return watchedResources.flatMap((resource) => {
    const state = byResource[resource].state();
    if (state.unavailable !== undefined) return [];
    const failure = notCurrent(byResource[resource], resource) ?? incompleteness(state);
    return failure === undefined ? [] : [{ resource, failure }];
  });
};

/** Resources that the API server does not have, and why. */
export const unavailableResources = (
  stores: Stores,
): readonly { readonly resource: WatchedResource; readonly message: string }[] => {
  const byResource = storesByResource(stores);
  return watchedResources.flatMap((resource) => {
    const { unavailable } = byResource[resource].state();
    return unavailable === undefined ? [] : [{ resource, message: unavailable }];
  });
};
