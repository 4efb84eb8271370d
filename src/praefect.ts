/** What `gitaly-exporter/praefect` exports: collectors of Praefect's database. They need the packages pg and pg-copy-streams. */
export type { DatabaseConnection, SslMode } from './config/database-connection.ts';
export { Secret } from './lib/secret.ts';
export { createDatabase, type DatabaseOptions } from './sources/praefect/connection/create-database.ts';
export type { Database, DatabaseRow, QueryResult, ReadTransaction } from './sources/praefect/database.ts';
export { type HealthView, healthOf } from './sources/praefect/health.ts';
export { variantSql } from './sources/praefect/relations.ts';
export {
  createPraefectSource,
  type PraefectSource,
  type PraefectSourceOptions,
} from './sources/praefect/source.ts';
export { type SchemaVariant, variantOf } from './sources/praefect/variant.ts';
