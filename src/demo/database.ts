/** Praefect's database on the demo's server: made, seeded, and what happens to it in an incident. */
import { randomBytes } from 'node:crypto';
import type { DatabaseConnection } from '../config/database-connection.ts';
import { Secret } from '../config/secret.ts';
import type { DatabaseControl } from './incidents/incident.ts';
import type { EmbeddedPostgres } from './postgres.ts';
import { loadSchema, type Seed, seedRepositories } from './seed.ts';
import type { SqlTarget } from './sql.ts';
import type { Topology } from './topology.ts';

/** As the Linux package and the chart name it. */
const databaseName = 'praefect_production';

export interface DemoDatabase {
  /** As the Praefects connect: the owner, no superuser. */
  readonly praefect: SqlTarget;
  /** As incidents look at it. */
  readonly superuser: SqlTarget;
  /** As the exporter connects: may read, and see what goes on in the server. */
  readonly exporter: DatabaseConnection;
  readonly control: DatabaseControl;
}

export async function createDemoDatabase(
  server: EmbeddedPostgres,
  topology: Topology,
  seed: Seed,
): Promise<DemoDatabase> {
  const { host, port } = server;
  const secrets = { praefect: newPassword(), exporter: newPassword() };
  const admin = await server.connect();
  try {
    await admin.query(`CREATE ROLE praefect LOGIN PASSWORD '${secrets.praefect}'`);
    await admin.query(`CREATE ROLE gitaly_exporter LOGIN PASSWORD '${secrets.exporter}' CONNECTION LIMIT 5`);
    await admin.query(`CREATE DATABASE ${databaseName} OWNER praefect`);
  } finally {
    await admin.end();
  }
  const owner = await server.connect(databaseName);
  try {
    await owner.query('SET ROLE praefect');
    await loadSchema(owner);
    await owner.query('RESET ROLE');
    await owner.query(exporterPrivileges);
    await seedRepositories(owner, topology, seed);
  } finally {
    await owner.end();
  }
  return {
    praefect: { host, port, database: databaseName, user: 'praefect', password: secrets.praefect },
    superuser: { host, port, database: databaseName, ...server.superuser },
    exporter: {
      host,
      port,
      database: databaseName,
      user: 'gitaly_exporter',
      password: async () => new Secret(secrets.exporter),
      ssl: { mode: 'disable' },
      connectTimeoutMs: 5000,
    },
    control: controlOf(server),
  };
}

/** Nothing in it needs quoting, and it is of 144 random bits. */
const newPassword = (): string => randomBytes(18).toString('base64url');

const exporterPrivileges = `
  GRANT pg_monitor TO gitaly_exporter;
  GRANT SELECT ON ALL TABLES IN SCHEMA public TO gitaly_exporter;
  GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO gitaly_exporter`;

function controlOf(server: EmbeddedPostgres): DatabaseControl {
  return {
    stop: server.shutdown,
    start: server.start,
    async setReadOnly(readOnly) {
      const admin = await server.connect();
      try {
        await admin.query(
          `ALTER DATABASE ${databaseName} ${readOnly ? 'SET default_transaction_read_only = on' : 'RESET default_transaction_read_only'}`,
        );
        await admin.query(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
          [databaseName],
        );
      } finally {
        await admin.end();
      }
    },
    async holdTransaction(statements) {
      const session = await server.connect(databaseName);
      await session.query(`SET application_name = 'psql'`);
      await session.query('BEGIN');
      for (const statement of statements) await session.query(statement);
      return () => session.end();
    },
  };
}
