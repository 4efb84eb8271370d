/** The resources that are watched: how the API names each, and how its objects are trimmed. */

import type { Parsed } from '../objects/fields.ts';
import { disruptionBudgetOf, eventOf, nodeOf, statefulSetOf } from '../objects/kinds.ts';
import { podOf } from '../objects/pod.ts';
import type { KubeEvent, KubeObject, Node, Pod, PodDisruptionBudget, StatefulSet } from '../objects/types.ts';

/** As the API names them: also the values of the label `resource`. Closed. */
export const watchedResources = ['pods', 'statefulsets', 'poddisruptionbudgets', 'nodes', 'events'] as const;
export type WatchedResource = (typeof watchedResources)[number];

export interface Resource<T extends KubeObject> {
  readonly name: WatchedResource;
  /** Of the API; '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly parse: (raw: unknown) => Parsed<T>;
}

const resource = <T extends KubeObject>(
  name: WatchedResource,
  group: string,
  parse: (raw: unknown) => Parsed<T>,
): Resource<T> => Object.freeze({ name, group, version: 'v1', parse });

export const pods = resource<Pod>('pods', '', podOf);
export const statefulSets = resource<StatefulSet>('statefulsets', 'apps', statefulSetOf);
export const disruptionBudgets = resource<PodDisruptionBudget>(
  'poddisruptionbudgets',
  'policy',
  disruptionBudgetOf,
);
export const nodes = resource<Node>('nodes', '', nodeOf);
export const events = resource<KubeEvent>('events', '', eventOf);

/** What one watch asks for. */
export interface Scope {
  /** Undefined: all namespaces, or a resource that has none. */
  readonly namespace: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Few objects match: the server may answer from its memory, without pages. Else it is asked for pages. */
  readonly few?: true;
  /** The right to it may be missing without harm to the rest of the store. */
  readonly optional?: true;
}

export function pathOf(
  { group, version, name }: Resource<KubeObject>,
  namespace: string | undefined,
): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return namespace === undefined
    ? `${root}/${name}`
    : `${root}/namespaces/${encodeURIComponent(namespace)}/${name}`;
}

/** `pods in namespace gitlab`, `nodes`. */
export const scopeText = ({ name }: Resource<KubeObject>, { namespace }: Scope): string =>
  namespace === undefined
    ? name === 'nodes'
      ? name
      : `${name} in all namespaces`
    : `${name} in namespace ${namespace}`;
