/**
 * What the names of cgroups mean. Anyone who may create cgroups chooses their names, so only strict matches are
 * accepted; every other one is at most a folder to search.
 */
import type { CgroupDriver } from '../tree.ts';

/** A folder worth searching: hierarchy_root of Gitaly's configuration, units and scopes of systemd. */
export const isSearchable = (name: string): boolean =>
  /^[\w@:\\+=,.-]{1,200}$/.test(name) && !/^\.+$/.test(name);

/** gitaly-<pid> (Gitaly's internal/cgroups: config.GetGitalyProcessTempDir and cgroupHandler.currentProcessCgroup). */
export const gitalyPidOf = (name: string): string | undefined => /^gitaly-([1-9]\d{0,9})$/.exec(name)?.[1];

/** Far more than anyone configures. */
const maxBuckets = 100_000;

/** repos-<n>. Without a regular expression: there may be 10,000. */
export function bucketOf(name: string): number | undefined {
  const digits = name.length - 6;
  if (digits < 1 || digits > 5 || !name.startsWith('repos-')) return undefined;
  let bucket = 0;
  for (let at = 6; at < name.length; at++) {
    const digit = name.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9 || (digit === 0 && at === 6 && digits > 1)) return undefined;
    bucket = bucket * 10 + digit;
  }
  return bucket < maxBuckets ? bucket : undefined;
}

/**
 * The kubelet's cgroup (pkg/kubelet/cm/cgroup_manager_linux.go): `kubepods.slice` or `kubepods`. With --cgroup-root
 * the systemd names repeat those above them: `kubelet-kubepods.slice`.
 */
export function kubepodsDriverOf(name: string): CgroupDriver | undefined {
  if (name === 'kubepods') return 'cgroupfs';
  return /^(?:[\w@:\\+=,.-]{1,150}-)?kubepods\.slice$/.test(name) ? 'systemd' : undefined;
}

export const qosClasses = { burstable: 'Burstable', besteffort: 'BestEffort' } as const;
type QosFolder = keyof typeof qosClasses;
export const qosFolders = Object.keys(qosClasses) as readonly QosFolder[];

/** The folder of a QoS class: `kubepods-burstable.slice` below `kubepods.slice`, `burstable` below `kubepods`. */
export const qosFolderName = (kubepods: string, qos: QosFolder): string =>
  kubepods.endsWith('.slice') ? `${kubepods.slice(0, -'.slice'.length)}-${qos}.slice` : qos;

/** A UID as the API server makes them, or the hash of a static pod's file. */
const podUid = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/;

/** The UID in the name of a pod's folder: `<parent>-pod<uid with _ for ->.slice`, or `pod<uid>`. */
export function podUidOf(name: string, parent: string, driver: CgroupDriver): string | undefined {
  const prefix = driver === 'systemd' ? `${parent.slice(0, -'.slice'.length)}-pod` : 'pod';
  const suffix = driver === 'systemd' ? '.slice' : '';
  if (!name.startsWith(prefix) || !name.endsWith(suffix)) return undefined;
  const escaped = name.slice(prefix.length, name.length - suffix.length);
  // systemd reads `-` as a level of its own.
  if (driver === 'systemd' && escaped.includes('-')) return undefined;
  const uid = driver === 'systemd' ? escaped.replaceAll('_', '-') : escaped;
  return podUid.test(uid) ? uid : undefined;
}

/**
 * A container's ID, from its scope directly below the pod's slice: `cri-containerd-<id>.scope`, `crio-<id>.scope`,
 * `docker-<id>.scope`; with the cgroupfs driver `<id>` or `crio-<id>`. CRI-O's conmon monitors a container and is none.
 */
export function containerIdOf(name: string): string | undefined {
  const [, runtime, id] = /^(?:([a-z][a-z-]{0,30})-)?([0-9a-f]{12,64})(?:\.scope)?$/.exec(name) ?? [];
  return runtime === 'crio-conmon' || (runtime === undefined && id?.length !== 64) ? undefined : id;
}

/**
 * The same outside of pods, in any form: `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`, which a container runtime
 * without the systemd driver makes of the kubelet's systemd name.
 */
export const strayContainerIdOf = (name: string): string | undefined =>
  /(?:^|[:-])([0-9a-f]{64})(?:\.scope)?$/.exec(name)?.[1];
