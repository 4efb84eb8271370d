/** Praefect's database on the demo's server: its roles, schema and data, and the changes of incidents. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import type { DatabaseConnection } from '../../src/config/database-connection.ts';
import { Secret } from '../../src/lib/secret.ts';
import type { DatabaseControl } from '../incidents/incident.ts';
import type { SqlTarget } from '../praefect/context.ts';
import type { Topology } from '../topology.ts';
import type { EmbeddedPostgres } from './server.ts';

interface DatabaseNames {
  readonly database: string;
  /** Role that owns it; the Praefects use it. */
  readonly owner: string;
  /** Role that may read it; the exporter uses it. */
  readonly reader: string;
}

/** The names that the Linux package and the chart use. */
const usualNames: DatabaseNames = {
  database: 'praefect_production',
  owner: 'praefect',
  reader: 'gitaly_exporter',
};

interface DemoDatabase {
  /** Connection of the Praefects: the owner, not a superuser. */
  readonly praefect: SqlTarget;
  /** Connection of the incidents. */
  readonly superuser: SqlTarget;
  /** Connection of the exporter: may read tables and server statistics. */
  readonly exporter: DatabaseConnection;
  readonly control: DatabaseControl;
}

export async function createDemoDatabase(
  server: EmbeddedPostgres,
  topology: Topology,
  seed: DatabaseSeed,
  { database, owner, reader }: DatabaseNames = usualNames,
): Promise<DemoDatabase> {
  const { host, port } = server;
  const secrets = { owner: newPassword(), reader: newPassword() };
  const admin = await server.connect();
  try {
    await admin.query(`CREATE ROLE ${owner} LOGIN PASSWORD '${secrets.owner}'`);
    await admin.query(`CREATE ROLE ${reader} LOGIN PASSWORD '${secrets.reader}' CONNECTION LIMIT 5`);
    await admin.query(`CREATE DATABASE ${database} OWNER ${owner}`);
  } finally {
    await admin.end();
  }
  const session = await server.connect(database);
  try {
    await session.query(`SET ROLE ${owner}`);
    await loadSchema(session);
    await session.query('RESET ROLE');
    await session.query(privilegesOf(reader));
    await seedRepositories(session, topology, seed);
  } finally {
    await session.end();
  }
  return {
    praefect: { host, port, database, user: owner, password: secrets.owner },
    superuser: { host, port, database, ...server.superuser },
    exporter: {
      host,
      port,
      database,
      user: reader,
      password: async () => new Secret(secrets.reader),
      ssl: { mode: 'disable' },
      connectTimeoutMs: 5000,
    },
    control: controlOf(server, database),
  };
}

/** 144 random bits, in characters that need no quoting. */
const newPassword = (): string => randomBytes(18).toString('base64url');

const privilegesOf = (reader: string): string => `
  GRANT pg_monitor TO ${reader};
  GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${reader};
  GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO ${reader}`;

function controlOf(server: EmbeddedPostgres, database: string): DatabaseControl {
  return {
    stop: server.shutdown,
    start: server.start,
    async setReadOnly(readOnly) {
      const admin = await server.connect();
      try {
        await admin.query(
          `ALTER DATABASE ${database} ${readOnly ? 'SET default_transaction_read_only = on' : 'RESET default_transaction_read_only'}`,
        );
        await admin.query(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
          [database],
        );
      } finally {
        await admin.end();
      }
    },
    async holdTransaction(statements) {
      const session = await server.connect(database);
      await session.query(`SET application_name = 'psql'`);
      await session.query('BEGIN');
      for (const statement of statements) await session.query(statement);
      return () => session.end();
    },
  };
}

// --- Seed: a cluster that has been in use for a while

interface DatabaseSeed {
  /** In all virtual storages; the first has 90% of them. */
  readonly repositories: number;
  readonly seed: number;
  /** Milliseconds over which the replicas' last verifications are spread evenly. */
  readonly verificationInterval: number;
}

/** Creates Praefect's tables in an empty database, owned by the current role. */
async function loadSchema(client: pg.Client): Promise<void> {
  await client.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'));
  await client.query('RESET ALL'); // a dump clears search_path for its session
}

/**
 * Inserts repositories whose replicas are all up to date and verified; a million take a minute or two. Needs a
 * superuser, who may disable Praefect's NOTIFY triggers: their payload is limited, and statements of this size exceed it.
 */
async function seedRepositories(client: pg.Client, topology: Topology, seed: DatabaseSeed): Promise<void> {
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
  // Otherwise the server adds this session's row counts to those of ANALYZE, and tables seem twice as large.
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

// The primary is always assigned.
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

// Praefect walks each storage's disk once a day and writes its local time without a time zone.
const insertCleanups = `
  INSERT INTO storage_cleanups (virtual_storage, storage, last_run)
  SELECT $1, storage, localtimestamp - random() * interval '20 hours' FROM unnest($2::text[]) AS configured (storage)`;
