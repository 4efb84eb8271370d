/**
 * Replica layouts: what a million repositories have in common.
 *
 * Availability depends only on which storages have a record of the repository, whether that record is at the expected
 * generation, where the repository is assigned, and where its primary is. Repositories that agree in all of this have
 * the same layout, and even a large cluster has only dozens of layouts. The mirror counts the repositories of each, so
 * a change of a storage's health needs a pass over the layouts, which takes microseconds, and neither a query nor a
 * pass over the repositories.
 */
import { UnacceptableRows } from '../database.ts';

/** Bits of a cell: the state of one repository on one storage. */
export const cellBits = {
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
  /** A delete_replica job is queued for it, so it is no candidate for primary. */
  deletePending: 32,
} as const;

interface LayoutHeader {
  /** Whether repositories has a row (storage_repositories of old schemas may have orphans). */
  readonly hasRepository: boolean;
  /** Whether repositories.generation is not null. */
  readonly hasGeneration: boolean;
  /** The column of repositories.primary, or -1. */
  readonly primary: number;
}

export interface ReplicaLayout extends LayoutHeader {
  readonly id: number;
  /** Cell bits by column; columns beyond the end are 0. */
  readonly cells: Uint8Array;
  /** Whether repository_assignments has any row for it. */
  readonly hasAssignments: boolean;
  /** Repositories that have this layout now. */
  count: number;
}

export interface LayoutRegistry {
  /** The layout with these cells (of which `length` are read), created on first use. */
  of(header: LayoutHeader, cells: Uint8Array, length: number): ReplicaLayout;
  byId(id: number): ReplicaLayout;
  /** Every layout that some repository has. */
  inUse(): Iterable<ReplicaLayout>;
}

/** Even a large cluster has dozens; each takes a pass at every change of health. */
const maxLayouts = 100_000;

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  layout?: ReplicaLayout;
}

export function createLayoutRegistry(): LayoutRegistry {
  const layouts: ReplicaLayout[] = [];
  const root: TrieNode = { next: new Map() };

  const step = (node: TrieNode, code: number): TrieNode => {
    const known = node.next.get(code);
    if (known !== undefined) return known;
    const created: TrieNode = { next: new Map() };
    node.next.set(code, created);
    return created;
  };

  return {
    of(header, cells, length) {
      let end = length;
      // Trailing zeros do not count, so that adding a storage changes no layout.
      while (end > 0 && cells[end - 1] === 0) end--;
      let node = step(
        root,
        (header.primary + 1) * 4 + (header.hasRepository ? 2 : 0) + (header.hasGeneration ? 1 : 0),
      );
      for (let column = 0; column < end; column++) node = step(node, cells[column] ?? 0);
      if (node.layout !== undefined) return node.layout;
      if (layouts.length >= maxLayouts)
        throw new UnacceptableRows('too_large', `more than ${maxLayouts} different states of repositories`);
      const own = cells.slice(0, end);
      node.layout = {
        id: layouts.length,
        ...header,
        cells: own,
        hasAssignments: own.some((bits) => (bits & cellBits.assigned) !== 0),
        count: 0,
      };
      layouts.push(node.layout);
      return node.layout;
    },
    byId(id) {
      const layout = layouts[id];
      if (layout === undefined) throw new RangeError(`no layout ${id}`);
      return layout;
    },
    *inUse() {
      for (const layout of layouts) if (layout.count > 0) yield layout;
    },
  };
}
