/** How cgroup v2 is mounted: with memory_localevents, no total has what is below it, as before kernel 5.2. */
import { readFileSync } from 'node:fs';

/** The mounts that this process sees; empty where there is no such file. */
export function readMounts(file = '/proc/self/mountinfo'): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Whether memory.events below the root counts each cgroup alone (Documentation/admin-guide/cgroup-v2.rst,
 * "memory_localevents"). `mountinfo`: as proc_pid_mountinfo(5) has it; the mount is the one that the root is in.
 */
export function hasLocalEvents(mountinfo: string, root: string): boolean {
  let longest = -1;
  let isLocal = false;
  for (const line of mountinfo.split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ');
    const [, , , , point = ''] = mount.split(' ');
    const [type, , options = ''] = filesystem.split(' ');
    const path = unescaped(point);
    const isAround = root === path || root.startsWith(path.endsWith('/') ? path : `${path}/`);
    // The last of those at one place is on top.
    if (!isAround || path.length < longest) continue;
    longest = path.length;
    isLocal = type === 'cgroup2' && options.split(',').includes('memory_localevents');
  }
  return isLocal;
}

/** A blank in a path is written as \040. */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
