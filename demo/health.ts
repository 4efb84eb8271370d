/** A Praefect's health checks, and the rows of node_status that its votes consist of. */
import type { PraefectContext } from './praefect-context.ts';
import { praefectName } from './topology.ts';

/**
 * Asks every Gitaly once, then writes all answers in one statement, so that a Praefect's rows bear one time.
 * `found` gets the answers before the database does, as routing does.
 */
export async function checkHealth(
  context: PraefectContext,
  found: (healthy: ReadonlySet<string>) => void,
): Promise<void> {
  const { topology, world, clock, sql, signal } = context;
  const asked = topology.virtualStorages.flatMap(({ name, storages }) =>
    storages.map((storage) => ({
      virtualStorage: name,
      storage,
      answer: world.contact(context.name, storage),
    })),
  );
  if (asked.some(({ answer }) => answer === 'hangs')) await clock.sleep(context.timings.probe, signal);
  found(new Set(asked.filter(({ answer }) => answer === 'answers').map(({ storage }) => storage)));
  await sql.query(
    `INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
     SELECT $1, shard_name, node_name, now(), CASE WHEN healthy THEN now() END
     FROM unnest($2::text[], $3::text[], $4::bool[]) AS check_result (shard_name, node_name, healthy)
     ON CONFLICT (praefect_name, shard_name, node_name) DO UPDATE
     SET last_contact_attempt_at = EXCLUDED.last_contact_attempt_at,
         last_seen_active_at = coalesce(EXCLUDED.last_seen_active_at, node_status.last_seen_active_at)`,
    [
      praefectName(context.name),
      asked.map(({ virtualStorage }) => virtualStorage),
      asked.map(({ storage }) => storage),
      asked.map(({ answer }) => answer === 'answers'),
    ],
  );
}
