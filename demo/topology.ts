/** The configuration of the simulated cluster: two virtual storages, as two teams would run them, and its timings. */

export interface VirtualStorage {
  readonly name: string;
  /** Each storage has one Gitaly of the same name. */
  readonly storages: readonly string[];
  /** `default_replication_factor`. Without it, Praefect uses every storage and writes no assignments. */
  readonly replicationFactor?: number;
}

export interface Topology {
  readonly praefects: readonly string[];
  readonly virtualStorages: readonly VirtualStorage[];
}

export const demoTopology: Topology = {
  praefects: ['praefect-1', 'praefect-2', 'praefect-3'],
  virtualStorages: [
    { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'] },
    { name: 'archive', storages: ['archive-1', 'archive-2'], replicationFactor: 1 },
  ],
};

/** node_status.praefect_name: host name and listen address. */
export const praefectName = (praefect: string): string => `${praefect}:0.0.0.0:2305`;

export const storagesOf = (topology: Topology): readonly string[] =>
  topology.virtualStorages.flatMap(({ storages }) => storages);

export function virtualStorageOf(topology: Topology, storage: string): VirtualStorage {
  const found = topology.virtualStorages.find(({ storages }) => storages.includes(storage));
  if (found === undefined) throw new RangeError(`no virtual storage has the storage ${storage}`);
  return found;
}

/**
 * Intervals and durations in milliseconds. The first group is Praefect's own (praefect/config, nodes/health_manager,
 * replicator, verifier); the second was measured on a small cluster on one machine.
 */
export interface Timings {
  /** Interval of each Praefect's health checks. */
  readonly probe: number;
  /** Interval at which an idle replication worker polls the queue. */
  readonly poll: number;
  /** Interval at which a worker refreshes the locks of its jobs. */
  readonly refreshLocks: number;
  /** Interval of the search for stale locks, and the age from which they are released. */
  readonly checkStale: number;
  readonly staleAfter: number;
  /** `reconciliation.scheduling_interval`: 5 minutes by default. */
  readonly reconcile: number;
  /** Interval between a verifier's batches of 25, and the longest time that it may hold one. */
  readonly verify: number;
  readonly verificationLease: number;
  /** `background_verification.verification_interval`: 7 days by default. */
  readonly verificationInterval: number;
  /** Interval at which expired write locks are deleted. */
  readonly cleanWriteLocks: number;
  /** Time after which gRPC closes a connection without responses. */
  readonly keepalive: number;

  /** A write, from its lock to the last vote. */
  readonly write: number;
  /** One replication job. */
  readonly replicate: number;
  /** One replication job to a Gitaly with a slow disk. */
  readonly replicateSlowly: number;
  /** Time until a refused connection fails. */
  readonly refused: number;
  /** Time until Git fails to write: a locked reference, a full disk. */
  readonly gitFails: number;
}

/** Intervals of minutes and days are shortened, so that the demo shows their effect within a minute. */
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
