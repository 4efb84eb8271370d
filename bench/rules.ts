/**
 * The cost of all recording rules and alerts in a real Prometheus that holds 50 Gitaly pods and 20 storages: the time of
 * one evaluation of each group. The goal is a second for all of them.
 *
 *     node bench/rules.ts [pods] [folder]
 *
 * The folder has earlier rules files (`git show REVISION:alerts/gitaly.rules.yaml`), which the same Prometheus evaluates in
 * turn with the present ones.
 *
 * Each series has as much history as the longest range of any rule reads, up to a day: a sample per minute of the last
 * two hours, and one per 5 minutes before. Prometheus evaluates every 5 s. Shown are its CPU time for a cycle of all groups,
 * the number to trust on a busy machine; the fastest and the median evaluation of each group; and the costliest rules by
 * their median. The recorded series have the history of the run only. Most alerts fire, for most servers, so
 * that the cost of their texts is part of it.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { alertGroups } from '../alerts/index.ts';
import { everyMetric } from '../src/app/catalog.ts';
import { parseDuration } from '../src/lib/format.ts';
import { externalMetrics } from '../src/monitoring/external-metrics.ts';
import { defaultMonitoringSettings } from '../src/monitoring/settings.ts';
import { type BenchPrometheus, startPrometheusOn } from './prometheus.ts';
import { type SeriesFamily, storages, times, writeWorld } from './world.ts';

const pods = Number(process.argv[2] ?? 50);
const present = join(import.meta.dirname, '../alerts');
const earlier = process.argv[3];
/** Of each set of rules, in turn. */
const turns = earlier === undefined ? 1 : 2;
const turnSeconds = 50;
const shownRules = 12;
const step = 60;
/** promtool reads the whole file for every two hours of it. */
const day = 86_400;
const recent = 7200;
const sparseStep = 300;
/** Samples after now: the evaluations take a while to run. */
const ahead = 900;
const goalMs = 1000;
const end = Math.floor(Date.now() / 1000 / step) * step + ahead;

const { thresholds } = defaultMonitoringSettings;
const expressions = alertGroups(defaultMonitoringSettings).flatMap(({ alerts, recordings }) => [
  ...alerts.map(({ expression }) => expression.text),
  ...recordings.flatMap(({ rules }) => rules(thresholds).map(({ expression }) => expression.text)),
]);

const secondsIn = (duration: string | undefined): number =>
  duration === undefined ? 0 : (parseDuration(duration) ?? 0) / 1000;

/**
 * The ranges over which the rules read the metric, at their offsets, and the 5 minutes of lookback of an instant
 * selector.
 */
function timesOf({ name }: SeriesFamily): readonly number[] {
  const pattern = new RegExp(`\\b${name}\\w*(?:\\{[^}]*\\})?(?:\\[(\\w+)\\])?(?: offset (\\w+))?`, 'g');
  const found = new Set<number>();
  for (const [, range, offset] of expressions.flatMap((text) => [...text.matchAll(pattern)])) {
    const last = end - secondsIn(offset);
    const first = last - ahead - Math.max(300, Math.min(day, secondsIn(range)));
    for (const at of times(Math.max(first, last - recent), last, step)) found.add(at);
    for (const at of times(first, last - recent, sparseStep)) found.add(at);
  }
  return [...found].sort((a, b) => a - b);
}

