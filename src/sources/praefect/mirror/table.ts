/**
 * One virtual storage in the mirror: an array per fact about its repositories, and a column of arrays per
 * storage. About 9 bytes per repository and storage, 8 more where the storage has replicas that are behind, and
 * some 35 bytes per repository.
 */
import { cell, createShapes, type Shapes } from './shapes.ts';
import { createSlots, extended, type Slots } from './slots.ts';

/** What one storage has of each repository, by slot. */
export interface Column {
  /** The storage's number in Names. */
  readonly storage: number;
  /** Whether repositories without assignments are assigned to it. */
  configured: boolean;
  /** storage_repositories.generation; -1 without a row. */
  generations: Int32Array<ArrayBuffer>;
  /** Bits of `cell`: assigned and deletePending only. */
  flags: Uint8Array<ArrayBuffer>;
  /** Since when the replica is behind or missing, in seconds since 1970; 0 when it is not. Empty until needed. */
  behindSince: Uint32Array<ArrayBuffer>;
  /** When its generation last moved while it was behind; since the beginning of the lag otherwise. */
  movedAt: Uint32Array<ArrayBuffer>;
  /** storage_repositories.verified_at in seconds since 1970; 0 for never. Empty until one is not null. */
  verifiedAt: Uint32Array<ArrayBuffer>;
  /** storage_repositories.verification_leased_until of the few replicas that are being verified. */
  readonly leasedUntil: Map<number, number>;
}

export interface Table {
  readonly virtualStorage: number;
  readonly slots: Slots;
  readonly columns: readonly Column[];
  readonly shapes: Shapes;
  /** The column of the storage, added if it was not there. */
  column(storage: number): number;
  /** The repository's expected generation: repositories.generation; -1 where it is null or has no row. */
  generation(slot: number): number;
  hasRepository(slot: number): boolean;
  /** `generation` -1 for null, `primary` a storage's number or -1 for null. */
  putRepository(slot: number, generation: number, primary: number): void;
  removeRepository(slot: number): void;
  putReplica(slot: number, column: number, generation: number, now: number): void;
  removeReplica(slot: number, column: number, now: number): void;
  /** Seconds since 1970 each; 0 for null. */
  putVerification(slot: number, column: number, verifiedAt: number, leasedUntil: number): void;
  setFlag(
    slot: number,
    column: number,
    flag: typeof cell.assigned | typeof cell.deletePending,
    on: boolean,
  ): void;
  /** Marks a slot whose shape has to be worked out anew. */
  touch(slot: number): void;
  /** Slots touched since the last time; the caller settles each. */
  takeTouched(): number[];
  /**
   * Works out the slot's shape and lag; frees the slot when nothing is left of it. Returns the move of its
   * primary (columns), if there was one and `follow` says that the past is known.
   */
  settle(
    slot: number,
    now: number,
    follow: boolean,
  ): { readonly from: number; readonly to: number } | undefined;
}

const none = -1;

