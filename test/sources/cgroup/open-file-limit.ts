/** A program for open-file-limit.test.ts: prints the outcomes before, at and after the limit on open files. */
import { closeSync, openSync } from 'node:fs';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createCgroupSource } from '../../../src/sources/cgroup/source.ts';

const [root = ''] = process.argv.slice(2);
const events = createEventLog(systemClock);
const source = createCgroupSource({
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
  for (const collector of source.collectors) {
    const outcome = await collector.collect({ signal, cause: 'due' });
    seen.push({ kind: outcome.kind, message: 'message' in outcome ? outcome.message : '' });
  }
  return seen;
}

function openUntilLimit(): number[] {
  const opened: number[] = [];
  try {
    for (;;) opened.push(openSync('/dev/null', 'r'));
  } catch {
    return opened;
  }
}

const before = await outcomes();
const opened = openUntilLimit();
const during = await outcomes();
for (const descriptor of opened) closeSync(descriptor);
const after = await outcomes();
await source.stop();
process.stdout.write(JSON.stringify({ before, during, after }));
