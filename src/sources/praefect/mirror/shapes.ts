/**
 * Shapes: what a million repositories have in common.
 *
 * For every question about availability it matters only on which storages a repository has a record, whether
 * that record is at the expected generation, where it is assigned, and where its primary is. Repositories that
 * agree in all of this have the same shape, and even a large cluster has some dozens of shapes. The mirror
 * counts how many repositories have each, so that a change of a storage's health is answered by a pass over the
 * shapes, in microseconds, without a look at the database or at the repositories.
 */

/** Bits of a cell: what a repository has on one storage. */
export const cell = {
  /** A row in storage_repositories. */
  present: 1,
  /** Its generation is below the expected one. */
  behind: 2,
  /** Its generation equals repositories.generation (rule of valid_primaries since 14.5). */
  exact: 4,
  /** Its generation is the highest of all replicas (rule of valid_primaries in 14.0 to 14.4). */
  highest: 8,
  /** A row in repository_assignments. */
  assigned: 16,
  /** A delete_replica job waits for it: it is no candidate for primary any more. */
  deletePending: 32,
} as const;

export interface Shape {
  readonly id: number;
  /** Whether repositories has a row (storage_repositories of old schemas may have orphans). */
  readonly repository: boolean;
  /** Whether repositories.generation is not null. */
  readonly generationKnown: boolean;
  /** The column of repositories.primary, or -1. */
  readonly primary: number;
  /** Cell bits by column; columns beyond the end are 0. */
  readonly cells: Uint8Array;
  /** Whether repository_assignments has any row for it. */
  readonly assignments: boolean;
  /** Repositories of this shape at present. */
  count: number;
}

export interface Shapes {
  /** The shape of these cells (read up to `length`), made on first sight. */
  of(
    header: { repository: boolean; generationKnown: boolean; primary: number },
    cells: Uint8Array,
    length: number,
  ): Shape;
  byId(id: number): Shape;
  /** Every shape that some repository has. */
  inUse(): Iterable<Shape>;
}

interface Node {
  readonly next: Map<number, Node>;
  shape?: Shape;
}

export function createShapes(): Shapes {
  const shapes: Shape[] = [];
  const root: Node = { next: new Map() };

  const step = (node: Node, code: number): Node => {
    const known = node.next.get(code);
    if (known !== undefined) return known;
    const made: Node = { next: new Map() };
    node.next.set(code, made);
    return made;
  };

  return {
    of(header, cells, length) {
      let end = length;
      // Trailing zeros do not count, so that a storage that is added changes no shape.
      while (end > 0 && cells[end - 1] === 0) end--;
      let node = step(
        root,
        (header.primary + 1) * 4 + (header.repository ? 2 : 0) + (header.generationKnown ? 1 : 0),
      );
      for (let column = 0; column < end; column++) node = step(node, cells[column] ?? 0);
      if (node.shape !== undefined) return node.shape;
      const own = cells.slice(0, end);
      const shape: Shape = {
        id: shapes.length,
        ...header,
        cells: own,
        assignments: own.some((bits) => (bits & cell.assigned) !== 0),
        count: 0,
      };
      node.shape = shape;
      shapes.push(shape);
      return shape;
    },
    byId(id) {
      const shape = shapes[id];
      if (shape === undefined) throw new RangeError(`no shape ${id}`);
      return shape;
    },
    *inUse() {
      for (const shape of shapes) if (shape.count > 0) yield shape;
    },
  };
}