export function createTable(virtualStorage: number): Table {
  const columns: Column[] = [];
  const columnByStorage = new Map<number, number>();
  const shapes = createShapes();
  let repository = new Uint8Array(0); // 1 = repositories has a row, 2 = it was replaced by another under the same key
  let generations = new Int32Array(0);
  let primaries = new Uint16Array(0); // column + 1
  let lastPrimaries = new Uint16Array(0); // the last that was not null
  let shapeIds = new Int32Array(0); // id + 1
  let touchedFlags = new Uint8Array(0);
  let touched: number[] = [];
  let bits = new Uint8Array(16);

  const slots = createSlots((capacity) => {
    repository = extended(repository, capacity);
    generations = extended(generations, capacity);
    primaries = extended(primaries, capacity);
    lastPrimaries = extended(lastPrimaries, capacity);
    shapeIds = extended(shapeIds, capacity);
    touchedFlags = extended(touchedFlags, capacity);
    for (const column of columns) {
      const from = column.generations.length;
      column.generations = extended(column.generations, capacity).fill(none, from);
      column.flags = extended(column.flags, capacity);
      if (column.behindSince.length > 0) growLag(column, capacity);
      if (column.verifiedAt.length > 0) column.verifiedAt = extended(column.verifiedAt, capacity);
    }
  });

  const growLag = (column: Column, capacity: number): void => {
    column.behindSince = extended(column.behindSince, capacity);
    column.movedAt = extended(column.movedAt, capacity);
  };

  const touch = (slot: number): void => {
    if (touchedFlags[slot] === 1) return;
    touchedFlags[slot] = 1;
    touched.push(slot);
  };

  const at = (index: number): Column => columns[index] as Column;

  const column = (storage: number): number => {
    const known = columnByStorage.get(storage);
    if (known !== undefined) return known;
    const index = columns.length;
    if (index >= 65_535) throw new RangeError('more than 65,535 storages in one virtual storage');
    const capacity = slots.capacity();
    columns.push({
      storage,
      configured: false,
      generations: new Int32Array(capacity).fill(none),
      flags: new Uint8Array(capacity),
      behindSince: new Uint32Array(0),
      movedAt: new Uint32Array(0),
      verifiedAt: new Uint32Array(0),
      leasedUntil: new Map(),
    });
    columnByStorage.set(storage, index);
    if (columns.length > bits.length) bits = new Uint8Array(bits.length * 2);
    return index;
  };

  /** Keeps since when the replica in this cell is behind, and since when it has not moved. */
  const followLag = (of: Column, slot: number, behind: boolean, now: number): void => {
    if (!behind) {
      if (of.behindSince.length > 0) {
        of.behindSince[slot] = 0;
        of.movedAt[slot] = 0;
      }
      return;
    }
    if (of.behindSince.length === 0) growLag(of, slots.capacity());
    if (of.behindSince[slot] === 0) {
      of.behindSince[slot] = now;
      of.movedAt[slot] = now;
    }
  };

  const free = (slot: number): void => {
    for (const each of columns) followLag(each, slot, false, 0);
    lastPrimaries[slot] = 0;
    slots.remove(slot);
  };

  return {
    virtualStorage,
    slots,
    columns,
    shapes,
    column,
    generation: (slot) => generations[slot] ?? none,
    hasRepository: (slot) => repository[slot] !== 0,
    touch,
    takeTouched() {
      const taken = touched;
      touched = [];
      return taken;
    },
    putRepository(slot, generation, primary) {
      // A generation never falls: a lower one is another repository under the same path (schemas without ids).
      const replaced = repository[slot] !== 0 && generation < (generations[slot] ?? none);
      repository[slot] = replaced ? 2 : Math.max(1, repository[slot] ?? 0);
      generations[slot] = generation;
      primaries[slot] = primary < 0 ? 0 : column(primary) + 1;
      touch(slot);
    },
    removeRepository(slot) {
      repository[slot] = 0;
      generations[slot] = none;
      primaries[slot] = 0;
      lastPrimaries[slot] = 0;
      touch(slot);
    },
    putReplica(slot, index, generation, now) {
      const of = at(index);
      // The verifier rewrites rows without a change of what their shape rests on.
      if (of.generations[slot] === generation) return;
      if ((of.behindSince[slot] ?? 0) !== 0) of.movedAt[slot] = now;
      of.generations[slot] = generation;
      touch(slot);
    },
    removeReplica(slot, index, now) {
      const of = at(index);
      of.generations[slot] = none;
      of.leasedUntil.delete(slot);
      if (of.verifiedAt.length > 0) of.verifiedAt[slot] = 0;
      if ((of.behindSince[slot] ?? 0) !== 0) of.movedAt[slot] = now;
      touch(slot);
    },
    putVerification(slot, index, verifiedAt, leasedUntil) {
      const of = at(index);
      if (verifiedAt > 0 && of.verifiedAt.length === 0) {
        of.verifiedAt = new Uint32Array(slots.capacity());
      }
      if (of.verifiedAt.length > 0) of.verifiedAt[slot] = verifiedAt;
      if (leasedUntil > 0) of.leasedUntil.set(slot, leasedUntil);
      else of.leasedUntil.delete(slot);
    },
    setFlag(slot, index, flag, on) {
      const of = at(index);
      const before = of.flags[slot] ?? 0;
      const after = on ? before | flag : before & ~flag;
      if (after === before) return;
      of.flags[slot] = after;
      touch(slot);
    },
    settle(slot, now, follow) {
      touchedFlags[slot] = 0;
      const expected = generations[slot] ?? none;
      let highest = none;
      let assignments = 0;
      let flags = 0;
      for (let index = 0; index < columns.length; index++) {
        const of = at(index);
        highest = Math.max(highest, of.generations[slot] ?? none);
        flags |= of.flags[slot] ?? 0;
      }
      assignments = flags & cell.assigned;
      const known = repository[slot] !== 0;
      const before = shapeIds[slot] ?? 0;
      if (before !== 0) shapes.byId(before - 1).count--;
      shapeIds[slot] = 0;
      if (!known && highest < 0 && flags === 0) {
        free(slot);
        return undefined;
      }
      const target = expected >= 0 ? expected : highest;
      for (let index = 0; index < columns.length; index++) {
        const of = at(index);
        const generation = of.generations[slot] ?? none;
        let code = of.flags[slot] ?? 0;
        if (generation >= 0) {
          code |= cell.present;
          if (generation < target) code |= cell.behind;
          if (generation === expected) code |= cell.exact;
          if (generation === highest) code |= cell.highest;
        }
        bits[index] = code;
        const wanted = assignments !== 0 ? (code & cell.assigned) !== 0 : of.configured;
        followLag(of, slot, known && wanted && (generation < 0 || generation < target), now);
      }
      const primary = primaries[slot] ?? 0;
      const header = { repository: known, generationKnown: expected >= 0, primary: primary - 1 };
      const shape = shapes.of(header, bits, columns.length);
      shape.count++;
      shapeIds[slot] = shape.id + 1;

      const last = lastPrimaries[slot] ?? 0;
      const same = follow && repository[slot] === 1;
      if (known) repository[slot] = 1;
      if (primary !== 0 || !same) lastPrimaries[slot] = primary;
      return same && primary !== 0 && last !== 0 && primary !== last
        ? { from: last - 1, to: primary - 1 }
        : undefined;
    },
  };
}
