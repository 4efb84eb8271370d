/** Which rights on Kubernetes the settings need, one by one: what deploy/kubernetes/rbac*.yaml grants, and doctor tries. */
import type { KubeObject } from '../objects/types.ts';
import {
  disruptionBudgets,
  events,
  nodes,
  pathOf,
  pods,
  type Resource,
  statefulSets,
} from '../watch/resources.ts';

export interface Right {
  readonly verb: 'get' | 'list' | 'watch';
  /** Of the API; '' is the core group. */
  readonly group: string;
  /** `pods`, `nodes/proxy` */
  readonly resource: string;
  /** Undefined: in all namespaces, or of what has none. */
  readonly namespace: string | undefined;
  /** A GET that is allowed exactly when the right is there. Names for `get` are of nothing that exists. */
  readonly path: string;
  /** What is not known without it. */
  readonly for: string;
}

export interface RightsSettings {
  readonly role: 'all' | 'cluster' | 'agent';
  readonly namespace: readonly string[] | undefined;
  readonly scrape: boolean;
  readonly volumeStats: boolean;
}

/** No object has it: a GET of it is answered with 404 where the right is there, and with 403 where it is not. */
export const nobody = 'gitaly-exporter-doctor-looks-for-no-such-name';

export function rightsFor({ role, namespace, scrape, volumeStats }: RightsSettings): readonly Right[] {
  const namespaces = namespace ?? [undefined];
  const isAgent = role === 'agent';
  const watched = [
    { resource: pods, for: "which pods are Gitaly's, and all that is told of them" },
    ...(isAgent
      ? []
      : [
          { resource: statefulSets, for: 'roll-outs and replicas' },
          { resource: disruptionBudgets, for: 'disruptions that are allowed' },
        ]),
    { resource: nodes, for: 'lost nodes, versions of kubelet, runtime and kernel' },
  ];
  const watches = watched.flatMap(({ resource, for: what }) =>
    (resource === nodes ? [undefined] : namespaces).flatMap((where) => rightsTo(resource, where, what)),
  );
  // Events of nodes lie in `default`, whatever namespaces are watched.
  const eventSpaces = namespace === undefined ? [undefined] : [...new Set([...namespace, 'default'])];
  const eventWatches = eventSpaces.flatMap((where) =>
    rightsTo(events, where, "evictions and the nodes' OOM kills"),
  );
  const configMaps = namespaces.map(
    (where): Right => ({
      verb: 'get',
      group: '',
      resource: 'configmaps',
      namespace: where,
      path: `/api/v1/namespaces/${encodeURIComponent(where ?? 'default')}/configmaps/${nobody}`,
      for: "Gitaly's configured limits",
    }),
  );
  const kubelets: Right = {
    verb: 'get',
    group: '',
    resource: 'nodes/proxy',
    namespace: undefined,
    path: `/api/v1/nodes/${nobody}/proxy/stats/summary`,
    for: 'room on volumes (kubernetes.volume-stats)',
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
    path: pathOf(resource, namespace),
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
