import { describe, expect, test } from '@jest/globals';
import { expositionText } from '../../src/metrics/exposition.ts';
import { type Block, single } from '../../src/metrics/samples.ts';
import { createBudget } from '../../src/scheduler/budget.ts';
import { failed, failureReasons } from '../../src/scheduler/outcome.ts';
import {
  databaseTimeFamilies,
  exporterTime,
  logLinesLost,
  reloadSuccess,
  reloadTime,
  selfMetrics,
} from '../../src/scheduler/self-metrics.ts';
import { promtoolCheckMetrics, testWithPromtool } from '../metrics/promtool.ts';
import { lintBlock } from '../support/lint-block.ts';
import { lintMetrics } from '../support/lint-metrics.ts';
import { createHarness, every, flatten, never, ok, scrapeSchedule } from './harness.ts';

const prefix = 'gitaly_exporter_';

/** The self-metrics of one collector, without prefix and label. */
function selfMetricsOf(flat: ReadonlyMap<string, number>, name: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [series, value] of flat) {
    const [, metric, rest] =
      /^gitaly_exporter_(\w+)\{collector="(\w+)"(?:,reason="\w+")?\}$/.exec(series) ?? [];
    if (metric !== undefined && rest === name && metric !== 'collector_failures_total')
      values[metric] = value;
  }
  return values;
}

test('every declaration passes the lint', () => {
  expect(lintMetrics(selfMetrics)).toEqual([]);
});

test('the names of the metric contract all exist', () => {
  expect(selfMetrics.map(({ labelNames, name }) => `${name.replace(prefix, '')}{${labelNames}}`)).toEqual(
    expect.arrayContaining([
      'build_info{version,node_version}',
      'collector_enabled{collector}',
      'collector_success{collector}',
      'collector_failures_total{collector,reason}',
      'collector_duration_seconds{collector}',
      'collector_last_success_timestamp_seconds{collector}',
      'collector_stale{collector}',
      'database_time_seconds_total{}',
      'database_time_limit_ratio{}',
      'series{collector}',
      'series_dropped_total{collector}',
    ]),
  );
});

describe('the self block', () => {
  test('is complete from the first scrape, before any run has ended', async () => {
    const { collector, clock, run } = createHarness();
    const a = collector('a', every(60_000), async (r) => {
      await clock.sleep(5000, r.signal);
      return ok('a');
    });
    const runner = run([a], { disabled: ['kubernetes_pods'] });
    const blocks = await runner.blocks({ signal: never });
    expect(Object.fromEntries(flatten(blocks))).toEqual({
      [`gitaly_exporter_build_info{version="1.2.3",node_version="${process.version}"}`]: 1,
      'gitaly_exporter_collector_enabled{collector="a"}': 1,
      'gitaly_exporter_collector_enabled{collector="kubernetes_pods"}': 0,
      'gitaly_exporter_collector_success{collector="a"}': 0,
      ...Object.fromEntries(
        failureReasons.map((reason) => [
          `gitaly_exporter_collector_failures_total{collector="a",reason="${reason}"}`,
          0,
        ]),
      ),
      'gitaly_exporter_collector_stale{collector="a"}': 0,
      'gitaly_exporter_collector_hung{collector="a"}': 0,
      'gitaly_exporter_collector_interval_seconds{collector="a"}': 60,
      'gitaly_exporter_collector_budget_limited{collector="a"}': 0,
      'gitaly_exporter_series{collector="a"}': 0,
      'gitaly_exporter_series_dropped_total{collector="a"}': 0,
    });
  });

  test('counts from 0 only the failure reasons that a collector can have, and others from their first failure', async () => {
    const { clock, collector, run } = createHarness();
    const a = collector('a', every(60_000), async (_, nth) =>
      nth === 1 ? ok('a') : failed('parse', 'garbage'),
    );
    const runner = run([{ ...a, failureReasons: ['refused', 'internal'] }]);
    const counted = async () =>
      [...flatten(await runner.blocks({ signal: never }))]
        .filter(([series]) => series.includes('failures_total'))
        .map(([series, count]) => `${/reason="(\w+)"/.exec(series)?.[1]} ${count}`);
    await clock.advance(1000);
    expect(await counted()).toEqual(['refused 0', 'internal 0']);
    await clock.advance(60_000);
    expect(await counted()).toEqual(['refused 0', 'internal 0', 'parse 1']);
  });

  test('reports the state of each collector', async () => {
    const { clock, collector, run } = createHarness();
    const startedAt = clock.now() / 1000;
    const a = collector('a', every(60_000), async (r, nth) => {
      await clock.sleep(1500, r.signal);
      return nth === 1 ? ok('a') : failed('permission', 'may not read');
    });
    const runner = run([a, collector('b', scrapeSchedule)]);
    await clock.advance(62_000);
    const blocks = await runner.blocks({ signal: never });
    const flat = flatten(blocks);

    expect(selfMetricsOf(flat, 'a')).toEqual({
      collector_enabled: 1,
      collector_success: 0,
      collector_duration_seconds: 1.5,
      collector_last_success_timestamp_seconds: startedAt,
      collector_stale: 0,
      collector_hung: 0,
      collector_interval_seconds: 60,
      collector_budget_limited: 0,
      series: 1,
      series_dropped_total: 0,
    });
    expect(flat.get('gitaly_exporter_collector_failures_total{collector="a",reason="permission"}')).toBe(1);
    expect(flat.get('gitaly_exporter_collector_failures_total{collector="a",reason="timeout"}')).toBe(0);
    expect(selfMetricsOf(flat, 'b')).toMatchObject({ collector_success: 1, series: 1 });
    expect(selfMetricsOf(flat, 'b')).not.toHaveProperty('collector_interval_seconds');
    expect(lintBlock(blocks.at(-1)!, selfMetrics)).toEqual([]);
  });

  test("includes the families of other modules, such as the database's time", async () => {
    const { clock, run } = createHarness();
    const budget = createBudget(0.01, clock);
    budget.charge(1250);
    const runner = run([], { extraFamilies: [() => databaseTimeFamilies(budget)] });
    const flat = flatten(await runner.blocks({ signal: never }));
    expect(flat.get('gitaly_exporter_database_time_seconds_total')).toBe(1.25);
    expect(flat.get('gitaly_exporter_database_time_limit_ratio')).toBe(0.01);
  });
});

