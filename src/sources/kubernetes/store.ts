/** What is known of one resource, kept current by a watch: the face that the rest of the room sees. */
import type { Failure } from '../../scheduler/outcome.ts';
import type { KubeEvent, Node, Pod, PodDisruptionBudget, StatefulSet } from './objects/types.ts';

export type Change<T> =
  | { readonly type: 'added'; readonly object: T }
  | { readonly type: 'modified'; readonly object: T; readonly before: T }
  | { readonly type: 'deleted'; readonly object: T }
  /**
   * Everything was listed anew after a gap: what lies between `before` and `now` was not seen. The store holds
   * `now` already; no added, modified or deleted comes for it.
   */
  | { readonly type: 'relisted'; readonly before: readonly T[]; readonly now: readonly T[] };

export interface Store<T> {
  /** By uid. Empty before the first list. */
  all(): readonly T[];
  get(uid: string): T | undefined;
  state(): WatchState;
  /** Each change in the order in which the API server told it, with when it arrived (Clock.now()). */
  subscribe(listener: (change: Change<T>, at: number) => void): () => void;
}

export interface WatchState {
  /** The first list has come through, and what the store holds is at most `staleMs` old. */
  readonly current: boolean;
  /** Clock.now() when the server last said anything: an event, a bookmark, a list. Undefined before the first list. */
  readonly heardAt: number | undefined;
  /** Why it is not connected right now; undefined while it is. Names verb and resource where a right is missing. */
  readonly failure: Failure | undefined;
  readonly objects: number;
  readonly restarts: Readonly<Record<WatchEnd, number>>;
}

/** Why a list or a watch ended and began again. Closed: a label. */
export const watchEnds = [
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
  'other',
] as const;
export type WatchEnd = (typeof watchEnds)[number];

/** The resources that are watched. */
export interface Stores {
  readonly pods: Store<Pod>;
  readonly statefulSets: Store<StatefulSet>;
  readonly disruptionBudgets: Store<PodDisruptionBudget>;
  readonly nodes: Store<Node>;
  readonly events: Store<KubeEvent>;
}
