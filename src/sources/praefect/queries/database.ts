/** The database itself: whether it answers, what it is, and whether Praefect can write to it. Asked every 10 s. */

import type { Clock } from '../../../lib/clock.ts';
import { anyValue, gauge } from '../../../metrics/metric.ts';
import { type Block, samplesOf, single } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed } from '../../../scheduler/outcome.ts';
import type { Database, DatabaseRow } from '../database.ts';
import { isFailure, numberOf, type QueryContext, textOf } from '../query.ts';
import { knownMigrations } from './known-migrations.ts';

export const up = gauge('praefect_db_up', {
  help: '1 when the last probe was answered, 0 else. Always present when a database is configured.',
  origin: 'SELECT clock_timestamp()',
});

export const info = gauge('praefect_db_info', {
  help: "1, with what the database is: PostgreSQL's version, the form of Praefect's schema (the first GitLab release that has it; unknown when it could not be told), and what stands between.",
  origin: 'server_version; pg_catalog',
  labels: { server_version: anyValue, schema_variant: anyValue, pooler: anyValue },
});

export const tls = gauge('praefect_db_tls', {
  help: "1 when the exporter's own connection to the database is encrypted.",
  origin: 'the connection',
});

export const probeDuration = gauge('praefect_db_probe_duration_seconds', {
  help: 'Round trip of the cheapest question. Absent when it was not answered.',
  origin: 'SELECT clock_timestamp()',
  unit: 'seconds',
});

export const clockSkew = gauge('praefect_db_clock_skew_seconds', {
  help: "The database's clock minus the exporter's, to within half a round trip. Timestamps of this database are by its own clock.",
  origin: 'clock_timestamp()',
  unit: 'seconds',
});

export const migrationsApplied = gauge('praefect_db_migrations_applied', {
  help: 'Migrations of Praefect that were applied.',
  origin: 'schema_migrations',
});

export const migrationsUnknown = gauge('praefect_db_migrations_unknown', {
  help: 'Applied migrations that this build of the exporter does not know: over 0 means a Praefect newer than it was tested with.',
  origin: 'schema_migrations',
});

export const readOnly = gauge('praefect_db_read_only', {
  help: "1 for each reason why Praefect cannot write. recovery: the server is a standby. setting: default_transaction_read_only is on for new sessions of Praefect, by the server, the database, or the role that owns Praefect's tables; absent when a setting of the exporter's own role hides the server's.",
  origin: 'pg_is_in_recovery(); pg_db_role_setting, pg_settings',
  labels: { reason: ['recovery', 'setting'] },
});

export const databaseMetrics = [
  up,
  info,
  tls,
  probeDuration,
  clockSkew,
  migrationsApplied,
  migrationsUnknown,
  readOnly,
] as const;

/** The cheapest question there is: it reads no table. */
export const pingSql = 'SELECT extract(epoch FROM clock_timestamp())::float8 AS clock';

/**
 * Whether Praefect can write. What our own session shows is of no use as it stands: its transactions are read-only,
 * and a setting of its own role or connection may be too. So:
 *
 * - `configured`: what ALTER ROLE and ALTER DATABASE say for Praefect's sessions, in PostgreSQL's order of
 *   precedence (role in database, role, database, all roles). Praefect's role is taken to be the owner of its
 *   table. Read from the catalog: sessions that are open already, ours too, still have what held at their start.
 * - `server`: without such a line the server's own value decides (postgresql.conf, ALTER SYSTEM, command line; so
 *   do managed servers say that their disk is full). Our session shows it only where nothing of its own comes
 *   before it, which `source` tells; else null, and nobody can say.
 *
 * Not read: transaction_read_only and current_setting(), which are true of our own transaction only.
 */
export const serverSql = `
SELECT current_setting('server_version')   AS server_version,
       pg_is_in_recovery()                 AS in_recovery,
       (SELECT split_part(line, '=', 2)::boolean
          FROM pg_catalog.pg_db_role_setting s
         CROSS JOIN LATERAL unnest(s.setconfig) AS line
         WHERE line LIKE 'default\\_transaction\\_read\\_only=%'
           AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
           AND s.setrole IN (0, (SELECT relowner FROM pg_catalog.pg_class WHERE oid = to_regclass('replication_queue')))
         ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
         LIMIT 1)                          AS configured,
       (SELECT reset_val::boolean
          FROM pg_catalog.pg_settings
         WHERE name = 'default_transaction_read_only'
           AND source IN ('default', 'configuration file', 'command line', 'environment variable', 'override'))
                                           AS server`;

