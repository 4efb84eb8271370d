/** The rights that the settings need, one by one: deploy/kubernetes grants them, and doctor tests each. */
import type { Settings } from '../../../config/sections/index.ts';
import type { KubeObject } from '../objects/types.ts';
import { kubeResources, type Resource, resourcePath } from '../watch/resources.ts';
import { notServedText } from '../watch/watch-end.ts';

export interface Right {
  readonly verb: 'get' | 'list' | 'watch';
  /** API group; '' is the core group. */
  readonly group: string;
  /** `pods`, `nodes/proxy` */
  readonly resource: string;
  /** Undefined: all namespaces, or a resource without namespaces. */
  readonly namespace: string | undefined;
  /** A GET that is allowed exactly when the right is granted. For `get`, of a name that does not exist. */
  readonly path: string;
  /** The same in the API's older version, for a cluster that has no `path` (HTTP 404). */
  readonly olderPath?: string;
  /** What the API server lacks when it has neither path, with the Kubernetes version that has it. */
  readonly notServed?: string;
  /** What is unknown without the right. */
  readonly for: string;
}

export type RightsSettings = Pick<Settings['kubernetes'], 'role' | 'namespace' | 'scrape' | 'volumeStats'>;

/** No object has this name: a GET of it returns 404 with the right and 403 without it. */
export const absentName = 'gitaly-exporter-doctor-no-such-object';

export function rightsFor({ role, namespace, scrape, volumeStats }: RightsSettings): readonly Right[] {
  const { pods, statefulSets, disruptionBudgets, nodes, events } = kubeResources;
  const namespaces = namespace ?? [undefined];
  const isAgent = role === 'agent';
  const watched = [
    { resource: pods, for: "Gitaly's and Praefect's pods, and every metric about them" },
    ...(isAgent
      ? []
      : [
          { resource: statefulSets, for: 'rollouts and replicas' },
          { resource: disruptionBudgets, for: 'allowed disruptions' },
        ]),
    { resource: nodes, for: 'lost nodes, versions of kubelet, runtime and kernel' },
  ];
  const watches = watched.flatMap(({ resource, for: what }) =>
    (resource === nodes ? [undefined] : namespaces).flatMap((where) => rightsTo(resource, where, what)),
  );
  // Events of nodes are in `default`, whichever namespaces are watched.
  const eventNamespaces = namespace === undefined ? [undefined] : [...new Set([...namespace, 'default'])];
  const eventWatches = eventNamespaces.flatMap((where) =>
    rightsTo(events, where, 'evictions and OOM kills of nodes'),
  );
  const configMaps = namespaces.map(
    (where): Right => ({
      verb: 'get',
      group: '',
      resource: 'configmaps',
      namespace: where,
      path: `/api/v1/namespaces/${encodeURIComponent(where ?? 'default')}/configmaps/${absentName}`,
      for: "Gitaly's configured limits",
    }),
  );
  const kubelets: Right = {
    verb: 'get',
    group: '',
    resource: 'nodes/proxy',
    namespace: undefined,
    path: `/api/v1/nodes/${absentName}/proxy/stats/summary`,
    for: 'free space of volumes (kubernetes.volume-stats)',
  };
  return [
    ...watches,
    ...(isAgent ? [] : eventWatches),
    ...(scrape && !isAgent ? configMaps : []),
    ...(volumeStats && !isAgent ? [kubelets] : []),
  ];
}

const rightsTo = (
  resource: Resource<KubeObject>,
  namespace: string | undefined,
  what: string,
): readonly Right[] =>
  (['list', 'watch'] as const).map((verb) => ({
    verb,
    group: resource.group,
    resource: resource.name,
    namespace,
    path: resourcePath(resource, namespace),
    ...(resource.older === undefined
      ? {}
      : { olderPath: resourcePath(resource.older, namespace), notServed: notServedText(resource) }),
    for: what,
  }));

/** `list pods in namespace gitlab`, `watch statefulsets.apps in all namespaces`, `list nodes`. */
export function rightText({ verb, group, resource, namespace }: Right): string {
  const named = group === '' ? resource : `${resource}.${group}`;
  const where =
    namespace !== undefined
      ? ` in namespace ${namespace}`
      : resource.startsWith('nodes')
        ? ''
        : ' in all namespaces';
  return `${verb} ${named}${where}`;
}
