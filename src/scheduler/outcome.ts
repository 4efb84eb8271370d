/** How a collector's run ended: a closed union, so that nobody can forget a case. */
import type { Block } from '../metrics/samples.ts';

/**
 * Why a run failed. Closed, because it is a label (`gitaly_exporter_collector_failures_total{reason}`) and each has
 * its line in docs/failures.md.
 */
export const failureReasons = [
  'refused', // nothing listens there, or the name does not resolve
  'timeout', // no answer within the deadline
  'tls', // certificate, key, or the server does not speak TLS as asked
  'authentication', // user or password
  'permission', // known, but may not read this table, file or resource
  'missing_schema', // the place is right, but Praefect's tables are not there
  'unsupported_schema', // tables of a form that this build does not know
  'query', // the server refused the question for another reason
  'http_status', // an HTTP server answered, but not with 200: a redirect, a wrong path, an error of its own
  'parse', // what came is not of the form that it should have: cut off, garbage, a broken file
  'too_large', // more came than the limit on bytes or series allows
  'internal', // a fault of our own
] as const;

export type FailureReason = (typeof failureReasons)[number];

/** An expected failure, as a value. `message` is for people: what was found, and the mend. No secrets. */
export interface Failure {
  readonly reason: FailureReason;
  readonly message: string;
}

/** `Snapshot` is the type of the data that the block was made from. */
export type Outcome<Snapshot = unknown> =
  | {
      readonly kind: 'data';
      readonly block: Block;
      /** For the page, checks and problems: `Runner.latest` returns it as long as scrapes show the block. */
      readonly snapshot?: Snapshot;
      /** When the source was read (Clock.now()), if that was not in this run but before. */
      readonly readAt?: number;
    }
  /** Nothing to collect, and that is right (a schema that has no such table). `why` is for the page. */
  | { readonly kind: 'empty'; readonly why: string }
  /** `block`: what can truthfully be said all the same (`praefect_db_up 0`); usually absent. */
  | ({ readonly kind: 'failed'; readonly block?: Block; readonly snapshot?: Snapshot } & Failure);

export const failed = <Snapshot = never>(
  reason: FailureReason,
  message: string,
  block?: Block,
  snapshot?: Snapshot,
): Outcome<Snapshot> => ({
  kind: 'failed',
  reason,
  message,
  ...(block !== undefined && { block }),
  ...(snapshot !== undefined && { snapshot }),
});
