/** What the collector of repositories keeps between refreshes. */
import type { SchemaVariant } from '../variant.ts';
import { createMirror, type Mirror } from './mirror.ts';
import type { RefreshPoint, ShardPrimary } from './refresh.ts';
import { type MirrorSchema, type MirrorStatements, mirrorSchemaOf, mirrorStatements } from './statements.ts';
import type { ReplicaRef, StorageColumn } from './table.ts';
import { createDeletionTally, type DeletionTally, type WriteCounters } from './write-counters.ts';

/** What is kept between refreshes, until the schema changes. */
export interface MirrorState {
  readonly fingerprint: string;
  readonly schema: MirrorSchema;
  readonly statements: MirrorStatements;
  readonly mirror: Mirror;
  point?: RefreshPoint;
  readonly deletionTally: DeletionTally;
  /** By `steady`. */
  refreshedAt: number;
  /** When a refresh last relied on no counters. By `steady`. */
  completeAt: number;
  /** Of the last refresh, in the database's time. */
  refreshMs: number;
  /** When a refresh last compared the sums of keys. By `steady`. */
  verifiedAt: number;
  /** Read before the last refresh began. */
  writeCounters: WriteCounters | undefined;
  deletions: readonly ReplicaRef[];
  scheduled: ReadonlyMap<StorageColumn, number> | undefined;
  shardPrimaries: readonly ShardPrimary[];
  /** The database's clock minus the exporter's, in seconds. */
  clockSkew: number;
}

/** The state before it, or a new one where the schema has changed. */
export function mirrorStateOf(variant: SchemaVariant, before: MirrorState | undefined): MirrorState {
  if (before?.fingerprint === variant.fingerprint) return before;
  const schema = mirrorSchemaOf(variant);
  // Another key for the same rows (14.4 to 14.5) needs another mirror; otherwise what is known of lags is kept.
  const mirror = before?.schema.keyedBy === schema.keyedBy ? before.mirror : createMirror();
  return {
    fingerprint: variant.fingerprint,
    schema,
    statements: mirrorStatements(schema),
    mirror,
    deletionTally: createDeletionTally(mirror),
    refreshedAt: 0,
    completeAt: Number.NEGATIVE_INFINITY,
    refreshMs: 0,
    verifiedAt: Number.NEGATIVE_INFINITY,
    writeCounters: undefined,
    deletions: [],
    scheduled: undefined,
    shardPrimaries: [],
    clockSkew: 0,
  };
}