interface RuleGroups {
  readonly groups: readonly {
    readonly name: string;
    readonly evaluationTime: number;
    readonly lastEvaluation: string;
    readonly rules: readonly {
      readonly name: string;
      readonly query: string;
      readonly evaluationTime: number;
      readonly health: string;
      readonly lastError?: string;
    }[];
  }[];
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Milliseconds by group and by rule. */
interface Evaluations {
  readonly cpuOfCycle: number[];
  readonly groups: Map<string, Map<string, number>>;
  readonly rules: Map<string, Map<string, number>>;
}

async function evaluate(prometheus: BenchPrometheus, rules: string, found: Evaluations): Promise<void> {
  for (const { file } of alertGroups(defaultMonitoringSettings))
    await cp(join(rules, `${file}.rules.yaml`), join(folder, `${file}.rules.yaml`));
  prometheus.reload();
  const before = new Set<string>();
  /** When every group has been evaluated once: the start does not count. */
  let start: { readonly cpu: number; readonly cycles: number } | undefined;
  let cycles = 0;
  const add = (to: Map<string, Map<string, number>>, key: string, at: string, seconds: number) => {
    const times = to.get(key) ?? new Map<string, number>();
    to.set(key, times.set(at, seconds * 1000));
  };
  for (let second = 0; second < turnSeconds; second += 1) {
    await sleep(1000);
    const response = await fetch(`http://${address}/api/v1/rules`).catch(() => undefined);
    if (response?.ok !== true) continue;
    const { data } = (await response.json()) as { readonly data: RuleGroups };
    const [first] = data.groups;
    if (first === undefined || data.groups.some(({ evaluationTime }) => evaluationTime === 0)) continue;
    if (before.size < before.add(first.lastEvaluation).size) cycles += 1;
    start ??= { cpu: await prometheus.cpu(), cycles };
    for (const { evaluationTime, lastEvaluation, name, rules: own } of data.groups) {
      const failed = own.find(({ health }) => health === 'err');
      if (failed !== undefined) throw new Error(`${failed.name}: ${failed.lastError}`);
      add(found.groups, name, lastEvaluation, evaluationTime);
      for (const rule of own)
        add(found.rules, `${rule.name} = ${rule.query}`, lastEvaluation, rule.evaluationTime);
    }
  }
  if (start === undefined) throw new Error('Prometheus evaluated no rules');
  found.cpuOfCycle.push(((await prometheus.cpu()) - start.cpu) / (cycles - start.cycles));
}

const newEvaluations = (): Evaluations => ({ cpuOfCycle: [], groups: new Map(), rules: new Map() });

function report(title: string, { cpuOfCycle, groups, rules }: Evaluations): number {
  console.log(`${title}: CPU time of a cycle ${cpuOfCycle.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  const sums = { fastest: 0, median: 0 };
  for (const [name, times] of groups) {
    const own = { fastest: Math.min(...times.values()), median: median([...times.values()]) };
    sums.fastest += own.fastest;
    sums.median += own.median;
    console.log(
      `  ${name}: ${own.fastest.toFixed(0)} ms, median ${own.median.toFixed(0)} ms of ${times.size}`,
    );
  }
  const costly = [...rules]
    .map(([rule, times]) => ({ rule, ms: median([...times.values()]) }))
    .sort((a, b) => b.ms - a.ms)
    .slice(0, shownRules);
  for (const { rule, ms } of costly)
    console.log(`    ${ms.toFixed(1).padStart(6)} ms ${rule.replaceAll(/\s+/g, ' ').slice(0, 100)}`);
  console.log(
    `  all groups: ${sums.fastest.toFixed(0)} ms, median ${sums.median.toFixed(0)} ms; the goal is ${goalMs} ms`,
  );
  return sums.median;
}

const folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-rules-'));
const address = '127.0.0.1:19798';
try {
  const world = join(folder, 'world.om');
  const text = expressions.join(' ');
  const series = await writeWorld({
    file: world,
    families: [...everyMetric, ...externalMetrics].filter(({ name }) => text.includes(name)),
    pods,
    buckets: 100,
    timesOf,
  });
  const prometheus = await startPrometheusOn(world, {
    folder,
    address,
    // The blocks end in the future: what rules write now is out of order.
    configuration:
      'global: {evaluation_interval: 5s}\nrule_files: ["*.rules.yaml"]\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n',
  });
  try {
    // Before that, a signal to read the rules again would end it.
    while ((await fetch(`http://${address}/-/ready`).catch(() => undefined))?.ok !== true) await sleep(500);
    const now = newEvaluations();
    const before = newEvaluations();
    for (let turn = 0; turn < turns; turn += 1) {
      await evaluate(prometheus, present, now);
      if (earlier !== undefined) await evaluate(prometheus, earlier, before);
    }
    console.log(`${pods} pods, ${storages} storages, ${series} series, ${now.rules.size} rules`);
    if (earlier !== undefined) {
      report('before', before);
      console.log(
        `CPU time, now by before: ${(Math.min(...now.cpuOfCycle) / Math.min(...before.cpuOfCycle)).toFixed(2)}`,
      );
    }
    process.exitCode = report('now', now) > goalMs ? 1 : 0;
  } finally {
    await prometheus.stop();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
