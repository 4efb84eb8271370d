/** The collectors of Praefect's database, by what they read. */
export const collectorNames = {
  database: 'praefect_database',
  health: 'praefect_health',
  queue: 'praefect_queue',
  connections: 'praefect_connections',
  tables: 'praefect_tables',
  shardPrimaries: 'praefect_shard_primaries',
  writeLocks: 'praefect_write_locks',
  repositories: 'praefect_repositories',
} as const;

/** For when no database is configured. */
export const praefectCollectorNames: readonly string[] = Object.values(collectorNames);
