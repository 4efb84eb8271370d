/**
 * The alerts of an incident, from Prometheus' own rule engine (promtool) on the captured metrics, extrapolated.
 */
import { inhibitions } from '../../../alerts/inhibitions.ts';
import { type AlertInstance, alertsAt, type InputSeries, shippedRules } from '../../../replay/promtool.ts';
import { isCounter, isTime, withTarget } from '../../../replay/series.ts';
import { linearValues } from '../../../replay/values.ts';
import type { Capture, PlayedIncident } from './incident.ts';

interface AlertsAfter {
  /** Seconds since the second capture. */
  readonly after: number;
  readonly alerts: readonly AlertInstance[];
}

/**
 * The interval of scrapes and evaluations, the threshold scrapeInterval: promtool takes half the time of that
 * at 15 s.
 */
export const stepSeconds = 30;
/** 40 minutes before the incident: some alerts compare with a past average, or have windows of minutes. */
const healthySteps = 80;
const healthySeconds = healthySteps * stepSeconds;
const target = { job: 'gitaly-exporter', instance: 'exporter:9656' };

/** The alerts of one incident at each of the times, in seconds after the second capture. */
export async function alertsOf(
  incident: PlayedIncident,
  isSteady: boolean,
  times: readonly number[],
): Promise<readonly AlertsAfter[]> {
  const found = await alertsAt({
    ruleFiles: shippedRules,
    series: inputSeries(incident, isSteady, Math.max(...times)),
    stepSeconds,
    times: times.map((after) => healthySeconds + after),
  });
  return found.map(({ time, alerts }) => ({ after: time - healthySeconds, alerts }));
}

function inputSeries(
  { healthy, first, second }: PlayedIncident,
  isSteady: boolean,
  seconds: number,
): readonly InputSeries[] {
  const steps = Math.ceil(seconds / stepSeconds);
  const names = new Set([...healthy.series.keys(), ...second.series.keys()]);
  const present = [...names].map((series) => {
    const before = healthyValues(series, healthy, first);
    const after = continuedValues(series, first, second, isSteady, steps);
    return { series: withTarget(series, target), values: `${before} ${after}` };
  });
  return [...present, { series: withTarget('up', target), values: `1x${healthySteps + steps}` }];
}

/** Times are seconds since 1970: the second capture is at `healthySteps`. */
function healthyValues(series: string, healthy: Capture, first: Capture): string {
  const value = healthy.series.get(series);
  if (value === undefined) return `_x${healthySteps}`;
  const end = (healthySteps - 1) * stepSeconds;
  if (!isTime(series)) return linearValues(value, 0, healthySteps);
  const isAdvancing = (first.series.get(series) ?? value) > value;
  const last = value - healthy.at + end;
  return isAdvancing
    ? linearValues(last - end, stepSeconds, healthySteps)
    : linearValues(last, 0, healthySteps);
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
  if (!isTime(series)) return linearValues(value, rate * stepSeconds, steps + 1);
  const shifted = value - second.at + healthySeconds;
  return linearValues(shifted, value > before && isSteady ? stepSeconds : 0, steps + 1);
}

/** Without the alerts that Alertmanager inhibits by alerts/inhibitions.ts. */
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
