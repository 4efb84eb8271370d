import { describe, expect, test } from '@jest/globals';
import { cgroupMountOptions } from '../../../../src/sources/cgroup/discovery/root.ts';

const disk = '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw';
const plain = '30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot';
const local = '31 24 0:26 / /host\\040cgroup ro,nosuid - cgroup2 none rw,memory_localevents';
const mounts = [disk, plain, local].join('\n');

describe('memory_localevents', () => {
  test.each([
    ['/sys/fs/cgroup', mounts, false],
    ['/host cgroup', mounts, true],
    ['/host cgroup/kubepods.slice', mounts, true],
    ['/host cgroups', mounts, false],
    ['/tmp/captured', mounts, false],
    ['/host cgroup', `${mounts}\n40 24 0:9 / /host\\040cgroup rw - tmpfs tmpfs rw`, false],
    ['/sys/fs/cgroup', '', false],
    ['/sys/fs/cgroup', 'garbage - \n- - -', false],
  ])('%s', (root, text, expected) => {
    expect(cgroupMountOptions(text, root)?.includes('memory_localevents') ?? false).toBe(expected);
  });
});
