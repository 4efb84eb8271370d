import { expect, test } from '@jest/globals';
import { expositionText } from '../../src/metrics/exposition.ts';
import { createProcessMetrics, processMetrics } from '../../src/metrics/process.ts';
import type { Block } from '../../src/metrics/samples.ts';
import { lintBlock } from '../support/lint-block.ts';
import { lintMetrics } from '../support/lint-metrics.ts';
import { promtoolCheckMetrics, testWithPromtool } from './promtool.ts';

const read = createProcessMetrics();

const reading = (block: Block, name: string): number | undefined => {
  const family = block.families.find(({ metric }) => metric.name === name);
  return family !== undefined && 'samples' in family ? family.samples[0]?.value : undefined;
};

/** Reads until the timers that measure the event loop have fired and a garbage collection was reported. */
async function readMeasured(): Promise<Block> {
  for (const deadline = performance.now() + 20_000; ; ) {
    const litter = Array.from({ length: 500_000 }, (_, i) => ({ i }));
    await new Promise((resolve) => setTimeout(resolve, 30 + (litter.length % 2)));
    const block = await read();
    const gc = block.families.find(({ metric }) => metric.name === 'nodejs_gc_duration_seconds');
    const collected = gc !== undefined && 'histograms' in gc && gc.histograms.length > 0;
    if (collected && reading(block, 'nodejs_eventloop_lag_p99_seconds') !== undefined) return block;
    if (performance.now() > deadline) throw new Error('nothing was measured in 20 s');
  }
}

test('declarations and samples of the process metrics pass the lint', async () => {
  expect(lintMetrics(processMetrics)).toEqual([]);
  expect(lintBlock(await readMeasured(), processMetrics)).toEqual([]);
});

testWithPromtool('promtool finds nothing in them', async () => {
  expect(promtoolCheckMetrics(expositionText([await readMeasured()]))).toEqual({ status: 0, problems: '' });
});

test('every declared metric has a plausible value', async () => {
  const block = await readMeasured();
  const present = block.families.filter(
    (family) => ('samples' in family ? family.samples : family.histograms).length > 0,
  );
  if (process.platform === 'linux')
    expect(present.map(({ metric }) => metric.name)).toEqual(processMetrics.map(({ name }) => name));
  expect(reading(block, 'process_resident_memory_bytes')).toBeGreaterThan(10e6);
  expect(reading(block, 'process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(Math.abs(reading(block, 'process_start_time_seconds')! - Date.now() / 1000)).toBeLessThan(3600);
  expect(reading(block, 'nodejs_eventloop_lag_max_seconds')).toBeLessThan(60);
});

test('an event loop lag that was not measured since the last reading is absent, not 0, NaN or 292 years', async () => {
  await readMeasured();
  // Immediately after the last reading, before a timer can have fired: prom-client returns NaN and 9.2e9 s here.
  const block = await read();
  for (const statistic of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    expect(reading(block, `nodejs_eventloop_lag_${statistic}_seconds`)).toBeUndefined();
  expect(expositionText([block])).not.toMatch(/NaN|Inf$/m);
});
