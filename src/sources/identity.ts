/** The labels that identify one Gitaly (or Praefect): the same in all metrics of `gitaly_server_*`. */
import { anyValue } from '../metrics/metric.ts';

export interface Identity {
  /** Empty on a virtual machine, like `pod`. */
  readonly namespace: string;
  /** The pod's name; its UID until the API has reported the name. */
  readonly pod: string;
  /** The Kubernetes node, or the host name of a virtual machine. */
  readonly node: string;
}

/** The components of GitLab that this exporter observes. */
export const components = ['gitaly', 'praefect'] as const;
export type Component = (typeof components)[number];

export const identityLabels = { namespace: anyValue, pod: anyValue, node: anyValue } as const;

/** `gitaly-1` for a virtual machine, `gitlab/gl-gitaly-0` for a pod. */
export const identityText = ({ namespace, pod, node }: Identity): string =>
  pod === '' ? node : namespace === '' ? pod : `${namespace}/${pod}`;

export const identityKey = ({ namespace, pod, node }: Identity): string =>
  JSON.stringify([namespace, pod, node]);
