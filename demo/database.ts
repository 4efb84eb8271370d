/** Praefect's database on the demo's server: made, seeded, and what happens to it in an incident. */
import { randomBytes } from 'node:crypto';
import type { DatabaseConnection } from '../src/config/database-connection.ts';
import { Secret } from '../src/lib/secret.ts';
import type { DatabaseControl } from './incidents/incident.ts';
import type { EmbeddedPostgres } from './postgres.ts';
import { loadSchema, type Seed, seedRepositories } from './seed.ts';
import type { SqlTarget } from './sql.ts';
import type { Topology } from './topology.ts';

export interface DatabaseNames {
  readonly database: string;
  /** Role that owns it, as which the Praefects connect. */
  readonly owner: string;
  /** Role that may read it, as which the exporter connects. */
  readonly reader: string;
}

/** As the Linux package and the chart name them. */
const usualNames: DatabaseNames = {
  database: 'praefect_production',
  owner: 'praefect',
  reader: 'gitaly_exporter',
};

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

/** Nothing in it needs quoting, and it is of 144 random bits. */
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
