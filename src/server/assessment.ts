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
  /** The status' own problems and those that follow from its collectors, the worst first, of these what is known. */
  readonly problems: readonly ProblemView[];
  /** As given, but `ok` only where the age bears it out. */
  readonly collectors: readonly CollectorView[];
}

/** `now`: Clock.now(). */
export function assess(status: StatusView, now: number): Assessment {
  const collectors = status.collectors.map((collector) => distrust(collector, now));
  const oldestFirst = (a: ProblemView, b: ProblemView) => (a.since ?? now) - (b.since ?? now);
  const problems = [
    ...[...status.problems].sort(oldestFirst),
    ...unreadSources(collectors).sort(oldestFirst),
  ].sort((a, b) => rank(a) - rank(b));
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
  const groups = new Map<string, [CollectorView, ...CollectorView[]]>();
  for (const collector of collectors) {
    if (collector.state !== 'failed' && collector.state !== 'stale') continue;
    const alike = JSON.stringify([collector.state, collector.reason, collector.message]);
    const group = groups.get(alike);
    if (group === undefined) groups.set(alike, [collector]);
    else group.push(collector);
  }
  return [...groups.values()].map((group) => unreadSource(group, collectors));
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What the failure means for the metrics: a failed run leaves the snapshot before it in use for a while. */
function consequence({ state, series = 0, maxAgeMs }: CollectorView): string {
  if (state === 'stale' || series === 0) {
    return 'Meanwhile its metrics are absent, and nothing that rests on them is known.';
  }
  const until = maxAgeMs === undefined ? '' : ` until they are ${formatDuration(maxAgeMs)} old`;
  return `The values read before are still served${until}.`;
}

function unreadSource(
  group: readonly [CollectorView, ...CollectorView[]],
  all: readonly CollectorView[],
): ProblemView {
  const [first] = group;
  const names = group.map(({ name }) => name).join(', ');
  const what = group.length === 1 ? first.title : `${group.length} collectors (${names})`;
  const stale = first.state === 'stale';
  const why = [first.reason, first.message].filter((part) => part !== undefined).join(': ');
  const began = group.flatMap(({ since }) => (since === undefined ? [] : [since]));
  return {
    severity: group.length === all.filter(({ state }) => state !== 'empty').length ? 'critical' : 'warning',
    title: stale ? `What was read is too old to be believed: ${what}` : `Cannot be read: ${what}`,
    since: began.length > 0 ? Math.min(...began) : undefined,
    detail: [why === '' ? '' : sentence(why), consequence(first)].join(' ').trim(),
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
    oldest?.readAt === undefined ? '' : `; the oldest values are ${formatDuration(now - oldest.readAt)} old`;
  return collectors.length === 1
    ? `The one collector has read its source${age}.`
    : `All ${collectors.length} collectors have read their source${age}.`;
}
