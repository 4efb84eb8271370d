/**
 * A role creates operators, functions and casts where unqualified names of the exporter could resolve to them:
 * none is called, regardless of the search_path of the exporter's role.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { checkDatabase } from '../../../src/doctor/database.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { createBudget } from '../../../src/scheduler/budget.ts';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createDatabase } from '../../../src/sources/praefect/connection/create-database.ts';
import type { Database } from '../../../src/sources/praefect/database.ts';
import {
  contactedStorages,
  replicasOf,
  scanReplicas,
} from '../../../src/sources/praefect/queries/replica-paths.ts';
import { createVariantSource } from '../../../src/sources/praefect/query.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../support/postgres.ts';
import { praefectSource } from '../../support/praefect-source.ts';

/** The types of both arguments, and the operators that the statements use on them. */
const operators: readonly (readonly [left: string, right: string, symbols: string])[] = [
  ['public.replication_job_state', 'public.replication_job_state', '= <> < <= > >='],
  ['text', 'text', '= <> < <= > >= || ~~'],
  ['varchar', 'varchar', '= <> < <= > >= ||'],
  ['varchar', 'text', '= <> ||'],
  ['text', 'varchar', '= <> ||'],
  ['name', 'name', '= <>'],
  ['name', 'text', '= <>'],
  ['"char"', '"char"', '= <>'],
  ['oid', 'oid', '= <>'],
  ['int4', 'int4', '= <> < <= > >= + - & >>'],
  ['int8', 'int8', '= <> < <= > >= + - & |'],
  ['int8', 'int4', '= <> < <= > >= + - >>'],
  ['int2', 'int4', '= <> < <= > >='],
  ['timestamptz', 'timestamptz', '= < <= > >= -'],
  ['timestamptz', 'interval', '+ -'],
  ['timestamp', 'timestamp', '= < <= > >= -'],
  ['timestamp', 'interval', '+ -'],
  ['jsonb', 'text', '->> ->'],
  ['boolean', 'boolean', '= <>'],
];

const functions: readonly (readonly [name: string, args: string, returns: string])[] = [
  ['now', '', 'timestamptz'],
  ['clock_timestamp', '', 'timestamptz'],
  ['timezone', 'text, timestamptz', 'timestamp'],
  ['isfinite', 'timestamptz', 'boolean'],
  ['date_part', 'text, timestamptz', 'float8'],
  ['extract', 'text, timestamptz', 'numeric'],
  ['age', 'xid', 'int4'],
  ['hashtextextended', 'text, int8', 'int8'],
  ['concat', 'public.replication_job_state', 'text'],
  ['md5', 'text', 'text'],
  ['current_setting', 'text', 'text'],
  ['current_database', '', 'name'],
  ['pg_backend_pid', '', 'int4'],
  ['pg_is_in_recovery', '', 'boolean'],
  ['has_table_privilege', 'text, text', 'boolean'],
  ['has_table_privilege', 'oid, text', 'boolean'],
  ['to_regclass', 'text', 'regclass'],
  ['txid_current_snapshot', '', 'txid_snapshot'],
  ['txid_snapshot_xmin', 'txid_snapshot', 'int8'],
  ['pg_get_serial_sequence', 'text, text', 'text'],
  ['split_part', 'text, text, int4', 'text'],
  ['format_type', 'oid, int4', 'text'],
  ['convert_from', 'bytea, name', 'text'],
  ['decode', 'text, text', 'bytea'],
  ['pg_total_relation_size', 'regclass', 'int8'],
  ['count', 'int8', 'int8'],
  ['max', 'timestamptz', 'timestamptz'],
  ['min', 'timestamp', 'timestamp'],
];

/** Casts between types; only a superuser may create such casts. */
const casts = [
  ['public.replication_job_state', 'text'],
  ['text', 'public.replication_job_state'],
  ['jsonb', 'text'],
  ['text', 'int8'],
  ['text', 'int4'],
  ['text', 'boolean'],
  ['text', 'float8'],
  ['oid', 'text'],
  ['int8', 'text'],
] as const;

const body = (returns: string) => `
  LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_catalog.pg_advisory_lock(4711); PERFORM pg_catalog.pg_notify('stolen', 'x');
    PERFORM pg_catalog.set_config('application_name', 'stolen', false);
    RAISE EXCEPTION 'a function of the intruder was called (${returns.replaceAll("'", '')})'; END $$;`;

