/**
 * What is kept of a collector's runs, and what it means at a given moment.
 *
 * The rule: stale, missing or failed data never reads as healthy. The first failed run sets `success` to 0. The last
 * good snapshot stays until its staleness limit, so that one missed refresh of a heavy collector does not break
 * every series. A failed run that still knows something true (`up 0`) replaces the snapshot immediately.
 */
import { outsideText } from '../lib/outside-text.ts';
import type { Block } from '../metrics/samples.ts';
import type { BoundedRun, Ended } from './bounded-run.ts';
import { type FailureReason, failureReasons } from './outcome.ts';
import { limitSeries } from './series-limit.ts';

export type CollectorState =
  /** No run has ended yet. */
  | 'pending'
  /** The last run returned data, within its staleness limit. */
  | 'ok'
  /** The last run found that there is nothing to collect, as expected. */
  | 'empty'
  /** The last run failed; the snapshot before it may still be shown. */
  | 'failed'
  /** The last run succeeded, but longer ago than the staleness limit. */
  | 'stale';

export type Verdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'empty'; readonly message: string }
  | { readonly kind: 'failed'; readonly reason: FailureReason; readonly message: string };

export interface Snapshot {
  /** Absent when there was nothing to collect. */
  readonly block: Block | undefined;
  /** The typed data that the block was made from, where the collector gives it. */
  readonly data: unknown;
  /** Monotonic. */
  readonly readAt: number;
  readonly series: number;
  readonly dropped: number;
}

export interface CollectorRecord {
  verdict: Verdict | undefined;
  snapshot: Snapshot | undefined;
  lastDurationMs: number | undefined;
  /** Wall clock, of when the source was read. */
  lastSuccessAt: number | undefined;
  readonly failures: Map<FailureReason, number>;
  droppedTotal: number;
}

export const newRecord = (counted: readonly FailureReason[] = failureReasons): CollectorRecord => ({
  verdict: undefined,
  snapshot: undefined,
  lastDurationMs: undefined,
  lastSuccessAt: undefined,
  failures: new Map(counted.map((reason) => [reason, 0])),
  droppedTotal: 0,
});

/** Records a run that ended. */
export function recordRun(
  record: CollectorRecord,
  run: Pick<BoundedRun, 'startedAt' | 'startedAtWall'>,
  { outcome, durationMs }: Extract<Ended, { kind: 'finished' }>,
  maxSeries: number,
): void {
  // Data of an earlier refresh is as old as that refresh; otherwise it is at most as old as the start of the run. A
  // time in the future means that the wall clock was set back in between.
  const age =
    outcome.kind === 'data' ? Math.max(0, run.startedAtWall - (outcome.readAt ?? run.startedAtWall)) : 0;
  record.lastDurationMs = durationMs;

  if (outcome.kind !== 'failed') record.lastSuccessAt = run.startedAtWall - age;
  else record.failures.set(outcome.reason, (record.failures.get(outcome.reason) ?? 0) + 1);

  if (outcome.kind === 'empty')
    record.snapshot = { block: undefined, data: undefined, readAt: run.startedAt, series: 0, dropped: 0 };
  else if (outcome.block !== undefined) {
    const limited = limitSeries(outcome.block, maxSeries);
    record.snapshot = { ...limited, data: outcome.snapshot, readAt: run.startedAt - age };
    record.droppedTotal += limited.dropped;
  }

  switch (outcome.kind) {
    case 'data':
      record.verdict = { kind: 'ok' };
      break;
    case 'empty':
      record.verdict = { kind: 'empty', message: messageText(outcome.why) };
      break;
    case 'failed':
      record.verdict = { kind: 'failed', reason: outcome.reason, message: messageText(outcome.message) };
  }
}

/** Whatever a source quotes in it: printable, on one line, of a length that a page can show. */
const messageText = (message: string): string => outsideText(message, [], maxMessageBytes);

const maxMessageBytes = 4000;

export interface Assessment {
  readonly state: CollectorState;
  readonly ageMs: number | undefined;
  /** The snapshot is older than the staleness limit and was withdrawn. */
  readonly withdrawn: boolean;
  /** What a scrape shows. */
  readonly shown: Snapshot | undefined;
}

/** What the record means at `now` (monotonic) for a snapshot with this staleness limit. */
export function assess({ snapshot, verdict }: CollectorRecord, maxAgeMs: number, now: number): Assessment {
  const ageMs = snapshot === undefined ? undefined : now - snapshot.readAt;
  const withdrawn = ageMs !== undefined && !(ageMs <= maxAgeMs);
  const shown = withdrawn ? undefined : snapshot;
  if (verdict === undefined) return { state: 'pending', ageMs, withdrawn, shown };
  const state = withdrawn && verdict.kind !== 'failed' ? 'stale' : verdict.kind;
  return { state, ageMs, withdrawn, shown };
}
