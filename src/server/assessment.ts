/**
 * What is wrong right now, and how well that is known: one verdict from the whole status. "Nothing is wrong" is
 * said only when every collector has read its source and none of what it read is older than promised.
 */
import { formatDuration } from './page/durations.ts';
import type { CollectorView, ProblemView, StatusView } from './status-view.ts';

export type Verdict = 'critical' | 'warning' | 'unknown' | 'ok';

export interface Assessment {
  readonly verdict: Verdict;
  /** One line. */
  readonly headline: string;
  /** How fresh or incomplete the knowledge behind it is, in one sentence. */
  readonly knowledge: string;
  /** The status' own problems and those that follow from its collectors, the worst and the oldest first. */
  readonly problems: readonly ProblemView[];
  /** As given, but `ok` only where the age bears it out. */
  readonly collectors: readonly CollectorView[];
}

/** `now`: Clock.now(). */
export function assess(status: StatusView, now: number): Assessment {
  const collectors = status.collectors.map((collector) => distrust(collector, now));
  const problems = [...status.problems, ...unreadSources(collectors)].sort(
    (a, b) => rank(a) - rank(b) || (a.since ?? now) - (b.since ?? now),
  );
  const pending = collectors.filter(({ state }) => state === 'pending');
  const verdict = problems[0]?.severity ?? (pending.length > 0 || collectors.length === 0 ? 'unknown' : 'ok');
  return {
    verdict,
    headline: headline(verdict, problems.length),
    knowledge: knowledge(collectors, now),
    problems,
    collectors,
  };
}

const rank = ({ severity }: ProblemView): number => (severity === 'critical' ? 0 : 1);

function headline(verdict: Verdict, problems: number): string {
  if (verdict === 'ok') return 'Nothing is wrong';
  if (verdict === 'unknown') return 'Not known yet';
  return problems === 1 ? 'One thing is wrong' : `${problems} things are wrong`;
}

/** The runner withdraws what is too old; should it ever fail to, its values must not read as healthy here. */
function distrust(collector: CollectorView, now: number): CollectorView {
  const { state, readAt, maxAgeMs } = collector;
  if (state !== 'ok' || readAt === undefined || maxAgeMs === undefined || now - readAt <= maxAgeMs)
    return collector;
  return {
    ...collector,
    state: 'stale',
    message: `Last read ${formatDuration(now - readAt)} ago, and its values hold for ${formatDuration(maxAgeMs)}.`,
  };
}

/** One problem for all collectors that fail alike: one database that is down is one thing wrong, not nine. */
function unreadSources(collectors: readonly CollectorView[]): ProblemView[] {
  const groups = new Map<string, CollectorView[]>();
  for (const collector of collectors) {
    if (collector.state !== 'failed' && collector.state !== 'stale') continue;
    const alike = JSON.stringify([collector.state, collector.reason, collector.message]);
    groups.set(alike, [...(groups.get(alike) ?? []), collector]);
  }
  return [...groups.values()].map((group) => unreadSource(group, collectors));
}

function unreadSource(group: readonly CollectorView[], all: readonly CollectorView[]): ProblemView {
  const [first] = group;
  const names = group.map(({ name }) => name).join(', ');
  const what = group.length === 1 ? (first?.title ?? names) : `${group.length} collectors (${names})`;
  const stale = first?.state === 'stale';
  const began = group.flatMap(({ since }) => (since === undefined ? [] : [since]));
  return {
    severity: group.length === all.filter(({ state }) => state !== 'empty').length ? 'critical' : 'warning',
    title: stale ? `What was read is too old to be believed: ${what}` : `Cannot be read: ${what}`,
    since: began.length > 0 ? Math.min(...began) : undefined,
    detail: [first?.reason, first?.message].filter((part) => part !== undefined).join(': ') || undefined,
    action:
      'Until this is mended, whatever rests on it is not known: its metrics are absent, and nothing about it is to be taken as healthy.',
  };
}

function knowledge(collectors: readonly CollectorView[], now: number): string {
  if (collectors.length === 0) return 'Nothing is being watched: no collector is enabled.';
  const waiting = collectors.filter(({ state }) => state === 'pending');
  const unread = collectors.filter(({ state }) => state === 'failed' || state === 'stale');
  const gaps = [
    waiting.length > 0
      ? `${waiting.length} of ${collectors.length} collectors have not finished a first run`
      : '',
    unread.length > 0 ? `${unread.length} of ${collectors.length} collectors cannot read their source` : '',
  ].filter(Boolean);
  if (gaps.length > 0) return `What is said here is incomplete: ${gaps.join(', and ')}.`;
  const oldest = collectors
    .filter(({ state }) => state === 'ok')
    .reduce<CollectorView | undefined>(
      (old, one) => ((one.readAt ?? now) < (old?.readAt ?? now) ? one : old),
      undefined,
    );
  const age =
    oldest?.readAt === undefined ? 'just now' : `${formatDuration(now - oldest.readAt)} ago or less`;
  const count =
    collectors.length === 1 ? 'The one collector has' : `All ${collectors.length} collectors have`;
  return `${count} read their source, ${age}.`;
}
