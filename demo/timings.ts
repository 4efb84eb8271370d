/**
 * How long things take. The first group is Praefect's own (praefect/config, nodes/health_manager, replicator,
 * verifier); the second is what a small cluster on one machine was seen to need. Milliseconds.
 */
export interface Timings {
  /** Each Praefect asks each Gitaly for its health. */
  readonly probe: number;
  /** A worker that found nothing to replicate looks again. */
  readonly poll: number;
  /** A worker shows that it still holds its jobs. */
  readonly refreshLocks: number;
  /** Locks that nobody refreshes are looked for, and from what age they are released. */
  readonly checkStale: number;
  readonly staleAfter: number;
  /** `reconciliation.scheduling_interval`: 5 minutes by default. */
  readonly reconcile: number;
  /** A verifier takes its next batch of 25, and holds it for so long at most. */
  readonly verify: number;
  readonly verificationLease: number;
  /** `background_verification.verification_interval`: 7 days by default. */
  readonly verificationInterval: number;
  /** Write locks that ran out are deleted. */
  readonly cleanWriteLocks: number;
  /** gRPC gives up a connection on which nothing answers. */
  readonly keepalive: number;

  /** A write, from its lock to its last vote. */
  readonly write: number;
  /** One replication job. */
  readonly replicate: number;
  /** One replication job to a Gitaly with a slow disk. */
  readonly replicateSlowly: number;
  /** Until a refused connection is an error. */
  readonly refused: number;
  /** Until Git finds that it can't write: a reference that is locked, a disk that is full. */
  readonly gitFails: number;
}

/** The intervals of days and minutes are shortened, so that a demo shows within a minute what they do. */
export const demoTimings: Timings = {
  probe: 1000,
  poll: 1000,
  refreshLocks: 5000,
  checkStale: 30_000,
  staleAfter: 60_000,
  reconcile: 30_000,
  verify: 2000,
  verificationLease: 30_000,
  verificationInterval: 300_000,
  cleanWriteLocks: 40_000,
  keepalive: 40_000,
  write: 60,
  replicate: 150,
  replicateSlowly: 3000,
  refused: 60,
  gitFails: 1000,
};
