/** Settings of Kubernetes: access to the API, the objects to watch, and the role of this exporter. */
import { listOf } from '../kinds/lists.ts';
import { duration } from '../kinds/quantities.ts';
import { choice, filePath, text, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../setting.ts';

const second = 1000;

export const kubernetesRoles = ['all', 'cluster', 'agent'] as const;

export const kubernetesSection = {
  title: 'Kubernetes',
  settings: {
    kubernetes: {
      enabled: setting(toggle(), {
        default: false,
        help: "Watch Gitaly's and Praefect's pods, and their StatefulSets, disruption budgets, nodes and events. Read-only.",
      }),
      role: setting(choice(kubernetesRoles), {
        default: 'all',
        help: 'Which metrics this exporter reports, so that no series is reported twice. agent: those of its own node (cgroups). cluster: all others. all: a single exporter reports everything.',
      }),
      kubeconfig: optional(filePath(), {
        unset: "the pod's own service account, else KUBECONFIG, else ~/.kube/config",
        help: 'Kubeconfig file with the address and credentials of the API server. Renewed service account tokens are read automatically.',
        example: '/etc/gitaly-exporter/kubeconfig',
      }),
      context: optional(text('<context>'), {
        unset: 'the current context of the kubeconfig',
        help: 'Context of the kubeconfig.',
        example: 'production',
      }),
      node: optional(text('<node>'), {
        unset: 'the host name; required for an agent',
        help: 'Name of the Kubernetes node that this exporter runs on (spec.nodeName through the downward API). An agent watches the pods of this node only.',
        example: 'ip-10-0-1-7.eu-central-1.compute.internal',
      }),
      namespace: optional(listOf(text('<namespace>'), 'list of namespaces'), {
        unset: 'all namespaces',
        help: 'Namespaces to watch; may be repeated. Rights in these namespaces are then sufficient (a Role in each), except for nodes, which need a ClusterRole.',
        example: 'gitlab',
      }),
      gitalySelector: setting(text('<selector>'), {
        default: 'app=gitaly',
        help: "Label selector of Gitaly's pods. The default matches the GitLab chart.",
      }),
      praefectSelector: setting(text('<selector>'), {
        default: 'app=praefect',
        help: "Label selector of Praefect's pods. The default matches the GitLab chart.",
      }),
      scrape: setting(toggle(), {
        default: true,
        help: 'Scrape the /metrics of the pods and read their ConfigMaps, as gitaly.target and gitaly.config-file do without Kubernetes. Not with role agent.',
      }),
      volumeStats: setting(toggle(), {
        default: false,
        help: "Read the usage of Gitaly's volumes from each node's kubelet, through the API server. Off by default, because it needs the right to get nodes/proxy, which gives access to much more.",
      }),
      staleAfter: setting(duration({ min: 10 * second, max: 3600 * second }), {
        default: 300 * second,
        help: 'Drop data from the API after this time without an event or bookmark from it.',
      }),
    },
  },
} as const satisfies Section;

/** Constraints between settings: undefined, or what is wrong. */
export function kubernetesRule({
  kubernetes,
  cgroup,
}: ValuesOf<(typeof kubernetesSection)['settings']> & {
  readonly cgroup: { readonly enabled: boolean };
}): string | undefined {
  if (!kubernetes.enabled && kubernetes.role !== 'all')
    return `kubernetes.role is ${kubernetes.role}, but kubernetes.enabled is false: set --kubernetes.enabled, or remove the role`;
  if (kubernetes.enabled && kubernetes.role === 'agent' && !cgroup.enabled)
    return "kubernetes.role is agent, but cgroup.enabled is false: an agent reports its node's cgroups only; set --cgroup.enabled, or another role";
  if (kubernetes.enabled && kubernetes.role === 'agent' && kubernetes.node === undefined)
    return 'kubernetes.role is agent, but kubernetes.node is not set, and the host name of a pod is not that of its node: set it from spec.nodeName through the downward API, as in deploy/kubernetes/base/agent.yaml';
  if (kubernetes.enabled && kubernetes.role === 'cluster' && cgroup.enabled)
    return 'kubernetes.role is cluster, but cgroup.enabled is true: agents report cgroups; unset one of them, or set role all for an exporter that does both';
  return undefined;
}
