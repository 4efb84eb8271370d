/** Counts the mirror's replicas per virtual storage and storage: a pure pass over layouts, lags and health. */
import type { Yielder } from '../../../lib/yielder.ts';
import type { HealthView } from '../health.ts';
import type { HealthHistory } from '../health-history.ts';
import type { ConfiguredStorageMap } from '../queries/known-storages.ts';
import { cellBits, type ReplicaLayout } from './layouts.ts';
import type { Mirror } from './mirror.ts';
import type { ShardPrimary } from './refresh.ts';
import type { MirrorSchema } from './statements.ts';
import type { ReplicaTable, StorageColumn } from './table.ts';

/** The replicas on one storage. `undefined`: not known, or not defined in this version. */
export interface StorageReplicas {
  readonly storage: string;
  readonly current: number;
  readonly outdated: number;
  readonly missing: number;
  readonly unassigned: number;
  /** Repositories whose primary is here. */
  readonly primaries: number;
  /** Repositories that would become unavailable if this storage failed. */
  readonly atRisk: number | undefined;
  /** Outdated and missing replicas without a replication job. */
  readonly unscheduled: number | undefined;
  readonly stuck: number | undefined;
  /** Since when the replica that has been behind longest is behind, in seconds since 1970. */
  readonly behindSince: number | undefined;
  readonly generationsBehindMax: number;
}

/** The repositories of one virtual storage. `undefined`: not known, or not defined in this version. */
export interface VirtualStorageReplicas {
  readonly virtualStorage: string;
  readonly repositories: number;
  /** Undefined where the virtual storage was removed from Praefect's configuration. */
  readonly lost: number | undefined;
  readonly withoutPrimary: number;
  readonly unavailable: number | undefined;
  readonly readOnly: number | undefined;
  /** Repositories by how many up-to-date replicas they have on healthy storages: the index is that number. */
  readonly byHealthyReplicas: readonly number[] | undefined;
  /** Repositories with one up-to-date replica on a healthy storage that are assigned to another storage, too. */
  readonly singleCopy: number | undefined;
  readonly storages: readonly StorageReplicas[];
}

type StorageTotals = { -readonly [Key in keyof StorageReplicas]: StorageReplicas[Key] };

type VirtualStorageTotals = {
  -readonly [Key in keyof Omit<
    VirtualStorageReplicas,
    'storages' | 'byHealthyReplicas'
  >]: VirtualStorageReplicas[Key];
} & { readonly byHealthyReplicas: number[] | undefined; readonly storages: readonly StorageTotals[] };

export interface SummaryContext {
  readonly schema: MirrorSchema;
  /** Seconds since 1970. */
  readonly now: number;
  readonly health: HealthView | undefined;
  /** Undefined: unknown. A virtual storage without storages was removed. */
  readonly configured: ConfiguredStorageMap | undefined;
  readonly history: HealthHistory;
  readonly stuckThresholdSeconds: number;
  /** Of the legacy `sql` elector, by virtual storage. */
  readonly shardPrimaries: ReadonlyMap<string, ShardPrimary>;
  /** Whether delete_replica jobs could be read: without them it is unknown which replicas are candidates. */
  readonly deleteJobsKnown: boolean;
  /** How many replicas that are behind have a job, by column; undefined when the queue was not read. */
  readonly scheduled: ReadonlyMap<StorageColumn, number> | undefined;
  readonly yielder: Yielder;
}

/** Sorted by virtual storage and storage, so that the order of series does not depend on that of the rows. */
export async function summarizeMirror(
  mirror: Mirror,
  context: SummaryContext,
): Promise<readonly VirtualStorageReplicas[]> {
  const summaries: VirtualStorageReplicas[] = [];
  for (const table of mirror.tables.values()) summaries.push(await summarizeTable(mirror, table, context));
  return summaries.sort((a, b) => (a.virtualStorage < b.virtualStorage ? -1 : 1));
}

