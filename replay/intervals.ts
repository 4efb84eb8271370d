/** When each alert of a replay was pending and firing. */
import { type AlertsAt, alertsAt, shippedRules } from './promtool.ts';
import type { RecordedScrapes } from './recording.ts';
import { historySeconds, timelineOf } from './timeline.ts';

/** One alert with its labels, from its beginning until it is no longer there. Seconds since the first scrape. */
export interface AlertInterval {
  readonly name: string;
  readonly severity: string;
  /** With `alertname` and `severity`, as Prometheus sends them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly pendingAt: number;
  /** Undefined: it ended while pending. */
  readonly firingAt: number | undefined;
  /** Undefined: it was still there at the end of the recording. */
  readonly endedAt: number | undefined;
}

export interface EvaluationOptions {
  readonly ruleFiles?: readonly string[];
  readonly signal?: AbortSignal;
}

/** The alerts of a recording, by promtool, at each scrape. */
export async function alertIntervals(
  recording: RecordedScrapes,
  { ruleFiles = shippedRules, signal }: EvaluationOptions = {},
): Promise<readonly AlertInterval[]> {
  const { stepSeconds, scrapes } = recording;
  const times = Array.from({ length: scrapes }, (_, i) => historySeconds + i * stepSeconds);
  const found = await alertsAt({
    ruleFiles,
    series: timelineOf(recording),
    stepSeconds,
    times,
    ...(signal !== undefined && { signal }),
  });
  return intervalsOf(found.map(({ time, alerts }) => ({ time: time - historySeconds, alerts })));
}

interface OpenInterval {
  readonly interval: Omit<AlertInterval, 'firingAt' | 'endedAt'>;
  firingAt: number | undefined;
}

/** `moments` are all evaluations in order. */
export function intervalsOf(moments: readonly AlertsAt[]): readonly AlertInterval[] {
  const open = new Map<string, OpenInterval>();
  const closed: AlertInterval[] = [];
  for (const { time, alerts } of moments) {
    const present = new Set<string>();
    for (const { name, severity, state, labels } of alerts) {
      const own = Object.fromEntries([...labels].filter(([label]) => label !== 'alertstate'));
      const key = JSON.stringify(Object.entries(own).sort());
      present.add(key);
      const known = open.get(key) ?? {
        interval: { name, severity, labels: own, pendingAt: time },
        firingAt: undefined,
      };
      if (state === 'firing') known.firingAt ??= time;
      open.set(key, known);
    }
    for (const [key, { interval, firingAt }] of open)
      if (!present.has(key)) {
        closed.push({ ...interval, firingAt, endedAt: time });
        open.delete(key);
      }
  }
  const rest = [...open.values()].map(({ interval, firingAt }) => ({
    ...interval,
    firingAt,
    endedAt: undefined,
  }));
  return [...closed, ...rest].sort((a, b) => a.pendingAt - b.pendingAt || (a.name < b.name ? -1 : 1));
}
