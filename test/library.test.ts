/** The library's public face loads, and its parts fit together as docs/library.md shows. */
import { expect, test } from '@jest/globals';
import * as library from '../src/index.ts';

test('a collector of one’s own runs and is read as the documentation shows', async () => {
  const ready = library.gauge('my_ready', { help: 'Whether it is.', origin: 'this test' });
  const runner = library.createRunner({
    collectors: [
      {
        name: 'mine',
        title: 'A collector of my own',
        metrics: [ready],
        schedule: { kind: 'scrape', timeoutMs: 1000 },
        collect: async () => ({ kind: 'data', block: { families: [library.single(ready, 1)] } }),
      },
    ],
    clock: library.systemClock,
    log: library.silentLog,
    build: { version: '1', revision: '', nodeVersion: process.version },
  });
  runner.start();
  const text = library.expositionText(await runner.blocks({ signal: AbortSignal.timeout(5000) }));
  await runner.stop();
  expect(text).toContain('\nmy_ready 1\n');
  expect(text).toContain('gitaly_exporter_collector_success{collector="mine"} 1');
});

test('every metric of the catalog passes our own lint, and none is declared twice', () => {
  expect(library.lintMetrics(library.everyMetric)).toEqual([]);
});

test('the bucket of a repository, and a cgroup room, are to be had without the program', async () => {
  expect(
    library.bucketsOf('default', '@hashed/ab/cd/abcd.git', { count: 100, maxCgroupsPerRepo: 1 }),
  ).toHaveLength(1);
  const room = library.createCgroupSource({
    root: import.meta.dirname,
    hostName: 'here',
    buckets: 'top',
    topBuckets: 20,
    pollIntervalMs: 500,
    clock: library.systemClock,
    events: library.createEventLog(library.systemClock),
    log: library.silentLog,
  });
  const [levels] = room.collectors;
  const outcome = await levels?.collect({ signal: AbortSignal.timeout(5000), cause: 'scrape' });
  await room.stop();
  expect(outcome).toMatchObject({ kind: 'failed', reason: 'parse' });
});