function hostileObjects(schema: string): string {
  const made: string[] = [];
  let nth = 0;
  for (const [left, right, symbols] of operators)
    for (const symbol of symbols.split(' ')) {
      nth += 1;
      const isBoolean = /^(=|<>|<|<=|>|>=|~~)$/.test(symbol);
      const returns = isBoolean ? 'boolean' : symbol === '->>' ? 'text' : left;
      made.push(
        `CREATE FUNCTION ${schema}.evil_${nth}(${left}, ${right}) RETURNS ${returns} ${body(symbol)}
         CREATE OPERATOR ${schema}.${symbol} (LEFTARG = ${left}, RIGHTARG = ${right}, FUNCTION = ${schema}.evil_${nth});`,
      );
    }
  for (const [name, args, returns] of functions)
    made.push(`CREATE FUNCTION ${schema}.${name}(${args}) RETURNS ${returns} ${body(name)}`);
  return made.join('\n');
}

const hostileCasts = (enumContext: 'IMPLICIT' | 'ASSIGNMENT') =>
  casts
    .map(
      ([from, to], nth) =>
        `CREATE FUNCTION public.evil_cast_${nth}(${from}) RETURNS ${to} ${body(`${from} to ${to}`)}
         CREATE CAST (${from} AS ${to}) WITH FUNCTION public.evil_cast_${nth}(${from}) AS ${from.startsWith('public.') ? enumContext : 'IMPLICIT'};`,
    )
    .join('\n');

const rows = `
  INSERT INTO public.schema_migrations (id, applied_at) VALUES ('20200109161404_hello_world', now());
  INSERT INTO public.node_status (praefect_name, shard_name, node_name, last_contact_attempt_at, last_seen_active_at)
  SELECT praefect, 'default', storage, now(), now()
    FROM unnest(ARRAY['p1', 'p2']) AS praefect, unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage;
  INSERT INTO public.shard_primaries (shard_name, node_name, elected_by_praefect, elected_at) VALUES ('default', 'gitaly-1', 'p1', now());
  INSERT INTO public.repositories (virtual_storage, relative_path, generation) VALUES ('default', 'a.git', 1);
  INSERT INTO public.replication_queue (state, job, lock_id) VALUES
    ('ready', '{"change": "update", "virtual_storage": "default", "target_node_storage": "gitaly-2", "relative_path": "a.git", "repository_id": 1}', 'l'),
    ('in_progress', '{"change": "delete_replica", "virtual_storage": "default", "target_node_storage": "gitaly-2", "relative_path": "a.git"}', 'l');
  INSERT INTO public.replication_queue_lock VALUES ('l', true);
  INSERT INTO public.replication_queue_job_lock (job_id, lock_id, triggered_at) SELECT id, 'l', now() FROM public.replication_queue`;

describe.each([15, 18] as const)('on PostgreSQL %i', (postgres) => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version: postgres, config: ['track_functions=all'] });
  });
  afterAll(() => server.stop());

  /** The failures of a full run; throws when any of the objects was called. */
  async function runOn(gitlab: string, enumContext: 'IMPLICIT' | 'ASSIGNMENT'): Promise<readonly string[]> {
    const place = await server.createDatabase(`
      ${praefectSchema(gitlab)}; RESET ALL; SET session_replication_role = replica; ${rows}; RESET ALL;
      CREATE SCHEMA postgres;
      ALTER ROLE postgres SET search_path = postgres, public, pg_catalog`);
    const admin = await place.client();
    await admin.query(
      `SET search_path = pg_catalog; ${hostileObjects('public')} ${hostileObjects('postgres')} ${hostileCasts(enumContext)}`,
    );
    const stolen: string[] = [];
    admin.on('notification', ({ channel }) => stolen.push(channel));
    await admin.query('LISTEN stolen');
    const statements = new Set<string>();
    const failures = await failuresOf(place, statements);
    expect(statements.size).toBeGreaterThan(15);
    expect([...statements].flatMap((sql) => unqualifiedIn(sql))).toEqual([]);
    await admin.query('ALTER ROLE postgres RESET search_path');
    expect(stolen).toEqual([]);
    const locks = "SELECT * FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory'";
    expect((await admin.query(locks)).rows).toEqual([]);
    expect((await admin.query('SELECT funcname FROM pg_catalog.pg_stat_user_functions')).rows).toEqual([]);
    return failures;
  }

  const versions = postgres === 15 ? ['13.3', '13.7', '14.0', '14.4', '14.9', '15.1', '19.0'] : ['19.0'];
  test.each(versions)(
    'no object of an intruder is called on the schema of GitLab %s',
    async (gitlab) => expect(await runOn(gitlab, 'ASSIGNMENT')).toEqual([]),
    60_000,
  );

  test("an implicit cast of Praefect's enum is not called: if it makes an operator ambiguous, the query fails", async () => {
    for (const failure of await runOn('19.0', 'IMPLICIT')) expect(failure).toMatch(/operator is not unique/);
  }, 60_000);
});

/** Words before a parenthesis that are part of PostgreSQL's grammar, not functions. */
const grammar = new Set(
  'all and any array as between by case coalesce distinct else extract filter from greatest lateral limit not on operator or over select sequence settled then values when where with join sequence for'.split(
    ' ',
  ),
);
/** Types that the grammar resolves to pg_catalog. */
const keywordTypes = /^(interval|timestamp|bigint|int|integer|boolean)\b/;

