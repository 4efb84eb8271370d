import { describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../src/lib/log.ts';
import type { Found } from '../../../src/sources/cgroup/discovery/found.ts';
import type { OomKill } from '../../../src/sources/cgroup/oom/record.ts';
import type { GitalyTree } from '../../../src/sources/cgroup/tree.ts';
import { startTreeWatch, type TreeWatch } from '../../../src/sources/cgroup/tree-watch.ts';
import { createManualClock, settle } from '../../support/manual-clock.ts';

const found: Found = { kind: 'found', trees: [], missing: [], unlisted: [], failures: [], folders: [] };
const { signal } = new AbortController();

function watching(
  finds: () => Promise<Found> = async () => found,
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
    log: { ...silentLog, error: (_fields, message) => void seen.errors.push(message) },
  });
  return { clock, seen, watch };
}

describe('when it looks and counts', () => {
  test('looks at once and each minute, counts at each poll', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(59_000);
    expect(seen.finds).toBe(1);
    expect(seen.settles).toBeGreaterThan(110);
    await clock.advance(2000);
    expect(seen.finds).toBe(2);
    await watch.stop();
  });

  test('a notification is answered within a twentieth of a second, a swarm of them once', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(100);
    const { finds, settles } = seen;
    for (let each = 0; each < 100; each++) watch.lookSoon();
    for (let each = 0; each < 100; each++) watch.countSoon();
    await clock.advance(50);
    expect({ finds: seen.finds - finds, settles: seen.settles - settles }).toEqual({ finds: 1, settles: 1 });
    await watch.stop();
  });

  test('a scrape counts always, and looks when the last look is old', async () => {
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

  test('never two at a time, whoever asks', async () => {
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

  test('who waits behind a look that hangs may leave', async () => {
    const hanging = Promise.withResolvers<Found>();
    const { seen, watch } = watching(() => hanging.promise);
    await settle();
    const leaving = new AbortController();
    const waiting = watch.refresh(1000, leaving.signal);
    leaving.abort();
    expect((await waiting).lookedAt).toBeUndefined();
    hanging.resolve(found);
    await settle();
    expect(seen.finds).toBe(1);
    await watch.stop();
  });

  test('after stop nothing goes on', async () => {
    const { clock, seen, watch } = watching();
    await clock.advance(1000);
    await watch.stop();
    const before = { ...seen };
    watch.lookSoon();
    await clock.advance(120_000);
    expect(seen).toEqual(before);
  });
});

describe('what goes wrong', () => {
  test('a look that fails follows nobody anew, and says why until one comes through', async () => {
    let next: Found = { kind: 'failed', reason: 'parse', message: 'is cgroup v1' };
    const { seen, watch } = watching(async () => next);
    expect((await watch.refresh(0, signal)).failure).toEqual({ reason: 'parse', message: 'is cgroup v1' });
    expect(seen.follows).toEqual([]);
    next = found;
    expect((await watch.refresh(0, signal)).failure).toBeUndefined();
    expect(seen.follows).toHaveLength(1);
    await watch.stop();
  });

  test('a look that was given up changes nothing, and is made up for', async () => {
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

  test('a bug is said once, and polling goes on', async () => {
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
