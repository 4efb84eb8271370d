/** The watched resources: how the API names each, and how its objects are parsed. */
import type { Parsed } from '../objects/fields.ts';
import {
  betaDisruptionBudgetOf,
  disruptionBudgetOf,
  eventOf,
  nodeOf,
  statefulSetOf,
} from '../objects/kinds.ts';
import { podOf } from '../objects/pod.ts';
import type { KubeEvent, KubeObject, Node, Pod, PodDisruptionBudget, StatefulSet } from '../objects/types.ts';
import type { WatchedResource } from '../store.ts';

export interface Resource<T extends KubeObject> {
  readonly name: WatchedResource;
  /** API group; '' is the core group. */
  readonly group: string;
  readonly version: string;
  /** Of its objects; lists are of kind `<kind>List`. */
  readonly kind: T['kind'];
  readonly parse: (raw: unknown) => Parsed<T>;
  /** For clusters that do not serve this version. */
  readonly older?: Resource<T>;
  /** The first Kubernetes that serves this version; only where the resource may be missing. */
  readonly since?: string;
}

const resource = <T extends KubeObject>(
  name: WatchedResource,
  group: string,
  kind: T['kind'],
  parse: (raw: unknown) => Parsed<T>,
): Resource<T> => Object.freeze({ name, group, version: 'v1', kind, parse });

export const kubeResources = Object.freeze({
  pods: resource<Pod>('pods', '', 'Pod', podOf),
  statefulSets: resource<StatefulSet>('statefulsets', 'apps', 'StatefulSet', statefulSetOf),
  disruptionBudgets: Object.freeze({
    ...resource<PodDisruptionBudget>(
      ...(['poddisruptionbudgets', 'policy', 'PodDisruptionBudget', disruptionBudgetOf] as const),
    ),
    since: '1.21',
    older: Object.freeze({
      ...resource<PodDisruptionBudget>(
        ...(['poddisruptionbudgets', 'policy', 'PodDisruptionBudget', betaDisruptionBudgetOf] as const),
      ),
      version: 'v1beta1',
      since: '1.5',
    }),
  }),
  nodes: resource<Node>('nodes', '', 'Node', nodeOf),
  events: resource<KubeEvent>('events', '', 'Event', eventOf),
});

/** The objects that one watch requests. */
export interface Scope {
  /** Undefined: all namespaces, or a resource without namespaces. */
  readonly namespace: string | undefined;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Few objects match: the server may list from its cache, which does not paginate. */
  readonly isSmall?: true;
  /** Without the right to it, the store is current all the same. */
  readonly isOptional?: true;
}

export function resourcePath(
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
