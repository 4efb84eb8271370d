/** How a collector's run ended: a closed union, so that the compiler finds a forgotten case. */
import type { Block } from '../metrics/samples.ts';

/**
 * Why a run failed. Closed, because it is a label (`gitaly_exporter_collector_failures_total{reason}`) and each has
 * its line in docs/failures.md.
 */
export const failureReasons = [
  'refused', // connection refused, or the name does not resolve
  'timeout', // no response within the deadline
  'tls', // certificate, key, or the server does not support TLS as configured
  'authentication', // wrong user or password
  'permission', // authenticated, but not allowed to read this table, file or resource
  'missing_schema', // connected, but Praefect's tables do not exist
  'unsupported_schema', // tables of a version that this build does not know
  'query', // the server rejected the query for another reason
  'http_status', // an HTTP response other than 200: a redirect, a wrong path, a server error
  'parse', // malformed input: truncated, garbage, a broken file
  'too_large', // over the limit on bytes or series
  'missing', // known to exist from another source, but not found where it should be
  'internal', // an internal error of the exporter
] as const;

export type FailureReason = (typeof failureReasons)[number];

/** Those of a source behind HTTP, which has no schema and no queries. */
export const httpFailureReasons = [
  ...(['refused', 'timeout', 'tls', 'authentication', 'permission'] as const),
  ...(['http_status', 'parse', 'too_large', 'missing', 'internal'] as const),
];

/** Those of a collector that computes its data from other sources. */
export const ownFailureReasons = ['timeout', 'internal'] as const satisfies readonly FailureReason[];

/** An expected failure, as a value. `message` is for people: what was found and how to fix it. No secrets. */
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
  /** Nothing to collect, as expected (a schema that has no such table). `why` is for the page. */
  | { readonly kind: 'empty'; readonly why: string }
  /** `block`: what is still known to be true (`praefect_db_up 0`); usually absent. */
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
