/** Kubernetes: how its API is reached, what is watched of it, and which part of the metrics this exporter tells. */
import { listOf } from '../kinds/lists.ts';
import { duration } from '../kinds/quantities.ts';
import { filePath, oneOf, text, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;

export const kubernetesRoles = ['all', 'cluster', 'agent'] as const;

export const kubernetesSection = {
  title: 'Kubernetes',
  settings: {
    kubernetes: {
      enabled: setting(toggle(), {
        default: false,
        help: "Watch Gitaly's and Praefect's pods and what surrounds them on Kubernetes. Reads only.",
      }),
      role: setting(oneOf(kubernetesRoles), {
        default: 'all',
        help: 'Which part is told here, so that no series is told twice. agent: what is on this node only (cgroups; asks for the pods of its own node). cluster: all but what agents tell. all: one exporter alone.',
      }),
      kubeconfig: optional(filePath(), {
        unset: "the pod's own service account, else KUBECONFIG, else ~/.kube/config",
        help: "Address and credentials of the API server. A service account's token is read again as it is renewed.",
        example: '/etc/gitaly-exporter/kubeconfig',
      }),
      context: optional(text('<context>'), {
        unset: 'the current context of the kubeconfig',
        help: 'Context of the kubeconfig.',
        example: 'production',
      }),
      node: optional(text('<node>'), {
        unset: "this host's own name; an agent must have it",
        help: 'Name of the node that this exporter runs on, as Kubernetes knows it (spec.nodeName by the downward API). An agent asks for the pods of this node only.',
        example: 'ip-10-0-1-7.eu-central-1.compute.internal',
      }),
      namespace: optional(listOf(text('<namespace>'), 'list of namespaces'), {
        unset: 'all namespaces',
        help: 'Namespaces to watch; may be repeated. With it, rights in those namespaces suffice (a Role each), but nodes need a ClusterRole.',
        example: 'gitlab',
      }),
      gitalySelector: setting(text('<selector>'), {
        default: 'app=gitaly',
        help: "Labels of Gitaly's pods, as the GitLab chart sets them.",
      }),
      praefectSelector: setting(text('<selector>'), {
        default: 'app=praefect',
        help: "Labels of Praefect's pods, as the GitLab chart sets them.",
      }),
      scrape: setting(toggle(), {
        default: true,
        help: "Read the own metrics and the ConfigMaps of the pods that were found, as gitaly.target and gitaly.config-file do for those that are named. An agent leaves that to the cluster's exporter.",
      }),
      volumeStats: setting(toggle(), {
        default: false,
        help: "Ask each node's kubelet, through the API server, how full Gitaly's volumes are. Needs the right to get nodes/proxy, which is a strong one: off unless asked for.",
      }),
      staleAfter: setting(duration({ min: 10 * second, max: 3600 * second }), {
        default: 300 * second,
        help: 'What was last heard from the API is withdrawn when nothing was heard for this long, not even a bookmark.',
      }),
    },
  },
} as const satisfies Section;

/** What no single setting can say: undefined, or what is wrong. */
export function kubernetesRule({
  kubernetes,
  cgroup,
}: ValuesOf<(typeof kubernetesSection)['settings']> & {
  readonly cgroup: { readonly enabled: boolean };
}): string | undefined {
  if (!kubernetes.enabled && kubernetes.role !== 'all')
    return `kubernetes.role is ${kubernetes.role}, but kubernetes.enabled is false, so that there is no part to play; set --kubernetes.enabled, or leave the role out`;
  if (kubernetes.enabled && kubernetes.role === 'agent' && !cgroup.enabled)
    return "kubernetes.role is agent, but cgroup.enabled is false: an agent tells of its node's cgroups and of nothing else; set --cgroup.enabled, or another role";
  if (kubernetes.enabled && kubernetes.role === 'agent' && kubernetes.node === undefined)
    return "kubernetes.role is agent, but kubernetes.node is not set, and in a pod the host's name is not the node's: set it from spec.nodeName by the downward API, as deploy/kubernetes/agent.yaml does";
  if (kubernetes.enabled && kubernetes.role === 'cluster' && cgroup.enabled)
    return 'kubernetes.role is cluster, but cgroup.enabled is true: cgroups are what agents tell; unset one of them, or use role all where one exporter does both';
  return undefined;
}
