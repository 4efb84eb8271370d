/** The public exports work together as docs/library.md shows. */
import { expect, test } from '@jest/globals';
import * as library from '../../src/index.ts';
import { lintMetrics } from '../support/lint-metrics.ts';

test('the runner runs a collector of another program, and its metrics are rendered', async () => {
  const ready = library.gauge('my_ready', { help: 'Whether it is ready.', origin: 'this test' });
  const runner = library.createRunner({
    collectors: [
      {
        name: 'mine',
        title: 'A collector of another program',
        metrics: [ready],
        schedule: { kind: 'scrape', timeoutMs: 1000 },
        collect: async () => ({ kind: 'data', block: { families: [library.single(ready, 1)] } }),
      },
    ],
    clock: library.systemClock,
    log: library.silentLog,
    version: '1',
  });
  runner.start();
  const text = library.expositionText(await runner.blocks({ signal: AbortSignal.timeout(5000) }));
  await runner.stop();
  expect(text).toContain('\nmy_ready 1\n');
  expect(text).toContain('gitaly_exporter_collector_success{collector="mine"} 1');
});

test('every declared metric passes the lint, and none is declared twice', () => {
  expect(lintMetrics(library.everyMetric)).toEqual([]);
});

test('the bucket of a repository and the cgroup source are usable without the program', async () => {
  expect(
    library.bucketsOf('default', '@hashed/ab/cd/abcd.git', { count: 100, maxCgroupsPerRepo: 1 }),
  ).toHaveLength(1);
  const source = library.createCgroupSource({
    root: import.meta.dirname,
    hostName: 'here',
    buckets: 'top',
    topBuckets: 20,
    pollIntervalMs: 500,
    clock: library.systemClock,
    events: library.createEventLog(library.systemClock),
    log: library.silentLog,
  });
  const [levels] = source.collectors;
  const outcome = await levels?.collect({ signal: AbortSignal.timeout(5000), cause: 'scrape' });
  await source.stop();
  expect(outcome).toMatchObject({ kind: 'failed', reason: 'parse' });
});
