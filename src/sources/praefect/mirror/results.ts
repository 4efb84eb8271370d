/** What the mirror says: a pure reading of shapes, lags and health into plain numbers per virtual storage. */
import type { HealthHistory, HealthView } from '../health.ts';
import type { Mirror } from './mirror.ts';
import type { ShardPrimary } from './refresh.ts';
import { cell, type Shape } from './shapes.ts';
import type { Slices } from './slices.ts';
import type { MirrorSchema } from './statements.ts';
import type { Column, Table } from './table.ts';

/** The assigned and other replicas on one storage. `undefined`: not known, or not defined in this version. */
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

/** The repositories of one virtual storage. */
export interface VirtualStorageReplicas {
  readonly virtualStorage: string;
  readonly repositories: number;
  readonly lost: number;
  readonly withoutPrimary: number;
  readonly unavailable: number | undefined;
  readonly readOnly: number | undefined;
  /** Repositories by how many up-to-date replicas they have on healthy storages: the index is that number. */
  readonly byHealthyReplicas: readonly number[] | undefined;
  readonly storages: readonly StorageReplicas[];
}

type StorageTotals = { -readonly [Key in keyof StorageReplicas]: StorageReplicas[Key] };

type VirtualStorageTotals = {
  -readonly [Key in keyof Omit<
    VirtualStorageReplicas,
    'storages' | 'byHealthyReplicas'
  >]: VirtualStorageReplicas[Key];
} & { readonly byHealthyReplicas: number[] | undefined; readonly storages: readonly StorageTotals[] };

export interface Circumstances {
  readonly schema: MirrorSchema;
  /** Seconds since 1970. */
  readonly now: number;
  readonly health: HealthView | undefined;
  readonly history: HealthHistory;
  readonly stuckThresholdSeconds: number;
  /** Of the legacy `sql` elector, by virtual storage. */
  readonly shardPrimaries: ReadonlyMap<string, ShardPrimary>;
  /** Whether delete_replica jobs could be read: without them it is not known which replicas are candidates. */
  readonly deletionsKnown: boolean;
  /** How many of the replicas that are behind have a job, by column; undefined when the queue was not read. */
  readonly scheduled: ((column: Column) => number) | undefined;
  readonly slices: Slices;
}

export async function answersOf(
  mirror: Mirror,
  circumstances: Circumstances,
): Promise<readonly VirtualStorageReplicas[]> {
  const answers: VirtualStorageReplicas[] = [];
  for (const table of mirror.tables.values()) answers.push(await answerOf(mirror, table, circumstances));
  return answers.sort((a, b) => (a.virtualStorage < b.virtualStorage ? -1 : 1));
}

async function answerOf(
  mirror: Mirror,
  table: Table,
  circumstances: Circumstances,
): Promise<VirtualStorageReplicas> {
  const { health, schema } = circumstances;
  const virtualStorage = mirror.names.text(table.virtualStorage);
  const names = table.columns.map((column) => mirror.names.text(column.storage));
  const healthy = names.map((storage) => health?.healthy(virtualStorage, storage) ?? false);
  const shardPrimary = legacyPrimary(table, names, circumstances.shardPrimaries.get(virtualStorage));
  const availability =
    health !== undefined && circumstances.deletionsKnown && schema.validPrimaries !== 'none';
  const configured = table.columns.filter((column) => column.configured).length;
  const storages = names.map(
    (storage): StorageTotals => ({
      storage,
      current: 0,
      outdated: 0,
      missing: 0,
      unassigned: 0,
      primaries: 0,
      atRisk: availability ? 0 : undefined,
      unscheduled: undefined,
      stuck: undefined,
      behindSince: undefined,
      generationsBehindMax: 0,
    }),
  );
  const answer: VirtualStorageTotals = {
    virtualStorage,
    repositories: 0,
    lost: 0,
    withoutPrimary: 0,
    unavailable: availability ? 0 : undefined,
    readOnly: schema.validPrimaries === 'none' ? 0 : undefined,
    byHealthyReplicas: health === undefined ? undefined : new Array<number>(configured + 1).fill(0),
    storages,
  };
  for (const shape of table.shapes.inUse()) {
    if (shape.repository) addShape(answer, shape, table, healthy, shardPrimary, schema);
  }
  for (const [index, column] of table.columns.entries()) {
    const storage = storages[index] as StorageTotals;
    const behind = storage.outdated + storage.missing;
    storage.unscheduled = circumstances.scheduled && behind - circumstances.scheduled(column);
    await addLag(storage, behind, table, column, virtualStorage, circumstances);
  }
  const relevant = (storage: StorageTotals, column: Column | undefined): boolean =>
    column?.configured === true ||
    storage.current + storage.outdated + storage.missing + storage.unassigned + storage.primaries > 0;
  return {
    ...answer,
    storages: storages.filter((storage, index) => relevant(storage, table.columns[index])),
  };
}

