/** The labels by which one Gitaly (or Praefect) is known: the same in all metrics of `gitaly_server_*`. */

export interface Identity {
  /** Empty on a virtual machine, like `pod`. */
  readonly namespace: string;
  /** The pod's name; its uid while nobody has told the name. */
  readonly pod: string;
  /** The Kubernetes node, or the virtual machine's own name. */
  readonly node: string;
}

/** `gitaly-1`, or `gitlab/gl-gitaly-0` for a pod. */
export const identityText = ({ namespace, pod, node }: Identity): string =>
  pod === '' ? node : namespace === '' ? pod : `${namespace}/${pod}`;

export const identityKey = ({ namespace, pod, node }: Identity): string =>
  JSON.stringify([namespace, pod, node]);