/** A table of a few dozen rows. */
export const migrationsSql = 'SELECT id FROM schema_migrations';

/** What a probe found out, as far as it came. */
export interface Probe {
  /** Undefined: no answer. */
  readonly ping?: { readonly seconds: number; readonly skewSeconds: number };
  readonly connection?: ReturnType<Database['connection']>;
  readonly server?: { readonly version: string; readonly recovery: boolean; readonly setting?: boolean };
  readonly variant?: string;
  readonly migrations?: readonly string[];
}

export function databaseBlock(probe: Probe): Block {
  const { connection, migrations, ping, server } = probe;
  const about = samplesOf(info);
  const readOnlyFor = samplesOf(readOnly);
  if (server !== undefined) {
    about.set(
      {
        server_version: server.version,
        schema_variant: probe.variant ?? 'unknown',
        pooler: connection?.pooler ?? 'unknown',
      },
      1,
    );
    readOnlyFor.set({ reason: 'recovery' }, Number(server.recovery));
    if (server.setting !== undefined) readOnlyFor.set({ reason: 'setting' }, Number(server.setting));
  }
  const known = new Set(knownMigrations);
  return {
    families: [
      single(up, Number(ping !== undefined)),
      about.family(),
      single(tls, ping && connection && Number(connection.encrypted)),
      single(probeDuration, ping?.seconds),
      single(clockSkew, ping?.skewSeconds),
      single(migrationsApplied, migrations?.length),
      single(migrationsUnknown, migrations?.filter((id) => !known.has(id)).length),
      readOnlyFor.family(),
    ],
  };
}

export interface DatabaseCollectorOptions extends QueryContext {
  readonly budget: Budget;
  readonly clock: Clock;
}

/** Failed or not, it says what it found out before it failed: `praefect_db_up` is always there. */
export function createDatabaseCollector({
  budget,
  clock,
  database,
  variants,
}: DatabaseCollectorOptions): Collector<Probe> {
  async function probe(signal: AbortSignal): Promise<{ probe: Probe; failure?: Failure }> {
    const limits = { signal, statementTimeoutMs: 3000 };
    const pinged = await database.query(pingSql, { ...limits, purpose: 'the probe' });
    if (!pinged.ok) return { probe: {}, failure: pinged.failure };
    const seconds = pinged.elapsedMs / 1000;
    const databaseClock = numberOf(pinged.value[0]?.['clock']) ?? Number.NaN;
    const connection = database.connection();
    let found: Probe = {
      // The middle of the round trip is found from its end: the beginning may have been spent on connecting.
      ping: { seconds, skewSeconds: databaseClock - (clock.now() / 1000 - seconds / 2) },
      ...(connection && { connection }),
    };

    const server = await database.query(serverSql, { ...limits, purpose: "the server's settings" });
    if (!server.ok) return { probe: found, failure: server.failure };
    found = { ...found, server: serverOf(server.value[0] ?? {}) };

    const variant = await variants.detect(signal);
    if (isFailure(variant)) return { probe: found, failure: variant };
    found = { ...found, variant: variant.name };
    if (!variant.tables.has('schema_migrations')) return { probe: found };

    const migrations = await database.query(migrationsSql, {
      ...limits,
      purpose: 'the migrations that were applied',
    });
    if (!migrations.ok) return { probe: found, failure: migrations.failure };
    return { probe: { ...found, migrations: migrations.value.map((row) => textOf(row['id'])) } };
  }

  return {
    name: 'praefect_database',
    title: "Praefect's database: whether it answers, what it is, whether it can be written to",
    metrics: databaseMetrics,
    schedule: {
      kind: 'interval',
      everyMs: 10_000,
      timeoutMs: 5000,
      maxAgeMs: 30_000,
      budget,
      priority: 'reserved',
    },
    async collect({ signal }) {
      const { probe: found, failure } = await probe(signal);
      const block = databaseBlock(found);
      return failure === undefined
        ? { kind: 'data', block, snapshot: found }
        : failed(failure.reason, failure.message, block, found);
    },
  };
}

function serverOf(row: DatabaseRow): NonNullable<Probe['server']> {
  const setting = row['configured'] ?? row['server'];
  return {
    version: textOf(row['server_version']),
    recovery: row['in_recovery'] === true,
    ...(typeof setting === 'boolean' && { setting }),
  };
}
