/** What gitaly_server_info shows of a Gitaly: the cgroup source reports it, or the Kubernetes source where cgroups are not read. */
import { anyValue, gauge } from '../metrics/metric.ts';
import { identityLabels } from './identity.ts';

/**
 * Where the cgroups of Git processes are: `sibling` of the container's scope (the chart's init-cgroups), `nested` in
 * it (containerd 2.1's cgroup_writable), or `none`: Git runs in the container's own cgroup.
 */
export const cgroupLayouts = ['sibling', 'nested', 'none'] as const;

export const serverInfo = gauge('gitaly_server_info', {
  help: 'Version, placement and cgroup layout of a Gitaly, as labels; always 1.',
  details:
    "cgroup_layout: where the cgroups of Git processes are. sibling: next to the container's scope. nested: in it. none: Gitaly's cgroups are disabled, Git runs in the container's own cgroup, and one OOM kill can end Gitaly itself. Labels whose value is unknown are empty.",
  origin: 'Kubernetes API or cgroup.pods-file; cgroup paths; uname',
  labels: {
    ...identityLabels,
    uid: anyValue,
    version: anyValue,
    qos_class: anyValue,
    priority_class: anyValue,
    runtime_version: anyValue,
    kernel_version: anyValue,
    // '' on a virtual machine, and where the API alone is read, not the cgroups: alerts on agents depend on it.
    cgroup_driver: anyValue,
    // '' where it is unknown, too.
    cgroup_layout: ['', ...cgroupLayouts],
  },
});

/** A Gitaly pod as the API reports it. What it does not report is absent or ''. */
export interface KnownPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly qosClass: string;
  readonly priorityClass: string;
  /** Gitaly's version from the tag of the container's image: `v18.10.0`. */
  readonly version: string;
  /** Of the node: `containerd://2.1.4`, `6.12.0-amd64`. */
  readonly runtimeVersion: string;
  readonly kernelVersion: string;
  /** Running or run last, without init containers. */
  readonly containers: readonly KnownContainer[];
}

export interface KnownContainer {
  /** `gitaly` for the one that runs Gitaly, whatever its name. */
  readonly name: string;
  /** Without the runtime's prefix: the hexadecimal part of `containerd://<hex>`. Empty until it is created. */
  readonly id: string;
  /** Of a pod that is not terminating. Absent where that is unknown. */
  readonly running?: boolean;
}