async function summarizeTable(
  mirror: Mirror,
  table: ReplicaTable,
  context: SummaryContext,
): Promise<VirtualStorageReplicas> {
  const { configured: storagesByName, schema } = context;
  const virtualStorage = mirror.names.nameOf(table.virtualStorage);
  // Praefect keeps the repositories of a virtual storage that was removed from its configuration, and writes no
  // heartbeats for it, as with the `local` elector: that no storage of it is healthy does not make them unavailable.
  const hasHeartbeats = context.health?.virtualStorages.get(virtualStorage)?.contacted === true;
  const health = hasHeartbeats ? context.health : undefined;
  const isRemoved = storagesByName !== undefined && (storagesByName.get(virtualStorage) ?? []).length === 0;
  const names = table.columns.map((column) => mirror.names.nameOf(column.storage));
  const healthy = names.map((storage) => health?.healthy(virtualStorage, storage) ?? false);
  const shardPrimary = shardPrimaryColumn(table, names, context.shardPrimaries.get(virtualStorage));
  const isAvailabilityKnown =
    health !== undefined && context.deleteJobsKnown && schema.validPrimaries !== 'none';
  const configured = table.columns.filter((column) => column.configured).length;
  const storages = names.map(
    (storage): StorageTotals => ({
      storage,
      current: 0,
      outdated: 0,
      missing: 0,
      unassigned: 0,
      primaries: 0,
      atRisk: isAvailabilityKnown ? 0 : undefined,
      unscheduled: undefined,
      stuck: undefined,
      behindSince: undefined,
      generationsBehindMax: 0,
    }),
  );
  const totals: VirtualStorageTotals = {
    virtualStorage,
    repositories: 0,
    lost: isRemoved ? undefined : 0,
    withoutPrimary: 0,
    unavailable: isAvailabilityKnown ? 0 : undefined,
    // Only with the sql elector: the `local` one records no primary.
    readOnly:
      schema.validPrimaries === 'none' && (hasHeartbeats || context.health === undefined) ? 0 : undefined,
    byHealthyReplicas: health === undefined ? undefined : new Array<number>(configured + 1).fill(0),
    singleCopy: health === undefined ? undefined : 0,
    storages,
  };
  for (const layout of table.layouts.inUse()) {
    if (layout.hasRepository) addLayout(totals, layout, table, healthy, shardPrimary, schema);
  }
  for (const [index, column] of table.columns.entries()) {
    const storage = storages[index] as StorageTotals;
    const behind = storage.outdated + storage.missing;
    storage.unscheduled = context.scheduled && behind - (context.scheduled.get(column) ?? 0);
    await addLag(storage, behind, table, column, virtualStorage, { ...context, health });
  }
  const isRelevant = (storage: StorageTotals, column: StorageColumn | undefined): boolean =>
    column?.configured === true ||
    storage.current + storage.outdated + storage.missing + storage.unassigned + storage.primaries > 0;
  return {
    ...totals,
    storages: storages
      .filter((storage, index) => isRelevant(storage, table.columns[index]))
      .sort((a, b) => (a.storage < b.storage ? -1 : 1)),
  };
}

/**
 * The column of the primary that the `sql` elector chose for the whole virtual storage, or -1. An upgraded cluster
 * keeps rows that are no longer used: they count only while no repository has a primary of its own.
 */
function shardPrimaryColumn(
  table: ReplicaTable,
  names: readonly string[],
  found: ShardPrimary | undefined,
): number {
  if (found === undefined || found.demoted) return -1;
  for (const layout of table.layouts.inUse()) if (layout.primary >= 0) return -1;
  return names.indexOf(found.storage);
}

