/**
 * The cost of all recording rules and alerts in a real Prometheus that holds 50 Gitaly pods and 20 storages: the time of
 * one evaluation of each group. The goal is a second for all of them.
 *
 *     node bench/rules.ts [pods] [folder]
 *
 * The folder has earlier rules files (`git worktree add`, or `git show REVISION:alerts/gitaly.rules.yaml`), which are
 * evaluated in the same Prometheus under other names: shown is the ratio of the times now and before.
 *
 * Each series has as much history as the longest range of any rule reads, up to a day: a sample per minute of the last
 * two hours, and one per 5 minutes before. Prometheus evaluates every 5 s; shown are the fastest and the median evaluation
 * within a minute, the costliest rules, and Prometheus' CPU time for a cycle of all groups: the number to trust on a busy
 * machine. The recorded series have the history of that minute only.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { alertGroups } from '../alerts/index.ts';
import { everyMetric } from '../src/app/catalog.ts';
import { parseDuration } from '../src/lib/format.ts';
import { externalMetrics } from '../src/monitoring/external-metrics.ts';
import { defaultMonitoringSettings } from '../src/monitoring/settings.ts';
import { startPrometheusOn } from './prometheus.ts';
import { type SeriesFamily, storages, times, writeWorld } from './world.ts';

const pods = Number(process.argv[2] ?? 50);
const earlier = process.argv[3];
const shownRules = 40;
const step = 60;
/** promtool reads the whole file for every two hours of it. */
const day = 86_400;
const recent = 7200;
const sparseStep = 300;
/** Samples after now: the evaluations take a while to run. */
const ahead = 600;
const goalMs = 1000;
const end = Math.floor(Date.now() / 1000 / step) * step + ahead;

const beforePrefix = 'before-';

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
  for (const { file } of alertGroups(defaultMonitoringSettings)) {
    const shipped = await readFile(join(import.meta.dirname, `../alerts/${file}.rules.yaml`), 'utf8');
    await writeFile(join(folder, `${file}.rules.yaml`), shipped);
    if (earlier === undefined) continue;
    const before = await readFile(join(earlier, `${file}.rules.yaml`), 'utf8');
    // Recorded series of their own.
    const renamed = before
      .replaceAll(/\b(gitaly|praefect|gitaly_exporter):(?=\w)/g, 'before_$1:')
      .replaceAll(/^ {2}- name: /gm, `$&${beforePrefix}`);
    await writeFile(join(folder, `${beforePrefix}${file}.rules.yaml`), renamed);
  }
  const prometheus = await startPrometheusOn(world, {
    folder,
    address,
    // The blocks end in the future: what rules write now is out of order.
    configuration:
      'global: {evaluation_interval: 5s}\nrule_files: ["*.rules.yaml"]\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n',
  });
  try {
    const evaluations = new Map<string, Map<string, number>>();
    const times = new Map<string, Map<string, number>>();
    let rules = 0;
    /** When every group has been evaluated once: the start does not count. */
    let cpuBefore: number | undefined;
    for (let seconds = 0; seconds < 50; seconds += 1) {
      await sleep(1000);
      const response = await fetch(`http://${address}/api/v1/rules`).catch(() => undefined);
      if (response?.ok !== true) continue;
      const { data } = (await response.json()) as { readonly data: RuleGroups };
      if (data.groups.every(({ evaluationTime }) => evaluationTime > 0)) cpuBefore ??= await prometheus.cpu();
      rules = data.groups.reduce((sum, group) => sum + group.rules.length, 0);
      for (const { evaluationTime, lastEvaluation, name, rules: own } of data.groups) {
        const failed = own.find(({ health }) => health === 'err');
        if (failed !== undefined) throw new Error(`${failed.name}: ${failed.lastError}`);
        if (evaluationTime === 0) continue;
        for (const rule of own) {
          const key = `${name} ${rule.name}: ${rule.query}`;
          const found = times.get(key) ?? new Map<string, number>();
          times.set(key, found.set(lastEvaluation, rule.evaluationTime * 1000));
        }
        const found = evaluations.get(name) ?? new Map<string, number>();
        evaluations.set(name, found.set(lastEvaluation, evaluationTime * 1000));
      }
    }
    const cycles = Math.max(...[...evaluations.values()].map((found) => found.size)) - 1;
    const cpu = ((await prometheus.cpu()) - (cpuBefore ?? 0)) / cycles;
    console.log(`CPU time of a cycle of all groups: ${cpu.toFixed(0)} ms`);
    console.log(`${pods} pods, ${storages} storages, ${series} series, ${rules} rules`);
    const costly = [...times]
      .map(([rule, found]) => ({ rule, ms: Math.min(...found.values()) }))
      .sort((a, b) => b.ms - a.ms)
      .slice(0, shownRules);
    for (const { rule, ms } of costly)
      console.log(`  ${ms.toFixed(1).padStart(7)} ms ${rule.replaceAll(/\s+/g, ' ').slice(0, 150)}`);
    const total = { now: 0, before: 0, fastest: 0 };
    for (const [name, found] of evaluations) {
      const ms = median([...found.values()]);
      const least = Math.min(...found.values());
      if (name.startsWith(beforePrefix)) total.before += ms;
      else total.now += ms;
      if (!name.startsWith(beforePrefix)) total.fastest += least;
      console.log(`  ${name}: ${least.toFixed(0)} ms, median ${ms.toFixed(0)} ms of ${found.size}`);
    }
    console.log(
      `all groups: ${total.fastest.toFixed(0)} ms, median ${total.now.toFixed(0)} ms; the goal is ${goalMs} ms`,
    );
    if (total.before > 0)
      console.log(
        `before: median ${total.before.toFixed(0)} ms, now by before: ${(total.now / total.before).toFixed(2)}`,
      );
    process.exitCode = total.now > goalMs || evaluations.size === 0 ? 1 : 0;
  } finally {
    await prometheus.stop();
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
