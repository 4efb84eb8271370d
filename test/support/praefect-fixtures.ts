/** The schemas and captured databases of test/fixtures/praefect, as SQL and loaded into a test database. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';

const fixtures = join(dirname(fileURLToPath(import.meta.url)), '../fixtures/praefect');

/** The SQL of a schema by the GitLab version that has it first: '13.5', '14.9', '19.0' (fixtures' README). */
export const praefectSchema = (version: string): string =>
  readFileSync(join(fixtures, 'schemas', `${version}.sql`), 'utf8');

export interface PraefectCapture {
  /** `13.5/01-healthy`, `19/gitaly-down/down-later`. */
  readonly name: string;
  readonly schemaFile: string;
  readonly dataFile: string;
  /** The database's now() when the dump was taken. */
  readonly takenAt: Date;
  /** Path of a page that a Praefect served at that moment: `praefect-1.prom`, `praefect-1.db_metrics.txt`. */
  page(name: string): string;
}

/** @param name `13.5/01-healthy`, `14.9/06-failed-over`, `19/gitaly-down/down-later` */
export function praefectCapture(name: string): PraefectCapture {
  const version = name.slice(0, name.indexOf('/'));
  const modern = version === '19';
  const schema = { '13.5': '13.5', '14.9': '14.9', '19': '19.0' }[version];
  if (schema === undefined) throw new Error(`no captures of ${version}`);
  const dataFile = join(fixtures, modern ? `${name}/praefect.sql` : `${name}.data.sql`);
  return {
    name,
    schemaFile: join(fixtures, 'schemas', `${schema}.sql`),
    dataFile,
    takenAt: captureTime(dataFile),
    page: (page) => join(fixtures, modern ? `${name}/${page}` : `${name}.${page}`),
  };
}

/**
 * Loads a schema and a captured database into an empty one. With `shiftTo`, every timestamp in it is moved by
 * the same span, so that the capture was taken at that moment (columns without a zone, which hold UTC, too).
 *
 * `now` is the database's now() at the load: heartbeats grow old from then on, storages count as unhealthy
 * 10 s later. Without it the rows stay as they are, for whoever asks as of `takenAt`.
 */
export async function loadDump(
  client: pg.Client,
  schemaFile: string,
  dataFile: string,
  shiftTo?: 'now' | Date,
): Promise<void> {
  await client.query(readFileSync(schemaFile, 'utf8'));
  // As a replica: Praefect's NOTIFY triggers have nobody to tell, and must not fire at the shift.
  await client.query(
    `BEGIN; SET LOCAL session_replication_role = replica; ${readFileSync(dataFile, 'utf8')}`,
  );
  if (shiftTo !== undefined) await shiftTimestamps(client, captureTime(dataFile), shiftTo);
  // The dumps empty search_path for their session.
  await client.query('COMMIT; RESET ALL; ANALYZE');
}

async function shiftTimestamps(client: pg.Client, takenAt: Date, to: 'now' | Date): Promise<void> {
  const target = to === 'now' ? 'now()' : `timestamptz '${to.toISOString()}'`;
  const by = `(${target} - timestamptz '${takenAt.toISOString()}')`;
  const { rows } = await client.query<{ table: string; columns: string[] }>(`
    SELECT table_name::text AS "table", array_agg(column_name::text) AS columns
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type LIKE 'timestamp%'
    GROUP BY table_name`);
  const updates = rows.map(
    ({ table, columns }) =>
      `UPDATE public."${table}" SET ${columns.map((column) => `"${column}" = "${column}" + ${by}`).join(', ')}`,
  );
  await client.query(updates.join('; '));
}

function captureTime(dataFile: string): Date {
  const inFile = /^-- now\(\) of the database: (\S+)/.exec(readFileSync(dataFile, 'utf8'));
  if (inFile?.[1] !== undefined) return new Date(inFile[1]);
  const meta = JSON.parse(readFileSync(join(dirname(dataFile), 'meta.json'), 'utf8')) as { began: string };
  return new Date(meta.began);
}
