/**
 * The verdict of the page: what is wrong now, and how complete and fresh the data behind it is. "No problems
 * detected" requires that every collector has read its source and that no data is older than its max age.
 */
import { durationText, listText } from '../lib/format.ts';
import type { CollectorView, ProblemView, StatusView } from './status-view.ts';

export type StatusVerdict = 'critical' | 'warning' | 'unknown' | 'ok';

export interface StatusAssessment {
  readonly verdict: StatusVerdict;
  /** One line. */
  readonly headline: string;
  /** How complete and fresh the data is, in one sentence. */
  readonly summary: string;
  /** The status' own problems, then those of its collectors; the most severe first. */
  readonly problems: readonly ProblemView[];
  /** As given, but `ok` only where the data is younger than its max age. */
  readonly collectors: readonly CollectorView[];
}

/** @param now Clock.now() */
export function assessStatus(status: StatusView, now: number): StatusAssessment {
  const collectors = status.collectors.map((collector) => withStaleState(collector, now));
  const oldestFirst = (a: ProblemView, b: ProblemView) => (a.since ?? now) - (b.since ?? now);
  const problems = [
    ...[...status.problems].sort(oldestFirst),
    ...collectorProblems(collectors).sort(oldestFirst),
  ].sort((a, b) => severityRank(a) - severityRank(b));
  const isIncomplete = collectors.length === 0 || collectors.some(({ state }) => state === 'pending');
  const verdict = problems[0]?.severity ?? (isIncomplete ? 'unknown' : 'ok');
  return {
    verdict,
    headline: headlineOf(verdict, problems.length),
    summary: summaryOf(collectors, now),
    problems,
    collectors,
  };
}

const severityRank = ({ severity }: ProblemView): number => (severity === 'critical' ? 0 : 1);

function headlineOf(verdict: StatusVerdict, problems: number): string {
  if (verdict === 'ok') return 'No problems detected';
  if (verdict === 'unknown') return 'Status unknown';
  return problems === 1 ? '1 problem detected' : `${problems} problems detected`;
}

/** The runner removes stale data. If it ever failed to, that data must not appear healthy here. */
function withStaleState(collector: CollectorView, now: number): CollectorView {
  const { state, readAt, maxAgeMs } = collector;
  if (state !== 'ok' || readAt === undefined || maxAgeMs === undefined || now - readAt <= maxAgeMs)
    return collector;
  return {
    ...collector,
    state: 'stale',
    message: `last read ${durationText(now - readAt)} ago, max age ${durationText(maxAgeMs)}`,
  };
}

const isFailing = ({ state }: CollectorView): boolean => state === 'failed' || state === 'stale';

/** One problem for all collectors that fail in the same way: a database that is down is one problem, not nine. */
function collectorProblems(collectors: readonly CollectorView[]): ProblemView[] {
  const groups = Map.groupBy(collectors.filter(isFailing), ({ state, reason, message }) =>
    JSON.stringify([state, reason, message]),
  );
  return [...groups.values()].map((group) => collectorProblem(group, collectors));
}

function collectorProblem(group: readonly CollectorView[], all: readonly CollectorView[]): ProblemView {
  const [first] = group as readonly [CollectorView, ...CollectorView[]];
  const names = listText(group.map(({ name }) => name));
  const cause = [first.reason, first.message].filter((part) => part !== undefined).join(': ');
  const began = group.flatMap(({ since }) => (since === undefined ? [] : [since]));
  const what = group.length === 1 ? first.title : `${group.length} of ${all.length} collectors (${names})`;
  return {
    severity: group.length === all.filter(({ state }) => state !== 'empty').length ? 'critical' : 'warning',
    title: `${first.state === 'stale' ? 'Data is stale' : 'Collector failing'}: ${what}`,
    since: began.length > 0 ? Math.min(...began) : undefined,
    detail: [cause === '' ? '' : asSentence(cause), effectOf(first)].join(' ').trim(),
  };
}

const asSentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What the failure means for the metrics: after a failed run, the previous snapshot stays in use for a while. */
function effectOf({ state, series = 0, maxAgeMs }: CollectorView): string {
  if (state === 'stale' || series === 0)
    return 'Its metrics are absent, and what depends on them is unknown until it recovers.';
  const until = maxAgeMs === undefined ? '' : ` until they are ${durationText(maxAgeMs)} old`;
  return `The previous values are still served${until}.`;
}

function summaryOf(collectors: readonly CollectorView[], now: number): string {
  if (collectors.length === 0) return 'No collector is enabled, so nothing is monitored.';
  const pending = collectors.filter(({ state }) => state === 'pending').length;
  const failing = collectors.filter(isFailing).length;
  const gaps = [
    ...(failing > 0 ? [`${failing} of ${collectors.length} collectors failing`] : []),
    ...(pending > 0 ? [`${pending} of ${collectors.length} collectors have not completed a run`] : []),
  ];
  if (gaps.length > 0) return `Data is incomplete: ${gaps.join(', ')}.`;
  const readTimes = collectors.flatMap(({ state, readAt }) =>
    state === 'ok' && readAt !== undefined ? [readAt] : [],
  );
  const age =
    readTimes.length === 0 ? '' : `; the oldest data is ${durationText(now - Math.min(...readTimes))} old`;
  return `All ${collectors.length} collectors are up to date${age}.`;
}
