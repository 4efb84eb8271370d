/**
 * The captured trees of two kernels, one moment after the other, through real files. Between `during` and
 * `after` there are a dozen incidents of all levels: with a single reading, their number is known, but not the
 * level of two of them.
 */
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createFinder } from '../../../../src/sources/cgroup/discovery/finder.ts';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import type { OomLevel, OomTracker } from '../../../../src/sources/cgroup/oom/record.ts';
import { createOomTracker } from '../../../../src/sources/cgroup/oom/tracker.ts';
import {
  burstableUid,
  type CapturedTree,
  capturedKernels,
  capturedTree,
  guaranteedUid,
} from '../../../support/cgroup-fixtures.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

const [guaranteed, burstable] = [guaranteedUid, burstableUid];

let tree: CapturedTree | undefined;
afterEach(() => tree?.remove());

/** Changes the tree to a later moment, file by file, in the order in which a kernel updates its counters. */
function moveTo(root: string, later: CapturedTree): void {
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true }))
    if (entry.isFile() && entry.name.startsWith('memory.')) {
      const path = join(entry.parentPath, entry.name);
      try {
        copyFileSync(path.replace(root, later.root), path);
      } catch {
        // Removed by then: with its folder, below.
      }
    }
  const there = new Set(readdirSync(later.root, { recursive: true }).map(String));
  for (const path of readdirSync(root, { recursive: true }).map(String))
    if (!there.has(path)) rmSync(join(root, path), { recursive: true, force: true });
  later.remove();
}

const killsOf = (tracker: OomTracker): Record<string, Partial<Record<OomLevel, number>>> =>
  Object.fromEntries(
    tracker
      .totals()
      .map(({ identity, kills }) => [
        identity.pod,
        Object.fromEntries(Object.entries(kills).filter(([, count]) => count > 0)),
      ]),
  );

describe.each(capturedKernels)('kernel %s', (kernel) => {
  test('every kill of the kernel log is counted', async () => {
    tree = capturedTree(kernel, 'before');
    const { root } = tree;
    const files = createCgroupFiles({ root });
    const tracker = createOomTracker({ files, root, clock: createManualClock() });
    const finder = createFinder({ root, hostName: 'node-1' });
    const scan = async () => {
      const found = await finder.find(new AbortController().signal);
      if (found.kind === 'found') tracker.follow(found.trees);
      return tracker.settle();
    };
    expect(await scan()).toEqual([]);
    expect(killsOf(tracker)).toEqual({ [guaranteed]: {}, [burstable]: {} });

    moveTo(root, capturedTree(kernel, 'during'));
    await scan();
    const { [guaranteed]: soFar, [burstable]: none } = killsOf(tracker);
    expect([soFar, none]).toEqual([{ bucket: kernel === '6.1' ? 4 : 3 }, {}]);

    moveTo(root, capturedTree(kernel, 'after'));
    await scan();
    expect(killsOf(tracker)).toEqual({
      // 33 by the kernel's log: 26 by buckets' limits, 1 by Git's, 2 by the container's, 4 by the pod's.
      [guaranteed]:
        kernel === '6.1'
          ? { bucket: 26, git: 2, container: 3, pod: 2 }
          : { bucket: 27, git: 1, container: 3, pod: 2 },
      // 5: the group's first victim had exited before its group was killed, so that it was counted once. No
      // counter shows it.
      [burstable]: { bucket: 1, container: 3 },
    });
    const before = killsOf(tracker);
    moveTo(root, capturedTree(kernel, 'removed'));
    expect(await scan()).toEqual([]);
    expect(killsOf(tracker)).toEqual(before);
    tracker.close();
    files.close();
  });
});
