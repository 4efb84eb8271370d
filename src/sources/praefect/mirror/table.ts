/**
 * One virtual storage in the mirror: arrays with a row per repository, and a column of arrays per storage. About 9
 * bytes per repository and storage, 8 more where the storage has replicas that are behind, and some 35 bytes per
 * repository.
 */
import { UnacceptableRows } from '../database.ts';
import { createKeyIndex, grown, type KeyIndex } from './key-index.ts';
import { cellBits, createLayoutRegistry, type LayoutRegistry } from './layouts.ts';
import { cellsPerRow, type MirrorMemory } from './mirror-memory.ts';

/** The replicas on one storage, by row. */
export interface StorageColumn {
  /** The storage's id in NameIds. */
  readonly storage: number;
  /** Whether repositories without assignments are assigned to it. */
  configured: boolean;
  /** storage_repositories.generation; -1 without a record. */
  generations: Int32Array<ArrayBuffer>;
  /** Of `cellBits`: only assigned and deletePending. */
  flags: Uint8Array<ArrayBuffer>;
  /** Since when the replica is behind or missing, in seconds since 1970; 0 when it is not. Empty until needed. */
  behindSince: Uint32Array<ArrayBuffer>;
  /** When its generation last advanced while it was behind; `behindSince` if it did not. */
  movedAt: Uint32Array<ArrayBuffer>;
  /** storage_repositories.verified_at in seconds since 1970; 0 for never. Empty until one is not null. */
  verifiedAt: Uint32Array<ArrayBuffer>;
  /** storage_repositories.verification_leased_until of the few replicas that are being verified. */
  readonly leasedUntil: Map<number, number>;
}

export interface ReplicaTable {
  /** The virtual storage's id in NameIds. */
  readonly virtualStorage: number;
  readonly keys: KeyIndex;
  readonly columns: readonly StorageColumn[];
  readonly layouts: LayoutRegistry;
  /** The number of the storage's column, added if it is new. */
  column(storage: number): number;
  /** The repository's expected generation: repositories.generation; -1 where it is null or has no row. */
  generation(row: number): number;
  hasRepository(row: number): boolean;
  /** `generation` -1 for null, `primary` a storage's id or -1 for null. */
  putRepository(row: number, generation: number, primary: number): void;
  removeRepository(row: number): void;
  putReplica(row: number, column: number, generation: number, now: number): void;
  removeReplica(row: number, column: number, now: number): void;
  /** Seconds since 1970 each; 0 for null. */
  putVerification(row: number, column: number, verifiedAt: number, leasedUntil: number): void;
  setFlag(
    row: number,
    column: number,
    flag: typeof cellBits.assigned | typeof cellBits.deletePending,
    on: boolean,
  ): void;
  /** Marks a row whose layout must be recomputed. */
  markDirty(row: number): void;
  /** The rows marked since the last call; the caller recomputes each. */
  takeDirty(): Iterable<number>;
  /**
   * Recomputes the row's layout and lag, and frees a row that has no data left. Returns the columns between which its
   * primary moved; never with `countMoves` false, when the previous state is not comparable.
   */
  recompute(
    row: number,
    now: number,
    countMoves: boolean,
  ): { readonly from: number; readonly to: number } | undefined;
}

/** The position of a replica in the mirror. */
export interface ReplicaRef {
  readonly table: ReplicaTable;
  readonly row: number;
  readonly column: number;
}

const none = -1;

/** A load marks every row: as a list these would be 8 MB for a million, which the garbage collector moves. */
const maxDirtyList = 65_536;

/** Praefect's largest clusters have some dozens. */
const maxColumns = 1000;

