/** A program for descriptors.test.ts: a room that runs out of descriptors, then gets them back. Prints what it saw. */
import { closeSync, openSync } from 'node:fs';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createCgroupSource } from '../../../src/sources/cgroup/source.ts';

const [root = ''] = process.argv.slice(2);
const events = createEventLog(systemClock);
const room = createCgroupSource({
  root,
  hostName: 'node-1',
  buckets: 'all',
  topBuckets: 20,
  pollIntervalMs: 60_000,
  clock: systemClock,
  events,
  log: silentLog,
});
const { signal } = new AbortController();

async function outcomes(): Promise<unknown[]> {
  const seen: unknown[] = [];
  for (const collector of room.collectors) {
    const outcome = await collector.collect({ signal, cause: 'due' });
    seen.push({ kind: outcome.kind, message: 'message' in outcome ? outcome.message : '' });
  }
  return seen;
}

function takeAll(): number[] {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    return taken;
  }
}

const before = await outcomes();
const taken = takeAll();
const during = await outcomes();
for (const descriptor of taken) closeSync(descriptor);
const after = await outcomes();
await room.stop();
process.stdout.write(JSON.stringify({ before, during, after }));
