/** The database itself, every 10 s: whether it responds, its versions, and whether Praefect can write to it. */

import { anyValue, metricGroup } from '../../../metrics/metric.ts';
import { type Block, createSamples } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed } from '../../../scheduler/outcome.ts';
import { collectorNames } from '../collector-names.ts';
import type { Database, DatabaseRow } from '../database.ts';
import { columnNumber, columnText, type DatabaseContext, databaseSchedule, isFailure } from '../query.ts';
import { epochOf, eq, ne, relationOid } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';
import { knownMigrations } from './known-migrations.ts';

const { gauge, metrics } = metricGroup();

export const up = gauge('praefect_db_up', {
  help: "1 if the last probe of Praefect's database succeeded, otherwise 0.",
  details: 'Always present when a database is configured.',
  origin: 'SELECT clock_timestamp()',
});

export const info = gauge('praefect_db_info', {
  help: "Constant 1 with the versions of PostgreSQL and of Praefect's schema, and the connection pooler.",
  details:
    'schema_variant is the first GitLab release with this form of the schema, or unknown. pooler is pgbouncer for every pooler that multiplexes connections.',
  origin: 'server_version; pg_catalog',
  labels: { server_version: anyValue, schema_variant: anyValue, pooler: anyValue },
});

export const tls = gauge('praefect_db_tls', {
  help: "1 if the exporter's own connection to the database is encrypted, otherwise 0.",
  origin: 'the connection',
});

export const probeDuration = gauge('praefect_db_probe_duration_seconds', {
  help: 'Round-trip time of the cheapest query.',
  details: 'Absent when the probe failed.',
  origin: 'SELECT clock_timestamp()',
});

export const clockSkew = gauge('praefect_db_clock_skew_seconds', {
  help: "The database's clock minus the exporter's, accurate to half a round trip.",
  details: 'Times of heartbeats, jobs and elections are corrected by it where it is 2 s or more.',
  origin: 'clock_timestamp()',
});

export const migrationsApplied = gauge('praefect_db_migrations_applied', {
  help: 'Number of migrations that Praefect has applied.',
  origin: 'schema_migrations',
});

export const migrationsUnknown = gauge('praefect_db_migrations_unknown', {
  help: 'Number of applied migrations that this build of the exporter does not know.',
  details: 'Over 0, Praefect is newer than the versions that this build was tested with.',
  origin: 'schema_migrations',
});

export const readOnly = gauge('praefect_db_read_only', {
  help: '1 for each reason why Praefect cannot write to the database, 0 for the others.',
  details:
    "recovery: the server is a standby. setting: default_transaction_read_only is on for new sessions of Praefect, set for the server, the database, or the role that owns Praefect's tables; absent when a setting of the exporter's own role hides the server's value.",
  origin: 'pg_is_in_recovery(); pg_db_role_setting, pg_settings',
  labels: { reason: ['recovery', 'setting'] },
});

export const databaseMetrics = metrics;

/** The cheapest query: it reads no table. */
const pingSql = `SELECT ${epochOf('pg_catalog.clock_timestamp()')} AS clock`;

/**
 * Whether Praefect can write. The exporter's own session does not show it: its transactions are read-only, and a
 * setting of its own role or connection may be too. So:
 *
 * - `configured`: the value of ALTER ROLE and ALTER DATABASE for Praefect's sessions, in PostgreSQL's order of
 *   precedence (role in database, role, database, all roles). The owner of replication_queue stands for Praefect's
 *   role. Read from the catalog, since open sessions keep the values of their start.
 * - `server`: without such a setting, the server's own value (postgresql.conf, ALTER SYSTEM, command line; managed
 *   servers set it when their disk is full). The exporter's session shows it only if no setting of its own takes
 *   precedence, as `source` shows; otherwise it is null and unknown.
 *
 * Not read: transaction_read_only and current_setting(), which hold for the exporter's own transaction only.
 */
const serverSql = (schemaOid: number | undefined): string => `
SELECT pg_catalog.pg_is_in_recovery()               AS in_recovery,
       (SELECT pg_catalog.split_part(line, '=', 2)
          FROM pg_catalog.pg_db_role_setting s
         CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS line
         WHERE (pg_catalog.split_part(line, '=', 1) ${eq} 'default_transaction_read_only')
           AND ((s.setdatabase ${eq} 0) OR (s.setdatabase ${eq}
                (SELECT oid FROM pg_catalog.pg_database WHERE datname ${eq} pg_catalog.current_database())))
           AND ((s.setrole ${eq} 0) OR (s.setrole ${eq}
                (SELECT relowner FROM pg_catalog.pg_class WHERE oid ${eq} (${relationOid(schemaOid, 'replication_queue')}))))
         ORDER BY (s.setrole ${ne} 0) DESC, (s.setdatabase ${ne} 0) DESC
         LIMIT 1)                                   AS configured,
       (SELECT reset_val
          FROM pg_catalog.pg_settings
         WHERE (name ${eq} 'default_transaction_read_only')
           AND (source ${eq} ANY (ARRAY['default', 'configuration file', 'command line', 'environment variable', 'override'])))
                                                    AS server`;