testWithPromtool('promtool finds nothing in them', async () => {
  const { clock, collector, run } = createHarness();
  const budget = createBudget(0.01, clock);
  const runner = run([collector('a', every(60_000, { budget })), collector('b', scrapeSchedule)], {
    extraFamilies: [
      () => databaseTimeFamilies(budget),
      // The app and the server add these.
      () => [
        single(reloadSuccess, 1),
        single(reloadTime, 1_750_000_000),
        single(exporterTime, 1_750_000_001),
        single(logLinesLost, 0),
      ],
    ],
  });
  await clock.advance(1000);
  const blocks = await runner.blocks({ signal: never });
  expect(new Set(blocks.at(-1)!.families.map(({ metric }) => metric))).toEqual(new Set(selfMetrics));
  expect(promtoolCheckMetrics(expositionText(blocks))).toEqual({ status: 0, problems: '' });
});

test('a block keeps its identity until something new is read, so that its rendered text is reused', async () => {
  const { clock, collector, run } = createHarness();
  const runner = run([collector('a', every(60_000))]);
  await clock.advance(1000);
  const [first] = await runner.blocks({ signal: never });
  await clock.advance(30_000);
  const [second] = await runner.blocks({ signal: never });
  await clock.advance(30_000);
  const [third] = await runner.blocks({ signal: never });
  expect([second === first, third === first]).toEqual([true, false]);
});

test('each new snapshot is prepared, and a failure to prepare affects nothing else', async () => {
  const { clock, collector, lines, run } = createHarness();
  const prepared: Block[] = [];
  const runner = run([collector('a', every(20_000)), collector('b', scrapeSchedule)], {
    prepare: async (block) => {
      prepared.push(block);
      if (prepared.length === 2) throw new Error('no');
    },
  });
  await clock.advance(45_000);
  const [block] = await runner.blocks({ signal: never });
  expect(prepared).toHaveLength(3);
  expect(prepared.at(-1)).toBe(block);
  expect(lines.filter((line) => line.startsWith('error'))).toEqual([
    'error internal error: a block could not be prepared: Error: no',
  ]);
});
