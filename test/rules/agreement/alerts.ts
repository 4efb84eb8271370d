/** The alerts of an incident: Prometheus' own rule engine (promtool) on the captured metrics, continued. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inhibitions } from '../../../alerts/inhibitions.ts';
import type { Capture, PlayedIncident } from './incident.ts';

export interface AlertInstance {
  readonly name: string;
  readonly severity: string;
  readonly state: 'pending' | 'firing';
  readonly labels: ReadonlyMap<string, string>;
}

export interface AlertsAt {
  /** Seconds since the second capture. */
  readonly after: number;
  readonly alerts: readonly AlertInstance[];
}

export const stepSeconds = 15;
/** 40 minutes before the incident: alerts compare with the average of the past, and have windows of minutes. */
const healthySteps = 160;
const target = 'job="gitaly-exporter",instance="exporter:9656"';
const rules = ['exporter', 'praefect', 'gitaly'].map((name) =>
  join(import.meta.dirname, `../../../alerts/${name}.rules.yaml`),
);

/** The alerts of one incident at each of the times, in seconds after the second capture. */
export async function alertsOf(
  incident: PlayedIncident,
  isSteady: boolean,
  times: readonly number[],
): Promise<readonly AlertsAt[]> {
  const folder = await mkdtemp(join(tmpdir(), 'agreement-'));
  try {
    const test = {
      interval: `${stepSeconds}s`,
      input_series: inputSeries(incident, isSteady, Math.max(...times)),
      promql_expr_test: times.map((after) => ({
        expr: 'ALERTS',
        eval_time: `${healthySteps * stepSeconds + after}s`,
        exp_samples: [],
      })),
    };
    const file = join(folder, 'test.yaml');
    const content = { rule_files: rules, evaluation_interval: `${stepSeconds}s`, tests: [test] };
    await writeFile(file, JSON.stringify(content));
    return alertsIn(await promtoolOutput(file), times);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** It always fails: its output has what it got instead of the nothing that was expected. */
const promtoolOutput = (file: string): Promise<string> =>
  new Promise((resolve) =>
    execFile('promtool', ['test', 'rules', file], { maxBuffer: 1e9 }, (_, stdout, stderr) =>
      resolve(`${stdout}\n${stderr}`),
    ),
  );

function inputSeries(
  { healthy, first, second }: PlayedIncident,
  isSteady: boolean,
  seconds: number,
): readonly { series: string; values: string }[] {
  const steps = Math.ceil(seconds / stepSeconds);
  const names = new Set([...healthy.series.keys(), ...second.series.keys()]);
  const present = [...names].map((series) => {
    const before = healthyValues(series, healthy, first);
    const after = continuedValues(series, first, second, isSteady, steps);
    return { series: withTarget(series), values: `${before} ${after}` };
  });
  return [...present, { series: `up{${target}}`, values: `1x${healthySteps + steps}` }];
}

const isTime = (series: string): boolean => /^[^{]*_(timestamp|start_time)_seconds/.test(series);
const isCounter = (series: string): boolean => /^[^{]*_total(\{|$)/.test(series);

/** Times are seconds since 1970: the second capture is at `healthySteps`. */
function healthyValues(series: string, healthy: Capture, first: Capture): string {
  const value = healthy.series.get(series);
  if (value === undefined) return `_x${healthySteps}`;
  const end = (healthySteps - 1) * stepSeconds;
  if (!isTime(series)) return valuesText(value, 0, healthySteps);
  const isAdvancing = (first.series.get(series) ?? value) > value;
  const last = value - healthy.at + end;
  return isAdvancing ? valuesText(last - end, stepSeconds, healthySteps) : valuesText(last, 0, healthySteps);
}

function continuedValues(
  series: string,
  first: Capture,
  second: Capture,
  isSteady: boolean,
  steps: number,
): string {
  const value = second.series.get(series);
  if (value === undefined) return 'stale';
  const before = first.series.get(series) ?? value;
  const elapsed = second.at - first.at;
  const rate = isSteady && isCounter(series) ? Math.max(0, value - before) / elapsed : 0;
  if (!isTime(series)) return valuesText(value, rate * stepSeconds, steps + 1);
  const shifted = value - second.at + healthySteps * stepSeconds;
  return valuesText(shifted, value > before && isSteady ? stepSeconds : 0, steps + 1);
}

/** In the notation of promtool: `start+stepxn` has n more values after the first. */
const valuesText = (start: number, step: number, count: number): string =>
  Number.isFinite(start)
    ? `${decimal(start)}${step < 0 ? '-' : '+'}${decimal(Math.abs(step))}x${count - 1}`
    : `_x${count}`;

/** Without an exponent, which the notation does not have. */
const decimal = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(9));

const withTarget = (series: string): string =>
  series.includes('{') ? series.replace('{', `{${target},`).replace(',}', '}') : `${series}{${target}}`;

/** Times without any alert are as expected, and not in the output. */
function alertsIn(output: string, times: readonly number[]): readonly AlertsAt[] {
  const found = new Map<number, readonly AlertInstance[]>();
  for (const [, time, got] of output.matchAll(/expr: "ALERTS", time: (\S+),\s*exp: nil\s*got: (.*)/g))
    found.set(
      durationSeconds(time ?? '') - healthySteps * stepSeconds,
      [...(got ?? '').matchAll(/\{([^}]*)\}/g)].map(([, text]) => instanceOf(text ?? '')),
    );
  if (found.size === 0 && !output.includes('SUCCESS'))
    throw new Error(`promtool failed: ${output.slice(0, 2000)}`);
  return times.map((after) => ({ after, alerts: found.get(after) ?? [] }));
}

const durationSeconds = (text: string): number =>
  [...text.matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (unit === 'h' ? 3600 : unit === 'm' ? 60 : 1),
    0,
  );

function instanceOf(text: string): AlertInstance {
  const labels = new Map(
    [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name ?? '', value ?? '']),
  );
  const state = labels.get('alertstate') === 'firing' ? 'firing' : 'pending';
  return { name: labels.get('alertname') ?? '', severity: labels.get('severity') ?? '', state, labels };
}

/** Without those that Alertmanager inhibits, as alerts/inhibitions.ts has it. */
export function notInhibited(alerts: readonly AlertInstance[]): readonly AlertInstance[] {
  const firing = alerts.filter(({ state }) => state === 'firing');
  const matches = (
    { names, severity }: (typeof inhibitions)[number]['source'],
    alert: AlertInstance,
  ): boolean =>
    names.some((name) => name === alert.name) && (severity === undefined || severity === alert.severity);
  return firing.filter(
    (alert) =>
      !inhibitions.some(
        ({ source, target: inhibited, equal }) =>
          matches(inhibited, alert) &&
          firing.some(
            (cause) =>
              cause !== alert &&
              matches(source, cause) &&
              equal.every((label) => cause.labels.get(label) === alert.labels.get(label)),
          ),
      ),
  );
}
