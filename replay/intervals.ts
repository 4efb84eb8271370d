/** When each alert of a replay was pending and firing. */
import { type AlertsAt, alertsAt, shippedRules } from './promtool.ts';
import type { RecordedScrapes } from './recording.ts';
import { historySeconds, type TimelinePart, timelineOf } from './timeline.ts';

/** One alert with its labels, from its beginning until it no longer exists. Seconds since the first scrape. */
export interface AlertInterval {
  readonly name: string;
  readonly severity: string;
  /** With `alertname` and `severity`, as Prometheus sends them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly pendingAt: number;
  /** Undefined: it ended while pending. */
  readonly firingAt: number | undefined;
  /** Undefined: it still existed at the end of the recording. */
  readonly endedAt: number | undefined;
}

export interface EvaluationOptions {
  readonly ruleFiles?: readonly string[];
  /** Longer recordings are evaluated in parts. */
  readonly longestSteps?: number;
  readonly signal?: AbortSignal;
}

/** A query of promtool loads at most 10,000 samples: a week of one series has more. */
const defaultLongestSteps = 6000;
/** Evaluated before a part of a longer recording, for the windows of rules. */
const overlapSeconds = 86_400;

/** The alerts of a recording, by promtool, at each scrape. */
export async function alertIntervals(
  recording: RecordedScrapes,
  options: EvaluationOptions = {},
): Promise<readonly AlertInterval[]> {
  const { stepSeconds, scrapes } = recording;
  const { longestSteps = defaultLongestSteps } = options;
  const overlap = Math.min(overlapSeconds / stepSeconds, longestSteps / 2);
  const first = historySeconds / stepSeconds;
  const end = first + scrapes;
  const parts: (TimelinePart & { readonly own: number })[] = [];
  for (let own = first; own < end; own = parts.at(-1)?.to ?? end) {
    const from = own === first ? 0 : own - overlap;
    parts.push({ own, from, to: Math.min(end, from + longestSteps) });
  }
  const found = await Promise.all(parts.map((part) => alertsOfPart(recording, part, options)));
  return intervalsOf(found.flat());
}

/** From the part's own first step on; times since the first scrape. */
async function alertsOfPart(
  recording: RecordedScrapes,
  { own, ...part }: TimelinePart & { readonly own: number },
  { ruleFiles = shippedRules, signal }: EvaluationOptions,
): Promise<readonly AlertsAt[]> {
  const { stepSeconds } = recording;
  const found = await alertsAt({
    ruleFiles,
    series: timelineOf(recording, part),
    stepSeconds,
    times: Array.from({ length: part.to - own }, (_, i) => (own - part.from + i) * stepSeconds),
    ...(signal !== undefined && { signal }),
  });
  const shift = part.from * stepSeconds - historySeconds;
  return found.map(({ time, alerts }) => ({ time: time + shift, alerts }));
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