/** Names in the statement that are resolved by search_path: operators, functions and types without a schema. */
function unqualifiedIn(statement: string): readonly string[] {
  const sql = statement
    .replaceAll(/\/\*.*?\*\//gs, ' ')
    .replaceAll(/E?'(?:[^']|'')*'/g, "''")
    .replaceAll(/"(?:[^"]|"")*"/g, 'quoted')
    .replaceAll(/OPERATOR\(pg_catalog\.[^)]+\)/g, ' AND ')
    .replaceAll('count(*)', 'count(1)')
    .replaceAll('epoch FROM', 'epoch,')
    .replaceAll(/SELECT \*/g, 'SELECT x');
  const casts = [...sql.matchAll(/::\s*([\w.]+)/g)].flatMap(([, type = '']) =>
    type.includes('.') || keywordTypes.test(type) ? [] : `::${type}`,
  );
  const calls = [...sql.matchAll(/([\w.]+)\s*\(/g)].flatMap(([, name = '']) =>
    name.includes('.') || grammar.has(name.toLowerCase()) || /^\d*$/.test(name) ? [] : `${name}()`,
  );
  const symbols = [...sql.replaceAll('::', ' ').matchAll(/[-+*/<>=~!@#%^&|?]+/g)].map(([found]) => found);
  const words = [...sql.matchAll(/\b(?:IN|LIKE|ILIKE|BETWEEN|NULLIF|SIMILAR)\b|DISTINCT FROM/g)].map(
    ([found]) => found,
  );
  const tables = [...sql.matchAll(/\b(?:FROM|JOIN) +([\w.]+)/g)].flatMap(([, name = '']) =>
    name.includes('.') || /^(here|session|pg_catalog|quoted|LATERAL)$/.test(name) ? [] : `FROM ${name}`,
  );
  return [...casts, ...calls, ...symbols, ...words, ...tables];
}

/** A Database that records the statements sent through it. */
function recording(database: Database, statements: Set<string>): Database {
  return {
    ...database,
    query(sql, options) {
      statements.add(sql);
      return database.query(sql, options);
    },
    transaction: (options, run) =>
      database.transaction(options, (transaction) =>
        run({
          rows(sql) {
            statements.add(sql);
            return transaction.rows(sql);
          },
          copy(sql, onChunk) {
            statements.add(sql);
            return transaction.copy(sql, onChunk);
          },
        }),
      ),
  };
}

test.each([
  ['SELECT a = b FROM public.t', ['=']],
  ['SELECT now() FROM public.t', ['now()']],
  ["SELECT 'x'::text FROM public.t", ['::text']],
  ['SELECT 1 FROM t WHERE a IN (1)', ['IN', 'FROM t']],
  ["SELECT a OPERATOR(pg_catalog.=) '=', pg_catalog.now() FROM public.t -- ", ['--']],
])('%j has unqualified names', (sql, found) => {
  expect([...unqualifiedIn(sql)].filter((each) => each !== 'IN()').sort()).toEqual([...found].sort());
});

async function failuresOf(place: TestDatabase, statements = new Set<string>()): Promise<readonly string[]> {
  const clock = systemClock;
  const budget = createBudget(1, clock);
  const database = recording(createDatabase({ connection: place.connection, clock, budget }), statements);
  const failures: string[] = [];
  const { collectors } = praefectSource({ database, budget, clock, costlyRefreshMs: 0 });
  const signal = AbortSignal.timeout(30_000);
  try {
    // Twice: the second refresh of the mirror reads only changed rows.
    for (const collector of [...collectors, ...collectors]) {
      const outcome = await collector.collect({ signal, cause: 'due' });
      if (outcome.kind === 'failed') failures.push(`${collector.name}: ${outcome.message}`);
    }
    failures.push(...(await failedScans(database, signal)));
    for (const { status, detail } of (await checkDatabase(place.connection, clock, signal)).findings)
      if (status === 'fail' || status === 'unknown') failures.push(detail);
  } finally {
    await database.close();
  }
  return failures;
}

async function failedScans(database: Database, signal: AbortSignal): Promise<readonly string[]> {
  const context = { database, variants: createVariantSource(database, createEventLog(systemClock)) };
  const options = { signal, statementTimeoutMs: 10_000 };
  const scan = { wanted: new Map([['gitaly-1', () => true]]), onReplica: () => undefined, pageRows: 1 };
  const results = [
    await replicasOf(context, options, "a'.git"),
    await contactedStorages(context, options),
    await scanReplicas(context, options, scan),
  ];
  return results.flatMap((result) => (result.ok ? [] : [result.failure.message]));
}