/**
 * The column of the primary that the `sql` elector chose for the whole virtual storage, or -1. Rows that an
 * upgrade left behind mean nothing: they count only while no repository has a primary of its own.
 */
function legacyPrimary(table: Table, names: readonly string[], found: ShardPrimary | undefined): number {
  if (found === undefined || found.demoted) return -1;
  for (const shape of table.shapes.inUse()) if (shape.primary >= 0) return -1;
  return names.indexOf(found.storage);
}

function addShape(
  answer: VirtualStorageTotals,
  shape: Shape,
  table: Table,
  healthy: readonly boolean[],
  shardPrimary: number,
  schema: MirrorSchema,
): void {
  const { count } = shape;
  const valid = schema.validPrimaries === 'exact' ? cell.exact : cell.highest;
  let records = 0;
  let copies = 0;
  // Candidates for primary. An unassigned one is eligible only when no candidate is assigned, so whether there
  // is any is a question of candidates alone.
  let candidates = 0;
  let candidate = -1;
  for (const [index, column] of table.columns.entries()) {
    const storage = answer.storages[index] as StorageTotals;
    const bits = shape.cells[index] ?? 0;
    const present = (bits & cell.present) !== 0;
    const behind = (bits & cell.behind) !== 0;
    const assigned = shape.assignments ? (bits & cell.assigned) !== 0 : column.configured;
    if (assigned) storage[present ? (behind ? 'outdated' : 'current') : 'missing'] += count;
    else if (present) storage.unassigned += count;
    if (!present) continue;
    records++;
    if (healthy[index] !== true) continue;
    if (!behind) copies++;
    if ((bits & valid) !== 0 && (bits & cell.deletePending) === 0) {
      candidates++;
      candidate = index;
    }
  }
  const primary = shape.primary >= 0 ? shape.primary : shardPrimary;
  answer.repositories += count;
  if (records === 0) answer.lost += count;
  if (primary < 0) answer.withoutPrimary += count;
  else (answer.storages[primary] as StorageTotals).primaries += count;
  if (answer.byHealthyReplicas !== undefined)
    answer.byHealthyReplicas[copies] = (answer.byHealthyReplicas[copies] ?? 0) + count;
  if (answer.unavailable !== undefined && candidates === 0) answer.unavailable += count;
  const atRisk = candidates === 1 ? answer.storages[candidate] : undefined;
  if (atRisk?.atRisk !== undefined) atRisk.atRisk += count;
  if (answer.readOnly !== undefined && shape.generationKnown) {
    // A primary without a record counts as generation -1, as no primary does.
    const bits = shape.cells[primary] ?? 0;
    if ((bits & cell.present) === 0 || (bits & cell.behind) !== 0) answer.readOnly += count;
  }
}

/** What only the replicas themselves know: how long and how far they are behind. */
async function addLag(
  storage: StorageTotals,
  behind: number,
  table: Table,
  column: Column,
  virtualStorage: string,
  { health, history, now, stuckThresholdSeconds, slices }: Circumstances,
): Promise<void> {
  const healthySince = history.healthySince(virtualStorage, storage.storage);
  storage.stuck = health === undefined ? undefined : 0;
  if (behind === 0) return;
  const stuckBefore = now - stuckThresholdSeconds;
  const countsAsStuck = healthySince !== undefined && healthySince <= stuckBefore;
  let stuck = 0;
  let oldest = Number.POSITIVE_INFINITY;
  let farthest = 0;
  for (let slot = 0; slot < table.slots.limit(); slot++) {
    if ((slot & 8191) === 0) await slices.pause();
    const since = column.behindSince[slot] ?? 0;
    if (since === 0) continue;
    if (since < oldest) oldest = since;
    if (countsAsStuck && (column.movedAt[slot] ?? 0) <= stuckBefore) stuck++;
    const lag = expectedGeneration(table, slot) - (column.generations[slot] ?? -1);
    if (lag > farthest) farthest = lag;
  }
  if (storage.stuck !== undefined) storage.stuck = stuck;
  storage.behindSince = Number.isFinite(oldest) ? oldest : undefined;
  storage.generationsBehindMax = farthest;
}

/** repositories.generation, or the highest of any replica where that is null. */
function expectedGeneration(table: Table, slot: number): number {
  const expected = table.generation(slot);
  if (expected >= 0) return expected;
  return Math.max(-1, ...table.columns.map((column) => column.generations[slot] ?? -1));
}