/** A table of a few dozen rows. */
const migrationsSql = (variant: SchemaVariant): string =>
  `SELECT id FROM ${variant.relation('schema_migrations')}`;

/** The result of a probe; what a failed probe did not reach is undefined. */
export interface DatabaseSnapshot {
  /** Undefined: the probe succeeded. */
  readonly failure?: Failure;
  /** Undefined: no response. */
  readonly ping?: { readonly seconds: number; readonly skewSeconds: number };
  readonly connection?: ReturnType<Database['connection']>;
  readonly server?: { readonly version: string; readonly recovery: boolean; readonly setting?: boolean };
  readonly variant?: string;
  readonly migrations?: readonly string[];
}

export function databaseBlock({ connection, migrations, ping, server, variant }: DatabaseSnapshot): Block {
  const samples = createSamples(databaseMetrics);
  const known = new Set(knownMigrations);
  samples.set(up, {}, ping !== undefined);
  if (server !== undefined)
    samples.set(
      info,
      {
        server_version: server.version,
        schema_variant: variant ?? 'unknown',
        pooler: connection?.pooler ?? 'unknown',
      },
      1,
    );
  samples.set(tls, {}, ping && connection?.encrypted);
  samples.set(probeDuration, {}, ping?.seconds);
  samples.set(clockSkew, {}, ping?.skewSeconds);
  samples.set(migrationsApplied, {}, migrations?.length);
  samples.set(migrationsUnknown, {}, migrations?.filter((id) => !known.has(id)).length);
  samples.set(readOnly, { reason: 'recovery' }, server?.recovery);
  samples.set(readOnly, { reason: 'setting' }, server?.setting);
  return { families: samples.families() };
}

/** A failed probe reports what it found before it failed, so `praefect_db_up` is always present. */
export function createDatabaseCollector(context: DatabaseContext): Collector<DatabaseSnapshot> {
  const { clock, database, databaseClock, variants } = context;
  async function probe(signal: AbortSignal): Promise<{ found: DatabaseSnapshot; failure?: Failure }> {
    const limits = { signal, statementTimeoutMs: 3000 };
    const ping = await database.query(pingSql, { ...limits, purpose: 'the probe' });
    if (!ping.ok) return { found: {}, failure: ping.failure };
    const seconds = ping.elapsedMs / 1000;
    const databaseNow = columnNumber(ping.value[0]?.['clock']);
    // Something that speaks the protocol but has no clock is not a PostgreSQL that works.
    if (databaseNow === undefined || !Number.isFinite(databaseNow))
      return {
        found: {},
        failure: { reason: 'parse', message: 'the server did not return its time: is it PostgreSQL?' },
      };
    databaseClock.measured(databaseNow);
    const connection = database.connection();
    let found: DatabaseSnapshot = {
      // The middle of the round trip, counted from its end: its start may have been spent on connecting.
      ping: { seconds, skewSeconds: databaseNow - (clock.now() / 1000 - seconds / 2) },
      ...(connection && { connection }),
    };

    const variant = await variants.detect(signal);
    const schemaOid = isFailure(variant) ? undefined : variant.schemaOid;
    const server = await database.query(serverSql(schemaOid), {
      ...limits,
      purpose: "the server's settings",
    });
    if (!server.ok) return { found, failure: server.failure };
    found = { ...found, server: serverOf(server.value[0] ?? {}, connection?.serverVersion) };
    if (isFailure(variant)) return { found, failure: variant };
    found = { ...found, variant: variant.name };
    if (!variant.tables.has('schema_migrations')) return { found };

    const migrations = await database.query(migrationsSql(variant), {
      ...limits,
      purpose: 'the applied migrations',
    });
    if (!migrations.ok) return { found, failure: migrations.failure };
    return { found: { ...found, migrations: migrations.value.map((row) => columnText(row['id'])) } };
  }

  return {
    name: collectorNames.database,
    title: "Praefect's database: availability, versions, and whether it is writable",
    metrics: databaseMetrics,
    ...databaseSchedule(context, {
      everyMs: 10_000,
      timeoutMs: 5000,
      maxAgeMs: 30_000,
      priority: 'reserved',
    }),
    async collect({ signal }) {
      const { found, failure } = await probe(signal);
      const block = databaseBlock(found);
      return failure === undefined
        ? { kind: 'data', block, snapshot: found }
        : failed(failure.reason, failure.message, block, { ...found, failure });
    },
  };
}

/** @param version as the connection has it, fit to be a label */
function serverOf(row: DatabaseRow, version = ''): NonNullable<DatabaseSnapshot['server']> {
  const setting = booleanSetting(row['configured']) ?? booleanSetting(row['server']);
  return {
    version,
    recovery: row['in_recovery'] === true,
    ...(setting !== undefined && { setting }),
  };
}

/** A boolean setting as PostgreSQL reads it: any beginning of these words that only one of them has. */
function booleanSetting(value: unknown): boolean | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  const text = value.trim().toLowerCase();
  if (text === '1' || text === 'on' || 'true'.startsWith(text) || 'yes'.startsWith(text)) return true;
  if (text === '0' || text === 'of' || text === 'off' || 'false'.startsWith(text) || 'no'.startsWith(text))
    return false;
  return undefined;
}
