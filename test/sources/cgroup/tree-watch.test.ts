import { describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../src/lib/log.ts';
import type { Discovery } from '../../../src/sources/cgroup/discovery/finder.ts';
import type { OomKill } from '../../../src/sources/cgroup/oom/record.ts';
import type { GitalyTree } from '../../../src/sources/cgroup/tree.ts';
import { startTreeWatch, type TreeWatch } from '../../../src/sources/cgroup/tree-watch.ts';
import { createManualClock, settle } from '../../support/manual-clock.ts';

const found: Discovery = {
  kind: 'found',
  trees: [],
  missing: [],
  unlisted: [],
  failures: [],
  notes: [],
  isPartial: false,
  folders: [],
};
const { signal } = new AbortController();

function watching(
  finds: () => Promise<Discovery> = async () => found,
  settles: () => Promise<OomKill[]> = async () => [],
) {
  const clock = createManualClock();
  const seen = {
    finds: 0,
    settles: 0,
    follows: [] as (readonly GitalyTree[])[],
    kills: 0,
    errors: [] as string[],
  };
  const watch: TreeWatch = startTreeWatch({
    finder: {
      find() {
        seen.finds++;
        return finds();
      },
    },
    tracker: {
      follow: (trees) => void seen.follows.push(trees),
      settle() {
        seen.settles++;
        return settles();
      },
    },
    onFound: () => undefined,
    onKills: (kills) => {
      seen.kills += kills.length;
    },
    pollIntervalMs: 500,
    clock,
    log: { ...silentLog, error: (fields: object) => void seen.errors.push(JSON.stringify(fields)) },
  });
  return { clock, seen, watch };
}

describe('the tree watch', () => {
  test('scans the tree immediately and every minute, and counts kills at every poll', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(59_000);
    expect(seen.finds).toBe(1);
    expect(seen.settles).toBeGreaterThan(110);
    await clock.advance(2000);
    expect(seen.finds).toBe(2);
    await watch.stop();
  });

  test('scans and counts once within 50 ms for a burst of notifications', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(100);
    const { finds, settles } = seen;
    for (let each = 0; each < 100; each++) watch.scanSoon();
    for (let each = 0; each < 100; each++) watch.countSoon();
    await clock.advance(50);
    expect({ finds: seen.finds - finds, settles: seen.settles - settles }).toEqual({ finds: 1, settles: 1 });
    await watch.stop();
  });

  test('counts at most twenty times a second in a storm of notifications, and once more after the last', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(100);
    const { finds, settles } = seen;
    for (let each = 0; each < 1000; each++) {
      watch.countSoon();
      await clock.advance(1);
    }
    const counted = seen.settles - settles;
    expect(counted).toBeGreaterThan(10);
    expect(counted).toBeLessThanOrEqual(21);
    watch.countSoon();
    await clock.advance(50);
    expect({ finds: seen.finds - finds, counts: seen.settles - settles }).toEqual({
      finds: 0,
      counts: counted + 1,
    });
    await watch.stop();
  });

  test('always counts at a refresh, and scans if the last scan is old', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(1000);
    const { finds, settles } = seen;
    await watch.refresh(5000, signal);
    expect({ finds: seen.finds - finds, settles: seen.settles - settles }).toEqual({ finds: 0, settles: 1 });
    await clock.advance(5000);
    await watch.refresh(5000, signal);
    expect(seen.finds - finds).toBe(1);
    await watch.stop();
  });

  test('never scans twice at the same time', async () => {
    let going = 0;
    let most = 0;
    const { watch } = watching(async () => {
      most = Math.max(most, ++going);
      await settle();
      going--;
      return found;
    });
    await Promise.all(Array.from({ length: 10 }, () => watch.refresh(0, signal)));
    expect(most).toBe(1);
    await watch.stop();
  });

  test('ends a refresh that waits for a hanging scan when its signal aborts', async () => {
    const hanging = Promise.withResolvers<Discovery>();
    const { seen, watch } = watching(() => hanging.promise);
    await settle();
    const aborting = new AbortController();
    const waiting = watch.refresh(1000, aborting.signal);
    aborting.abort();
    expect((await waiting).scannedAt).toBeUndefined();
    hanging.resolve(found);
    await settle();
    expect(seen.finds).toBe(1);
    await watch.stop();
  });

  test('runs nothing after stop', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(1000);
    await watch.stop();
    const before = { ...seen };
    watch.scanSoon();
    await clock.advance(120_000);
    expect(seen).toEqual(before);
  });
});

describe('a failure of the tree watch', () => {
  test('in a scan keeps the followed trees, and is reported until a scan succeeds', async () => {
    let next: Discovery = { kind: 'failed', reason: 'parse', message: 'is cgroup v1' };
    const { seen, watch } = watching(async () => next);
    expect((await watch.refresh(0, signal)).failure).toEqual({ reason: 'parse', message: 'is cgroup v1' });
    expect(seen.follows).toEqual([]);
    next = found;
    expect((await watch.refresh(0, signal)).failure).toBeUndefined();
    expect(seen.follows).toHaveLength(1);
    await watch.stop();
  });

  test('by an abort changes nothing, and the scan is repeated', async () => {
    const late = new AbortController();
    const { seen, watch } = watching(async () => {
      if (seen.finds !== 2) return found;
      late.abort();
      return { kind: 'failed', reason: 'timeout', message: 'too long' };
    });
    await watch.refresh(60_000, signal);
    expect((await watch.refresh(0, late.signal)).failure).toBeUndefined();
    await watch.refresh(60_000, signal);
    expect(seen.finds).toBe(3);
    await watch.stop();
  });

  test('by an internal error is logged once, and polling continues', async () => {
    const { clock, seen, watch } = watching(undefined, async () => {
      throw new Error('no such thing');
    });
    await clock.advance(5000);
    expect(seen.errors).toEqual([expect.stringContaining('no such thing')]);
    expect(seen.settles).toBeGreaterThan(8);
    await expect(watch.refresh(60_000, signal)).rejects.toThrow('no such thing');
    await watch.stop();
  });
});