function addLayout(
  totals: VirtualStorageTotals,
  layout: ReplicaLayout,
  table: ReplicaTable,
  healthy: readonly boolean[],
  shardPrimary: number,
  schema: MirrorSchema,
): void {
  const { count } = layout;
  const valid = schema.validPrimaries === 'exact' ? cellBits.exact : cellBits.highest;
  let records = 0;
  let healthyReplicas = 0;
  let isWantedElsewhere = false;
  // Candidates for primary. An unassigned one is eligible only when no candidate is assigned, so whether the
  // repository is available depends only on whether there is any candidate.
  let candidates = 0;
  let candidate = -1;
  for (const [index, column] of table.columns.entries()) {
    const storage = totals.storages[index] as StorageTotals;
    const bits = layout.cells[index] ?? 0;
    const present = (bits & cellBits.present) !== 0;
    const behind = (bits & cellBits.behind) !== 0;
    const assigned = layout.hasAssignments ? (bits & cellBits.assigned) !== 0 : column.configured;
    if (assigned) storage[present ? (behind ? 'outdated' : 'current') : 'missing'] += count;
    else if (present) storage.unassigned += count;
    if (assigned && (!present || behind || healthy[index] !== true)) isWantedElsewhere = true;
    if (!present) continue;
    records++;
    if (healthy[index] !== true) continue;
    if (!behind) healthyReplicas++;
    if ((bits & valid) !== 0 && (bits & cellBits.deletePending) === 0) {
      candidates++;
      candidate = index;
    }
  }
  const primary = layout.primary >= 0 ? layout.primary : shardPrimary;
  totals.repositories += count;
  if (records === 0 && totals.lost !== undefined) totals.lost += count;
  if (primary < 0) totals.withoutPrimary += count;
  else (totals.storages[primary] as StorageTotals).primaries += count;
  const { byHealthyReplicas } = totals;
  if (byHealthyReplicas !== undefined)
    byHealthyReplicas[healthyReplicas] = (byHealthyReplicas[healthyReplicas] ?? 0) + count;
  if (totals.singleCopy !== undefined && healthyReplicas === 1 && isWantedElsewhere)
    totals.singleCopy += count;
  if (totals.unavailable !== undefined && candidates === 0) totals.unavailable += count;
  const atRisk = candidates === 1 ? totals.storages[candidate] : undefined;
  if (atRisk?.atRisk !== undefined) atRisk.atRisk += count;
  if (totals.readOnly !== undefined && layout.hasGeneration) {
    // A primary without a record counts as generation -1, like no primary at all.
    const bits = layout.cells[primary] ?? 0;
    if ((bits & cellBits.present) === 0 || (bits & cellBits.behind) !== 0) totals.readOnly += count;
  }
}

/** How long and how far the replicas of a storage are behind, which only the rows show. */
async function addLag(
  storage: StorageTotals,
  behind: number,
  table: ReplicaTable,
  column: StorageColumn,
  virtualStorage: string,
  { health, history, now, stuckThresholdSeconds, yielder }: SummaryContext,
): Promise<void> {
  const healthySince = history.healthySince(virtualStorage, storage.storage);
  storage.stuck = health === undefined ? undefined : 0;
  if (behind === 0) return;
  const stuckBefore = now - stuckThresholdSeconds;
  const mayBeStuck = healthySince !== undefined && healthySince <= stuckBefore;
  let stuck = 0;
  let oldest = Number.POSITIVE_INFINITY;
  let farthest = 0;
  for (let row = 0; row < table.keys.limit(); row++) {
    if ((row & 8191) === 0) await yielder.yieldIfDue();
    const since = column.behindSince[row] ?? 0;
    if (since === 0) continue;
    if (since < oldest) oldest = since;
    if (mayBeStuck && (column.movedAt[row] ?? 0) <= stuckBefore) stuck++;
    const lag = expectedGeneration(table, row) - (column.generations[row] ?? -1);
    if (lag > farthest) farthest = lag;
  }
  if (storage.stuck !== undefined) storage.stuck = stuck;
  storage.behindSince = Number.isFinite(oldest) ? oldest : undefined;
  storage.generationsBehindMax = farthest;
}

/** repositories.generation, or the highest of any replica where that is null. */
function expectedGeneration(table: ReplicaTable, row: number): number {
  const expected = table.generation(row);
  if (expected >= 0) return expected;
  return table.columns.reduce((highest, column) => Math.max(highest, column.generations[row] ?? -1), -1);
}