export function createReplicaTable(virtualStorage: number, memory: MirrorMemory): ReplicaTable {
  const columns: StorageColumn[] = [];
  const columnByStorage = new Map<number, number>();
  const layouts = createLayoutRegistry();
  let repository = new Uint8Array(0); // 1 = repositories has a row, 2 = another repository took over its key
  let generations = new Int32Array(0);
  let primaries = new Uint16Array(0); // column + 1
  let lastPrimaries = new Uint16Array(0); // the last one that was not null
  let layoutIds = new Int32Array(0); // id + 1
  let dirtyFlags = new Uint8Array(0);
  /** Undefined: more rows than a list is worth, which `dirtyFlags` has. */
  let dirty: number[] | undefined = [];
  let cells = new Uint8Array(16);

  const growTo = (capacity: number): void => {
    memory.grow((capacity - repository.length) * (columns.length + cellsPerRow));
    repository = grown(repository, capacity);
    generations = grown(generations, capacity);
    primaries = grown(primaries, capacity);
    lastPrimaries = grown(lastPrimaries, capacity);
    layoutIds = grown(layoutIds, capacity);
    dirtyFlags = grown(dirtyFlags, capacity);
    for (const column of columns) {
      column.generations = grown(column.generations, capacity);
      column.flags = grown(column.flags, capacity);
      if (column.behindSince.length > 0) growLag(column, capacity);
      if (column.verifiedAt.length > 0) column.verifiedAt = grown(column.verifiedAt, capacity);
    }
  };

  // Row by row: filling the arrays of a million rows would block the event loop for 10 ms.
  const keys = createKeyIndex(growTo, (row) => {
    for (const column of columns) column.generations[row] = none;
  });

  const growLag = (column: StorageColumn, capacity: number): void => {
    column.behindSince = grown(column.behindSince, capacity);
    column.movedAt = grown(column.movedAt, capacity);
  };

  const markDirty = (row: number): void => {
    if (dirtyFlags[row] === 1) return;
    dirtyFlags[row] = 1;
    dirty?.push(row);
    if (dirty !== undefined && dirty.length > maxDirtyList) dirty = undefined;
  };

  function* flaggedRows(): Generator<number> {
    for (let row = 0; row < keys.limit(); row++) if (dirtyFlags[row] === 1) yield row;
  }

  const columnAt = (index: number): StorageColumn => columns[index] as StorageColumn;

  const column = (storage: number): number => {
    const known = columnByStorage.get(storage);
    if (known !== undefined) return known;
    const index = columns.length;
    if (index >= maxColumns)
      throw new UnacceptableRows('too_large', `more than ${maxColumns} storages in one virtual storage`);
    const capacity = keys.capacity();
    memory.grow(capacity);
    columns.push({
      storage,
      configured: false,
      generations: new Int32Array(capacity).fill(none, 0, keys.limit()),
      flags: new Uint8Array(capacity),
      behindSince: new Uint32Array(0),
      movedAt: new Uint32Array(0),
      verifiedAt: new Uint32Array(0),
      leasedUntil: new Map(),
    });
    columnByStorage.set(storage, index);
    if (columns.length > cells.length) cells = new Uint8Array(cells.length * 2);
    return index;
  };

  /** Keeps since when the replica is behind, and since when its generation has not advanced. */
  const updateLag = (of: StorageColumn, row: number, behind: boolean, now: number): void => {
    if (!behind) {
      if (of.behindSince.length > 0) {
        of.behindSince[row] = 0;
        of.movedAt[row] = 0;
      }
      return;
    }
    if (of.behindSince.length === 0) growLag(of, keys.capacity());
    if (of.behindSince[row] === 0) {
      of.behindSince[row] = now;
      of.movedAt[row] = now;
    }
  };

  const freeRow = (row: number): void => {
    for (const each of columns) updateLag(each, row, false, 0);
    lastPrimaries[row] = 0;
    keys.remove(row);
  };

  return {
    virtualStorage,
    keys,
    columns,
    layouts,
    column,
    generation: (row) => generations[row] ?? none,
    hasRepository: (row) => repository[row] !== 0,
    markDirty,
    takeDirty() {
      const taken = dirty ?? flaggedRows();
      dirty = [];
      return taken;
    },
    putRepository(row, generation, primary) {
      // A generation never decreases: a lower one is another repository with the same path (schemas without ids).
      const replaced = repository[row] !== 0 && generation < (generations[row] ?? none);
      repository[row] = replaced ? 2 : Math.max(1, repository[row] ?? 0);
      generations[row] = generation;
      primaries[row] = primary < 0 ? 0 : column(primary) + 1;
      markDirty(row);
    },
    removeRepository(row) {
      repository[row] = 0;
      generations[row] = none;
      primaries[row] = 0;
      lastPrimaries[row] = 0;
      markDirty(row);
    },
    putReplica(row, index, generation, now) {
      const of = columnAt(index);
      // The verifier rewrites rows without changing what the layout depends on.
      if (of.generations[row] === generation) return;
      if ((of.behindSince[row] ?? 0) !== 0) of.movedAt[row] = now;
      of.generations[row] = generation;
      markDirty(row);
    },
    removeReplica(row, index, now) {
      const of = columnAt(index);
      of.generations[row] = none;
      of.leasedUntil.delete(row);
      if (of.verifiedAt.length > 0) of.verifiedAt[row] = 0;
      if ((of.behindSince[row] ?? 0) !== 0) of.movedAt[row] = now;
      markDirty(row);
    },
    putVerification(row, index, verifiedAt, leasedUntil) {
      const of = columnAt(index);
      if (verifiedAt > 0 && of.verifiedAt.length === 0) {
        of.verifiedAt = new Uint32Array(keys.capacity());
      }
      if (of.verifiedAt.length > 0) of.verifiedAt[row] = verifiedAt;
      if (leasedUntil > 0) of.leasedUntil.set(row, leasedUntil);
      else of.leasedUntil.delete(row);
    },
    setFlag(row, index, flag, on) {
      const of = columnAt(index);
      const before = of.flags[row] ?? 0;
      const after = on ? before | flag : before & ~flag;
      if (after === before) return;
      of.flags[row] = after;
      markDirty(row);
    },
    recompute(row, now, countMoves) {
      dirtyFlags[row] = 0;
      const expected = generations[row] ?? none;
      let highest = none;
      let flags = 0;
      for (let index = 0; index < columns.length; index++) {
        const of = columnAt(index);
        highest = Math.max(highest, of.generations[row] ?? none);
        flags |= of.flags[row] ?? 0;
      }
      const hasAssignments = (flags & cellBits.assigned) !== 0;
      const hasRepository = repository[row] !== 0;
      const before = layoutIds[row] ?? 0;
      if (before !== 0) layouts.byId(before - 1).count--;
      layoutIds[row] = 0;
      if (!hasRepository && highest < 0 && flags === 0) {
        freeRow(row);
        return undefined;
      }
      const target = expected >= 0 ? expected : highest;
      for (let index = 0; index < columns.length; index++) {
        const of = columnAt(index);
        const generation = of.generations[row] ?? none;
        let bits = of.flags[row] ?? 0;
        if (generation >= 0) {
          bits |= cellBits.present;
          if (generation < target) bits |= cellBits.behind;
          if (generation === expected) bits |= cellBits.exact;
          if (generation === highest) bits |= cellBits.highest;
        }
        cells[index] = bits;
        const assigned = hasAssignments ? (bits & cellBits.assigned) !== 0 : of.configured;
        updateLag(of, row, hasRepository && assigned && (generation < 0 || generation < target), now);
      }
      const primary = primaries[row] ?? 0;
      const layout = layouts.of(
        { hasRepository, hasGeneration: expected >= 0, primary: primary - 1 },
        cells,
        columns.length,
      );
      layout.count++;
      layoutIds[row] = layout.id + 1;

      const last = lastPrimaries[row] ?? 0;
      const sameRepository = countMoves && repository[row] === 1;
      if (hasRepository) repository[row] = 1;
      if (primary !== 0 || !sameRepository) lastPrimaries[row] = primary;
      return sameRepository && primary !== 0 && last !== 0 && primary !== last
        ? { from: last - 1, to: primary - 1 }
        : undefined;
    },
  };
}
