/** What cgroup.root is: the host's cgroup v2, something else, or nothing. Decided by files, not by mounts. */
import { statSync } from 'node:fs';
import { codeOf } from '../../../lib/errors.ts';
import { isForbidden, readErrorText, readTextFileSync } from '../../../lib/files.ts';
import type { Failure } from '../../../scheduler/outcome.ts';

export type Root =
  | {
      readonly kind: 'cgroup2';
      /** The host's topmost cgroup has no cgroup.type; a container's own, or another part of the tree, has one. */
      readonly isTopmost: boolean;
    }
  | ({
      readonly kind: 'failed';
      /** `hybrid`: the memory controller is in v1, or in neither. Undefined where it is unknown. */
      readonly version: 'v1' | 'hybrid' | undefined;
    } & Failure);

/** Folders of cgroup v1's controllers, as they are mounted. */
const v1Controllers = ['memory', 'cpu', 'cpu,cpuacct', 'cpuacct', 'blkio', 'pids', 'devices', 'systemd'];

export const hasFile = (path: string): boolean => {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
};

export function inspectRoot(root: string): Root {
  const failed: FailedRoot = (reason, what, version) => ({
    kind: 'failed',
    reason,
    message: `cgroup.root ${root} ${what}`,
    version,
  });
  const unreadable = (error: unknown): Root => {
    const code = codeOf(error);
    if (code === 'EMFILE' || code === 'ENFILE')
      return failed(
        'query',
        `cannot be read (${code}): raise the limit on the exporter's open files (LimitNOFILE, ulimit -n)`,
      );
    return isForbidden(error)
      ? failed('permission', 'cannot be read by this user: grant read and search permission there')
      : failed('parse', `cannot be read (${readErrorText(error)})`);
  };

  try {
    if (!statSync(root).isDirectory())
      return failed('parse', 'is not a directory: set it to where cgroup v2 is mounted');
  } catch (error) {
    const code = codeOf(error);
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? failed(
          'parse',
          "does not exist: set it to where the host's cgroup v2 is mounted, usually /sys/fs/cgroup",
        )
      : unreadable(error);
  }

  let controllers: string;
  try {
    controllers = readTextFileSync(`${root}/cgroup.controllers`, { maxBytes: 4096, noFollow: true });
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? withoutControllers(root, failed) : unreadable(error);
  }
  if (!controllers.split(/\s+/).includes('memory'))
    return failed(
      'parse',
      'is cgroup v2 without the memory controller: boot the host with cgroup v2 alone (systemd.unified_cgroup_hierarchy=1) and without cgroup_disable=memory',
      'hybrid',
    );
  return { kind: 'cgroup2', isTopmost: !hasFile(`${root}/cgroup.type`) };
}

type FailedRoot = (reason: Failure['reason'], what: string, version?: 'v1' | 'hybrid') => Root;

function withoutControllers(root: string, failed: FailedRoot): Root {
  const fix = 'boot the host with systemd.unified_cgroup_hierarchy=1; cgroup v1 is not supported';
  if (hasFile(`${root}/memory.usage_in_bytes`))
    return failed('parse', `is the memory controller of cgroup v1: ${fix}`, 'v1');
  const found = v1Controllers.filter(
    (name) => hasFile(`${root}/${name}/cgroup.procs`) || hasFile(`${root}/${name}/tasks`),
  );
  if (hasFile(`${root}/unified/cgroup.controllers`))
    return failed('parse', `is a hybrid of cgroup v1 and v2, whose memory is in v1: ${fix}`, 'hybrid');
  if (found.length > 0) return failed('parse', `is cgroup v1 (found ${found.join(', ')}): ${fix}`, 'v1');
  return failed(
    'parse',
    "is not cgroup v2 (it has no cgroup.controllers): mount the host's /sys/fs/cgroup there, or set cgroup.root to where it is mounted",
  );
}

/**
 * Options of the file system that the root is in, which are the same wherever it is mounted: fields after ` - ` of
 * /proc/self/mountinfo (proc_pid_mountinfo(5)). Undefined unless that is cgroup2.
 */
export function cgroupMountOptions(mountinfo: string, root: string): readonly string[] | undefined {
  let longest = -1;
  let found: readonly string[] | undefined;
  for (const line of mountinfo.split('\n')) {
    const [mount = '', fileSystem = ''] = line.split(' - ');
    const [, , , , point = ''] = mount.split(' ');
    const [type, , options = ''] = fileSystem.split(' ');
    const path = unescapedPath(point);
    const isAround = path !== '' && (root === path || root.startsWith(path === '/' ? path : `${path}/`));
    // The last of those at one place is on top.
    if (!isAround || path.length < longest) continue;
    longest = path.length;
    found = type === 'cgroup2' ? options.split(',') : undefined;
  }
  return found;
}

/** A blank in a path is written as \040. */
const unescapedPath = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
