/** Random changes to a Praefect database of any version: Praefect's own, and manual ones. */
import type pg from 'pg';
import type { SchemaVariant } from '../../../../src/sources/praefect/variant.ts';

export type Random = (below: number) => number;

/** A small seeded generator (mulberry32): equal seeds give equal workloads. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export const storages: ReadonlyMap<string, readonly string[]> = new Map([
  ['default', ['gitaly-1', 'gitaly-2', 'gitaly-3']],
  ['archive', ['gitaly-4', 'gitaly-5']],
]);
const everyStorage = [...storages.values()].flat();

/** One random statement (or a few) that runs as a transaction. */
export async function change(client: pg.Client, variant: SchemaVariant, pick: Random): Promise<void> {
  const virtualStorage = pick(3) === 0 ? 'archive' : 'default';
  const own = storages.get(virtualStorage) ?? [];
  // Sometimes a storage that is not configured, as after its removal.
  const storage = pick(12) === 0 ? 'gitaly-removed' : (own[pick(own.length)] ?? 'gitaly-1');
  const path = `@hashed/${pick(40)}.git`;
  const ids = variant.repositories.replicaPath;
  const repositoryId = `(SELECT repository_id FROM repositories WHERE virtual_storage = '${virtualStorage}' AND relative_path = '${path}')`;
  const where = `virtual_storage = '${virtualStorage}' AND relative_path = '${path}'`;
  const primary = variant.repositories.primary;

  const steps: (() => string | undefined)[] = [
    () =>
      `INSERT INTO repositories (virtual_storage, relative_path, generation${primary ? ', "primary"' : ''})
       VALUES ('${virtualStorage}', '${path}', ${primary && pick(8) === 0 ? 'NULL' : pick(3)}${primary ? `, ${pick(6) === 0 ? 'NULL' : `'${storage}'`}` : ''})
       ON CONFLICT DO NOTHING`,
    () => replica(pick(4)),
    () => replica(pick(4)),
    () => `UPDATE repositories SET generation = COALESCE(generation, -1) + 1 WHERE ${where}`,
    () => `UPDATE storage_repositories s SET generation = COALESCE(r.generation, s.generation) FROM repositories r
           WHERE s.virtual_storage = r.virtual_storage AND s.relative_path = r.relative_path AND s.storage = '${storage}'
             AND s.virtual_storage = '${virtualStorage}'`,
    () =>
      primary
        ? `UPDATE repositories SET "primary" = ${pick(7) === 0 ? 'NULL' : `'${storage}'`} WHERE ${where}`
        : undefined,
    () => `DELETE FROM storage_repositories WHERE ${where} AND storage = '${storage}'`,
    () =>
      pick(2) === 0
        ? `DELETE FROM storage_repositories WHERE ${where}; DELETE FROM repositories WHERE ${where}`
        : undefined,
    () => (pick(6) === 0 ? `DELETE FROM repositories WHERE ${where}` : undefined),
    () =>
      pick(15) === 0
        ? `DELETE FROM storage_repositories WHERE virtual_storage = '${virtualStorage}'`
        : undefined,
    () => `UPDATE repositories SET relative_path = '@hashed/${40 + pick(10)}.git' WHERE ${where}
           AND NOT EXISTS (SELECT FROM repositories WHERE relative_path LIKE '@hashed/4_.git')`,
    () =>
      variant.assignments
        ? `INSERT INTO repository_assignments (virtual_storage, relative_path, storage${ids ? ', repository_id' : ''})
           SELECT virtual_storage, relative_path, '${storage}'${ids ? ', repository_id' : ''} FROM repositories WHERE ${where}
           ON CONFLICT DO NOTHING`
        : undefined,
    () =>
      variant.assignments
        ? `DELETE FROM repository_assignments WHERE ${where} AND storage = '${storage}'`
        : undefined,
    () => job('update', ['ready', 'in_progress', 'failed', 'dead'][pick(4)] ?? 'ready'),
    () => job('delete_replica', 'ready'),
    () =>
      'DELETE FROM replication_queue WHERE id IN (SELECT id FROM replication_queue ORDER BY random() LIMIT 2)',
    () => `UPDATE node_status SET last_seen_active_at = now() - interval '${pick(2) === 0 ? 1 : 3600} s'
           WHERE node_name = '${everyStorage[pick(everyStorage.length)]}' AND praefect_name = 'praefect-${1 + pick(3)}'`,
    () => `UPDATE node_status SET last_seen_active_at = now(), last_contact_attempt_at = now()`,
  ];

  function replica(generation: number): string {
    return `INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation${ids ? ', repository_id' : ''})
      SELECT virtual_storage, relative_path, '${storage}', LEAST(COALESCE(generation, ${generation}), ${generation})${ids ? ', repository_id' : ''}
      FROM repositories WHERE ${where} ON CONFLICT DO NOTHING`;
  }
  function job(kind: string, state: string): string {
    const id = ids ? `'repository_id', COALESCE(${repositoryId}, 0),` : '';
    return `INSERT INTO replication_queue (state, job) SELECT '${state}', jsonb_build_object(${id} 'change', '${kind}',
      'virtual_storage', '${virtualStorage}', 'relative_path', '${path}', 'target_node_storage', '${storage}') ON CONFLICT DO NOTHING`;
  }

  const sql = steps[pick(steps.length)]?.();
  if (sql !== undefined) await client.query(sql);
}

/** Three Praefects that can all connect to every storage. */
export async function seedHealth(client: pg.Client): Promise<void> {
  for (const praefect of ['praefect-1', 'praefect-2', 'praefect-3']) {
    for (const [virtualStorage, names] of storages) {
      for (const name of names) {
        await client.query(
          `INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
           VALUES ($1, $2, $3, now(), now())`,
          [praefect, virtualStorage, name],
        );
      }
    }
  }
}
