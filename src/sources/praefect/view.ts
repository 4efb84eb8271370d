/**
 * Praefect's state as typed values, for problems and checks. It is made from the collectors' newest snapshots, so a
 * value is undefined here exactly when its samples are absent from /metrics: before the first read, after a failed
 * read that withdrew them, and past the maximum age.
 */
import type { Collector } from '../../scheduler/collector.ts';
import type { Runner } from '../../scheduler/runner.ts';
import type { RepositoriesSnapshot } from './mirror/collector.ts';
import type { DatabaseSnapshot } from './queries/database.ts';
import type { HealthSnapshot } from './queries/health.ts';
import type { QueueSnapshot } from './queries/queue.ts';

export type { HealthSnapshot } from './queries/health.ts';
export type { TargetQueue } from './queries/queue.ts';

export interface PraefectView {
  readonly database: DatabaseView | undefined;
  /** One entry for each virtual storage in node_status, sorted by name. */
  readonly health: readonly HealthSnapshot[] | undefined;
  readonly queue: QueueSnapshot | undefined;
  readonly repositories: RepositoriesSnapshot | undefined;
}

/** The probe of the database; all but `up` is undefined while the database is down. */
export interface DatabaseView {
  readonly up: boolean;
  /** The server responded, and rejected the exporter: its user, password, TLS or database. Praefect may have access. */
  readonly isRejected: boolean;
  /** server_version, such as `15.4`. */
  readonly serverVersion: string | undefined;
  /** The first GitLab release with this form of the schema. */
  readonly schemaVariant: string | undefined;
  /** Why Praefect cannot write to it; empty when it can. */
  readonly readOnlyReasons: readonly ('recovery' | 'setting')[] | undefined;
  /** Whether the exporter's own connection is encrypted. */
  readonly isEncrypted: boolean | undefined;
  /** The database's clock minus the exporter's. */
  readonly clockSkewSeconds: number | undefined;
}

/** The collectors whose snapshots make up the view. */
export interface PraefectViewCollectors {
  readonly database: Collector<DatabaseSnapshot>;
  readonly health: Collector<readonly HealthSnapshot[]>;
  readonly queue: Collector<QueueSnapshot>;
  readonly repositories: Collector<RepositoriesSnapshot>;
}

/** @param collectors undefined where no database is configured */
export function praefectView(
  collectors: PraefectViewCollectors | undefined,
  latest: Runner['latest'],
): PraefectView {
  const probe = collectors && latest(collectors.database);
  return {
    database: probe && databaseView(probe),
    health: collectors && latest(collectors.health),
    queue: collectors && latest(collectors.queue),
    repositories: collectors && latest(collectors.repositories),
  };
}

const rejections: ReadonlySet<string | undefined> = new Set([
  'authentication',
  'permission',
  'tls',
  'missing_schema',
]);

function databaseView({ failure, ping, connection, server, variant }: DatabaseSnapshot): DatabaseView {
  return {
    up: ping !== undefined,
    isRejected: ping === undefined && rejections.has(failure?.reason),
    serverVersion: server?.version,
    schemaVariant: variant,
    readOnlyReasons: server && [
      ...(server.recovery ? (['recovery'] as const) : []),
      ...(server.setting === true ? (['setting'] as const) : []),
    ],
    isEncrypted: connection?.encrypted,
    clockSkewSeconds: ping?.skewSeconds,
  };
}
