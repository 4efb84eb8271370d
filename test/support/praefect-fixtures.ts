/** The schemas and captured databases of test/fixtures/praefect (its README has the format). */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';

const fixtures = join(dirname(fileURLToPath(import.meta.url)), '../fixtures/praefect');

/** Versions whose schema equals that of an earlier version. */
const sameSchema: Readonly<Record<string, string>> = {
  '13.2': '13.1',
  '13.4': '13.3',
  '14.8': '14.6',
  '14.9': '14.6',
  '15.1': '15.0',
  '16.7': '15.0',
  '17.2': '15.0',
};

const schemaFile = (name: string): string => readFileSync(join(fixtures, 'schemas', name), 'utf8');

/** The SQL of the schema of a GitLab version: '13.5', '14.9', '19.0'. */
export const praefectSchema = (version: string): string =>
  schemaFile(`${sameSchema[version] ?? version}.sql`);

/** The schema versions of the captured databases, by their folder. */
const capturedVersions: Readonly<Record<string, string>> = { '13.5': '13.5', '14.9': '14.9', '19': '19.0' };

export interface PraefectCapture {
  /** `13.5/01-healthy`, `19/gitaly-down/down-later`. */
  readonly name: string;
  /** The version of its schema. */
  readonly version: string;
  /** The database's now() when the dump was taken. */
  readonly takenAt: Date;
  /** The statements that fill an empty schema, including the applied migrations. */
  readonly data: string;
  /** The path of a page that a Praefect served at that moment: `praefect-1.prom`, `praefect-1.db.prom`. */
  page(name: string): string;
}

/** @param name `13.5/01-healthy`, `14.9/06-failed-over`, `19/gitaly-down/down-later` */
export function praefectCapture(name: string): PraefectCapture {
  const folder = dirname(name);
  const version = capturedVersions[name.slice(0, name.indexOf('/'))];
  if (version === undefined) throw new Error(`no captures of ${name}`);
  const { moments, tables, statements } = readRows(folder);
  const moment = moments.find((each) => each.name === basename(name));
  if (moment === undefined) throw new Error(`no moment ${basename(name)} in ${folder}`);
  const here = ({ moments }: Line): boolean => moments.has(moment.number);
  const inserts = tables
    .map(({ table, lines }) => ({ table, values: lines.filter(here).map(({ text }) => text) }))
    .filter(({ values }) => values.length > 0)
    .map(({ table, values }) => `INSERT INTO ${table} VALUES\n${values.join(',\n')}`);
  const migrations = schemaFile(`${version}.migrations.txt`)
    .trim()
    .split('\n')
    .map((id) => `('${id}', '${moment.takenAt}')`);
  return {
    name,
    version,
    takenAt: new Date(moment.takenAt),
    data: [
      `INSERT INTO public.schema_migrations (id, applied_at) VALUES\n${migrations.join(',\n')}`,
      ...inserts,
      ...statements.filter(here).map(({ text }) => text),
      '',
    ].join(';\n'),
    page: (page) => join(fixtures, folder, `${moment.name}.${page}`),
  };
}

/** The names of all captures in a folder that have one of these pages, with the first such page. */
export function capturesWithPage(
  folder: string,
  pages: readonly string[],
): { readonly name: string; readonly page: string }[] {
  const files = new Set(readdirSync(join(fixtures, folder)));
  return readRows(folder).moments.flatMap(({ name }) => {
    const page = pages.find((each) => files.has(`${name}.${each}`));
    return page === undefined ? [] : [{ name: `${folder}/${name}`, page }];
  });
}

/** The incidents of a version that have a folder each: `19/gitaly-down`. */
export const incidentFolders = (version: string): string[] =>
  readdirSync(join(fixtures, version)).map((incident) => `${version}/${incident}`);

interface Line {
  /** The numbers of the moments in which the database had this row. */
  readonly moments: ReadonlySet<number>;
  readonly text: string;
}

interface Rows {
  readonly moments: readonly { readonly number: number; readonly name: string; readonly takenAt: string }[];
  /** `table` with its columns: `public.node_status (id, ...)`. */
  readonly tables: readonly { readonly table: string; readonly lines: readonly Line[] }[];
  readonly statements: readonly Line[];
}

function readRows(folder: string): Rows {
  const text = readFileSync(join(fixtures, folder, 'rows.txt'), 'utf8');
  const [head = '', ...sections] = text.trimEnd().split('\n\n');
  const parsed = sections.map((section) => {
    const [title = '', ...lines] = section.split('\n');
    return { table: title, lines: lines.map(lineOf) };
  });
  return {
    moments: head.split('\n').map((line) => {
      const [, number, name = '', takenAt = ''] = line.split(' ');
      return { number: Number(number), name, takenAt };
    }),
    tables: parsed.filter(({ table }) => table !== 'statements'),
    statements: parsed.find(({ table }) => table === 'statements')?.lines ?? [],
  };
}

/** `1-3,5<tab>(…)` */
function lineOf(line: string): Line {
  const tab = line.indexOf('\t');
  const moments = line
    .slice(0, tab)
    .split(',')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
  return { moments: new Set(moments), text: line.slice(tab + 1) };
}

/**
 * Loads a capture's schema and rows into an empty database. With `shiftTo`, every timestamp is moved by the
 * same duration, as if the capture had been taken at that moment (columns without a zone, which are in UTC,
 * too).
 *
 * `now` is the database's now() during the load: heartbeats age from then on, so storages count as unhealthy 10
 * s later. Without `shiftTo` the rows keep their times, for queries as of `takenAt`.
 */
export async function loadCapture(
  client: pg.Client,
  capture: PraefectCapture,
  shiftTo?: 'now' | Date,
): Promise<void> {
  await client.query(praefectSchema(capture.version));
  // As a replica, so that neither the rows nor the shift fire Praefect's NOTIFY triggers.
  await client.query(`BEGIN; SET LOCAL session_replication_role = replica; ${capture.data}`);
  if (shiftTo !== undefined) await shiftTimestamps(client, capture.takenAt, shiftTo);
  // The schemas set an empty search_path for their session.
  await client.query('COMMIT; RESET ALL; ANALYZE');
}

/**
 * Replaces all rows of a loaded database with those of another moment, as if it had been taken now. In one
 * transaction.
 */
export async function reloadCapture(client: pg.Client, capture: PraefectCapture): Promise<void> {
  const { rows } = await client.query<{ statement: string }>(`
    SELECT format('DELETE FROM public.%I', tablename) AS statement FROM pg_tables WHERE schemaname = 'public'`);
  const empty = rows.map(({ statement }) => statement).join('; ');
  await client.query(`BEGIN; SET LOCAL session_replication_role = replica; ${empty}; ${capture.data}`);
  await shiftTimestamps(client, capture.takenAt, 'now');
  await client.query('COMMIT');
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
