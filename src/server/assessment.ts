/**
 * The verdict of the page: what is wrong now, and how complete and fresh the data behind it is. "No problems
 * detected" requires that every collector has read its source and that no data is older than its max age.
 */

import type { CollectorView, ProblemView, StatusView } from '../app/status-view.ts';
import { counted, durationText } from '../lib/format.ts';
import { severities } from '../rules/finding.ts';

export type StatusVerdict = 'critical' | 'warning' | 'unknown' | 'ok';

export interface StatusAssessment {
  readonly verdict: StatusVerdict;
  /** One line. */
  readonly headline: string;
  /** How complete and fresh the data is, in one sentence. */
  readonly summary: string;
  /** The most severe first, then the oldest. */
  readonly problems: readonly ProblemView[];
  /** As given, but `ok` only where the data is younger than its max age. */
  readonly collectors: readonly CollectorView[];
}

export const nothingConfigured =
  'Nothing is monitored: set praefect.database.url, gitaly.target, cgroup.enabled or kubernetes.enabled (gitaly-exporter serve --help).';

/** @param now Clock.now() */
export function assessStatus(status: StatusView, now: number): StatusAssessment {
  const collectors = status.collectors.map((collector) => withStaleState(collector, now));
  const oldestFirst = (a: ProblemView, b: ProblemView) => (a.since ?? now) - (b.since ?? now);
  const problems = [...status.problems]
    .sort(oldestFirst)
    .sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  const open = problems.filter(({ severity }) => severity !== 'info');
  const [worst] = open;
  const nothing = nothingMonitored(status);
  const isNothing = nothing !== undefined && worst === undefined;
  const verdict = isNothing ? 'unknown' : verdictOf(worst, collectors);
  return {
    verdict,
    headline: isNothing ? nothing.headline : headlineOf(verdict, open.length),
    summary: nothing?.summary ?? summaryOf(collectors, now),
    problems,
    collectors,
  };
}

/** Why there is nothing that a problem could be of: that there is none then shows nothing. */
function nothingMonitored({ isIdle, isUnconfigured }: StatusView) {
  if (isUnconfigured === true) return { headline: 'Nothing is monitored', summary: nothingConfigured };
  if (isIdle !== true) return undefined;
  return {
    headline: 'Nothing to monitor was found',
    summary:
      'Every source was read, and no Gitaly or Praefect was found in any: the collectors below have the reasons.',
  };
}

/** A problem whose alert is suppressed by a maintenance window does not count; missing data does, whatever is listed. */
function verdictOf(worst: ProblemView | undefined, collectors: readonly CollectorView[]): StatusVerdict {
  if (worst?.severity === 'critical') return 'critical';
  if (worst !== undefined || collectors.some(isFailing)) return 'warning';
  return collectors.length === 0 || collectors.some(({ state }) => state === 'pending') ? 'unknown' : 'ok';
}

function headlineOf(verdict: StatusVerdict, problems: number): string {
  if (verdict === 'ok') return 'No problems detected';
  if (verdict === 'unknown') return 'Status unknown';
  if (problems === 0) return 'Data is incomplete';
  return `${counted(problems, 'problem', 'problems')} detected`;
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
