/** Fills a new database with a cluster that has been in use for a while: all replicas up to date and verified. */
import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import type { Topology } from './topology.ts';

export interface Seed {
  /** Over all virtual storages; the first gets nine of ten. */
  readonly repositories: number;
  readonly seed: number;
  /** Replicas were verified at times spread evenly over this span, milliseconds. */
  readonly verificationInterval: number;
}

/** Creates Praefect's tables in an empty database. `client` becomes their owner. */
export async function loadSchema(client: pg.Client): Promise<void> {
  await client.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'));
  await client.query('RESET ALL'); // a dump empties search_path for its session
}

/**
 * A million repositories take a minute or two. As a superuser: a statement of this size would make Praefect's own
 * NOTIFY triggers fail, whose payload is limited.
 */
export async function seedRepositories(client: pg.Client, topology: Topology, seed: Seed): Promise<void> {
  await client.query('BEGIN');
  await client.query('SET LOCAL session_replication_role = replica');
  await client.query(`SELECT setseed(${((seed.seed % 1000) / 1000).toFixed(3)})`);
  for (const [index, { name, storages, replicationFactor }] of topology.virtualStorages.entries()) {
    const share = Math.round(seed.repositories / 10);
    const others = topology.virtualStorages.length - 1;
    const count = index === 0 ? seed.repositories - share * others : share;
    await client.query(insertRepositories, [name, storages, count]);
    const verifiedWithin = seed.verificationInterval / 1000;
    if (replicationFactor === undefined) {
      await client.query(insertReplicasEverywhere, [name, storages, verifiedWithin]);
    } else {
      await client.query(insertAssignments, [name, storages, replicationFactor]);
      await client.query(insertAssignedReplicas, [name, verifiedWithin]);
    }
    await client.query(insertCleanups, [name, storages]);
  }
  await client.query('COMMIT');
  // Else the server adds this session's counts to what ANALYZE found, and tables seem twice as large.
  await client.query('SELECT pg_stat_force_next_flush()');
  await client.query('ANALYZE');
}

// Paths as GitLab's hashed storage and Praefect build them: from the project's id and the repository's.
const insertRepositories = `
  WITH ids AS MATERIALIZED (
    SELECT nextval('repositories_repository_id_seq') AS id FROM generate_series(1, $3::int)
  ), hashed AS (
    SELECT id, encode(sha256(('project ' || id)::bytea), 'hex') AS project, encode(sha256(id::text::bytea), 'hex') AS hash
    FROM ids
  )
  INSERT INTO repositories (virtual_storage, relative_path, generation, "primary", repository_id, replica_path)
  SELECT $1,
         format('@hashed/%s/%s/%s.git', left(project, 2), substr(project, 3, 2), project),
         floor(random() * 200),
         ($2::text[])[1 + floor(random() * cardinality($2::text[]))::int],
         id,
         format('@cluster/repositories/%s/%s/%s', left(hash, 2), substr(hash, 3, 2), id)
  FROM hashed`;

// The primary is always one of the assigned.
const insertAssignments = `
  INSERT INTO repository_assignments (virtual_storage, relative_path, storage, repository_id)
  SELECT virtual_storage, relative_path, assigned.storage, repository_id
  FROM repositories, LATERAL (
    SELECT storage FROM unnest($2::text[]) AS configured (storage)
    ORDER BY storage <> repositories."primary", md5(storage || repository_id) LIMIT $3
  ) AS assigned
  WHERE virtual_storage = $1`;

const insertReplicasEverywhere = `
  INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id, verified_at)
  SELECT virtual_storage, relative_path, configured.storage, generation, repository_id,
         now() - random() * make_interval(secs => $3)
  FROM repositories, unnest($2::text[]) AS configured (storage)
  WHERE virtual_storage = $1`;

const insertAssignedReplicas = `
  INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id, verified_at)
  SELECT virtual_storage, relative_path, assigned.storage, generation, repository_id,
         now() - random() * make_interval(secs => $2)
  FROM repositories JOIN repository_assignments AS assigned USING (virtual_storage, relative_path, repository_id)
  WHERE virtual_storage = $1`;

// Praefect walks each storage's disk once a day; it writes its own local time, without a zone.
const insertCleanups = `
  INSERT INTO storage_cleanups (virtual_storage, storage, last_run)
  SELECT $1, storage, localtimestamp - random() * interval '20 hours' FROM unnest($2::text[]) AS configured (storage)`;
