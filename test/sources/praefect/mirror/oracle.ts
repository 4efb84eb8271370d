/**
 * The expected values in plain SQL, one query each and independent of the mirror: with Praefect's own views
 * where the version has them, otherwise with its rules written as SQL.
 */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { SchemaVariant } from '../../../../src/sources/praefect/variant.ts';

export interface ExpectedValues {
  /** "virtual storage" -> value, "virtual storage/storage" -> value, by metric. */
  readonly repositories: Counts;
  readonly lost: Counts;
  readonly withoutPrimary: Counts;
  readonly unavailable: Counts | undefined;
  readonly readOnly: Counts | undefined;
  readonly byHealthyReplicas: Counts;
  readonly singleCopy: Counts;
  readonly replicas: Counts;
  readonly unscheduled: Counts;
  readonly behindMax: Counts;
  readonly primaries: Counts;
  readonly atRisk: Counts | undefined;
}
export type Counts = Readonly<Record<string, number>>;

/** The client must be in a transaction, so that all queries see the same snapshot. */
export async function expectedValues(
  client: pg.Client,
  variant: SchemaVariant,
  configured: ReadonlyMap<string, readonly string[]>,
): Promise<ExpectedValues> {
  /** As a prepared statement: planning these queries takes as long as running them. */
  const count = async (text: string): Promise<Counts> => {
    const name = createHash('md5').update(text).digest('hex');
    const { rows } = await client.query<{ key: string; value: string }>({ name, text });
    return Object.fromEntries(
      rows.map(({ key, value }) => [key, Number(value)]).filter(([, value]) => value !== 0),
    );
  };
  const byId = variant.validPrimaries === 'by_id';
  const match = (a: string, b: string): string =>
    byId
      ? `${a}.repository_id = ${b}.repository_id`
      : `${a}.virtual_storage = ${b}.virtual_storage AND ${a}.relative_path = ${b}.relative_path`;
  const jobPath = `q.job->>'virtual_storage' = e.virtual_storage AND q.job->>'relative_path' = e.relative_path`;
  // A job whose repository_id is 0 identifies its repository by path only.
  const jobMatch = byId
    ? `((q.job->>'repository_id')::bigint = e.repository_id
        OR COALESCE((q.job->>'repository_id')::bigint, 0) = 0 AND ${jobPath})`
    : jobPath;
  const id = byId ? 'r.repository_id,' : '';
  const primary = variant.repositories.primary ? `r."primary"` : 'NULL::text';
  const assignments = variant.assignments
    ? 'repository_assignments'
    : `(SELECT ''::text AS virtual_storage, ''::text AS relative_path, ''::text AS storage WHERE false)`;
  const storages = [...configured].flatMap(([virtualStorage, names]) =>
    names.map((name) => `('${virtualStorage}', '${name}')`),
  );
  const healthy = `
    SELECT n.shard_name AS virtual_storage, n.node_name AS storage FROM node_status n
    WHERE n.last_seen_active_at >= now() - interval '10 s' GROUP BY 1, 2
    HAVING count(*) >= (SELECT ceil(count(DISTINCT p.praefect_name) / 2.0) FROM node_status p
                        WHERE p.shard_name = n.shard_name AND p.last_contact_attempt_at >= now() - interval '60 s')`;
  // Each repository on each storage: its record, its assignment, and the health of the storage.
  const cells = `
    WITH configured (virtual_storage, storage) AS (VALUES ${storages.join(', ')}),
    healthy AS (${healthy}),
    shards AS (SELECT shard_name, node_name FROM shard_primaries WHERE NOT demoted
               AND NOT EXISTS (SELECT FROM repositories r WHERE r.virtual_storage = shard_name AND ${primary} IS NOT NULL)),
    expected AS (
      SELECT r.virtual_storage, r.relative_path, ${id} r.generation AS own,
             COALESCE(${primary}, (SELECT node_name FROM shards WHERE shard_name = r.virtual_storage)) AS "primary",
             COALESCE(r.generation, (SELECT max(s.generation) FROM storage_repositories s WHERE ${match('s', 'r')}), -1) AS generation,
             EXISTS (SELECT FROM ${assignments} a WHERE ${variant.assignments ? match('a', 'r') : 'false'}) AS assignments
      FROM repositories r),
    names AS (SELECT virtual_storage, storage FROM configured UNION SELECT virtual_storage, storage FROM storage_repositories
              UNION SELECT virtual_storage, storage FROM ${assignments} x),
    cells AS (
      SELECT e.*, n.storage, s.generation AS has,
             CASE WHEN e.assignments THEN a.storage IS NOT NULL ELSE c.storage IS NOT NULL END AS assigned,
             h.storage IS NOT NULL AS healthy
      FROM expected e JOIN names n USING (virtual_storage)
      LEFT JOIN storage_repositories s ON ${match('s', 'e')} AND s.storage = n.storage
      LEFT JOIN ${assignments} a ON ${variant.assignments ? match('a', 'e') : 'false'} AND a.storage = n.storage
      LEFT JOIN configured c ON c.virtual_storage = e.virtual_storage AND c.storage = n.storage
      LEFT JOIN healthy h ON h.virtual_storage = e.virtual_storage AND h.storage = n.storage)`;
  const behind = 'c.assigned AND COALESCE(c.has, -1) < c.generation OR c.assigned AND c.has IS NULL';
  const perStorage = (value: string, where: string): string =>
    `${cells} SELECT c.virtual_storage || '/' || c.storage AS key, ${value} AS value FROM cells c WHERE ${where} GROUP BY 1`;
  const perRepository = (having: string): string =>
    `${cells} SELECT e.virtual_storage AS key, count(*) AS value FROM expected e WHERE ${having} GROUP BY 1`;
  const unavailable = `
    SELECT r.virtual_storage AS key, count(*) AS value FROM repositories r
    WHERE NOT EXISTS (SELECT FROM valid_primaries v WHERE ${match('v', 'r')}) GROUP BY 1`;

  const replicas: Record<string, number> = {};
  for (const [state, where] of [
    ['current', 'c.assigned AND c.has >= c.generation'],
    ['outdated', 'c.assigned AND c.has < c.generation'],
    ['missing', 'c.assigned AND c.has IS NULL'],
    ['unassigned', 'NOT c.assigned AND c.has IS NOT NULL'],
  ] as const) {
    for (const [key, value] of Object.entries(await count(perStorage('count(*)', where))))
      replicas[`${key} ${state}`] = value;
  }
  const now = variant.validPrimaries === 'none' ? undefined : await count(unavailable);
  return {
    repositories: await count(perRepository('true')),
    lost: await count(
      perRepository(`NOT EXISTS (SELECT FROM storage_repositories s WHERE ${match('s', 'e')})`),
    ),
    withoutPrimary: await count(perRepository('e."primary" IS NULL')),
    unavailable: now,
    readOnly:
      variant.validPrimaries === 'none'
        ? await count(
            perRepository(`COALESCE((SELECT s.generation FROM storage_repositories s
                            WHERE ${match('s', 'e')} AND s.storage = e."primary"), -1) < e.own`),
          )
        : undefined,
    byHealthyReplicas:
      await count(`${cells} SELECT virtual_storage || ' ' || healthy_replicas AS key, count(*) AS value FROM (
        SELECT c.virtual_storage, c.relative_path,
               count(*) FILTER (WHERE c.healthy AND c.has >= c.generation) AS healthy_replicas
        FROM cells c GROUP BY 1, 2) x GROUP BY 1`),
    singleCopy: await count(`${cells} SELECT virtual_storage AS key, count(*) AS value FROM (
        SELECT c.virtual_storage, c.relative_path FROM cells c GROUP BY 1, 2
        HAVING count(*) FILTER (WHERE c.healthy AND c.has >= c.generation) = 1
           AND bool_or(c.assigned AND NOT COALESCE(c.healthy AND c.has >= c.generation, false))) x GROUP BY 1`),
    replicas,
    unscheduled: await count(
      perStorage(
        'count(*)',
        `(${behind}) AND NOT EXISTS (SELECT FROM replication_queue q, LATERAL (SELECT c.*) e WHERE ${jobMatch}
           AND q.job->>'target_node_storage' = c.storage AND q.job->>'change' IN ('update', 'create')
           AND q.state IN ('ready', 'in_progress', 'failed'))`,
      ),
    ),
    behindMax: await count(perStorage('max(c.generation - COALESCE(c.has, -1))', behind)),
    primaries: await count(
      `${cells} SELECT e.virtual_storage || '/' || e."primary" AS key, count(*) AS value FROM expected e
       WHERE e."primary" IS NOT NULL GROUP BY 1`,
    ),
    atRisk: now && (await atRiskByTrial(client, now, () => count(unavailable))),
  };
}

/**
 * The repositories that become unavailable when a storage fails: marks it unhealthy in a savepoint that is
 * rolled back.
 */
async function atRiskByTrial(
  client: pg.Client,
  now: Counts,
  countUnavailable: () => Promise<Counts>,
): Promise<Counts> {
  const { rows } = await client.query<{ shard_name: string; node_name: string }>(
    'SELECT DISTINCT shard_name, node_name FROM node_status',
  );
  const risk: Record<string, number> = {};
  for (const { shard_name: virtualStorage, node_name: storage } of rows) {
    await client.query('SAVEPOINT trial');
    await client.query(
      `UPDATE node_status SET last_seen_active_at = now() - interval '1 hour' WHERE shard_name = $1 AND node_name = $2`,
      [virtualStorage, storage],
    );
    const then = await countUnavailable();
    await client.query('ROLLBACK TO trial');
    const more = (then[virtualStorage] ?? 0) - (now[virtualStorage] ?? 0);
    if (more !== 0) risk[`${virtualStorage}/${storage}`] = more;
  }
  return risk;
}
