import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type OomWatch, watchOomEvents } from '../../../../src/sources/cgroup/oom/watch.ts';
import { podPath, podTree } from './trees.ts';

const first = podTree({ uid: 'aaaa0001' });
const second = podTree({ uid: 'aaaa0002' });

let root: string;
let events: number;
let watch: OomWatch;
let closing: AbortController;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'oom-watch-'));
  events = 0;
  closing = new AbortController();
  watch = watchOomEvents({
    root,
    signal: closing.signal,
    onEvent: () => {
      events++;
    },
  });
});
afterEach(() => {
  closing.abort();
  rmSync(root, { recursive: true });
});

const fileOf = (uid: string): string => join(root, podPath({ uid }), 'memory.events');
function make(uid: string): void {
  mkdirSync(join(root, podPath({ uid })), { recursive: true });
  writeFileSync(fileOf(uid), 'oom_kill 0\n');
}
const move = (uid: string, kills: number): void => writeFileSync(fileOf(uid), `oom_kill ${kills}\n`);

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; waited < 10_000 && !condition(); waited += 5) await sleep(5);
  expect(condition()).toBe(true);
}

/** Watches of inotify that this process has. */
const watches = (): number =>
  readdirSync('/proc/self/fdinfo')
    .map((descriptor) => {
      try {
        return readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8');
      } catch {
        return '';
      }
    })
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('inotify wd:')).length;

describe('the watch of memory.events', () => {
  test('reports a change of any Gitaly, and a burst of changes in few calls', async () => {
    make('aaaa0001');
    make('aaaa0002');
    watch.follow([first, second]);
    expect(watch.state()).toEqual({ armed: 2, failed: [] });
    move('aaaa0002', 1);
    await until(() => events > 0);
    const before = events;
    for (let each = 0; each < 200; each++) move('aaaa0001', each);
    await until(() => events > before);
    expect(events - before).toBeLessThan(20);
  });

  test('reports a missing file as failed, and watches it when it is followed again', async () => {
    watch.follow([first]);
    expect(watch.state()).toEqual({ armed: 0, failed: [{ tree: 'aaaa0001', code: 'ENOENT' }] });
    make('aaaa0001');
    watch.follow([]);
    watch.follow([first]);
    expect(watch.state()).toEqual({ armed: 1, failed: [] });
    move('aaaa0001', 1);
    await until(() => events > 0);
  });

  test('watches a re-created cgroup of the same name', async () => {
    make('aaaa0001');
    watch.follow([first]);
    // Both exist for a moment, so that they are two files for sure.
    make('aaaa0002');
    rmSync(join(root, podPath({ uid: 'aaaa0001' })), { recursive: true });
    renameSync(join(root, podPath({ uid: 'aaaa0002' })), join(root, podPath({ uid: 'aaaa0001' })));
    watch.follow([first]);
    expect(watch.state().armed).toBe(1);
    // The removal itself may cause a few calls.
    const before = events;
    let moves = 0;
    await until(() => {
      move('aaaa0001', moves++);
      return events >= before + 5;
    });
  });

  test('leaves no watch of thousands of removed cgroups, nor after its signal', async () => {
    make('aaaa0001');
    make('aaaa0002');
    watch.follow([first]);
    const before = watches();
    expect(before).toBeGreaterThan(0);
    for (let each = 0; each < 2000; each++) watch.follow(each % 2 === 0 ? [second] : [first]);
    expect(watch.state().armed).toBe(1);
    expect(watches()).toBe(before);
    closing.abort();
    expect(watches()).toBe(before - 1);
    expect(watch.state()).toEqual({ armed: 0, failed: [] });
    watch.follow([first]);
    expect(watch.state()).toEqual({ armed: 0, failed: [] });
    move('aaaa0001', 9);
    expect(events).toBe(0);
  });

  test('watches nothing if the signal has aborted already', () => {
    make('aaaa0001');
    const late = watchOomEvents({ root, onEvent: () => {}, signal: AbortSignal.abort() });
    late.follow([first]);
    expect(late.state()).toEqual({ armed: 0, failed: [] });
  });
});
