/**
 * The parts of which the exporter's statements are made. Every function, operator, type and table is written with its
 * schema, although search_path is pg_catalog alone: up to PostgreSQL 14 every role may create objects in public, and a
 * `public.=` for one of Praefect's types would be called with the exporter's rights, since it fits better than
 * pg_catalog's operator for any type. For the same reason no IN, BETWEEN, LIKE or NULLIF: they look up their
 * operators by name and cannot be qualified.
 *
 * OPERATOR(...) binds more tightly than a comparison, and all of them alike from left to right: parenthesize operands.
 */

const operator = (symbol: string): string => `OPERATOR(pg_catalog.${symbol})`;

export const eq = operator('=');
export const ne = operator('<>');
export const lt = operator('<');
export const le = operator('<=');
export const gt = operator('>');
export const ge = operator('>=');
export const plus = operator('+');
export const minus = operator('-');
export const concat = operator('||');
export const bitAnd = operator('&');
export const shiftRight = operator('>>');
/** A member of a jsonb object. */
export const memberOf = operator('->');
/** A member of a jsonb object as text. */
export const jsonText = operator('->>');

export const quotedName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Any text as a constant, for statements without parameters: hex digits cannot end a literal. */
export const literal = (text: string): string =>
  /^[\w ".,:/@-]*$/.test(text)
    ? `'${text}'`
    : `pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(text, 'utf8').toString('hex')}', 'hex'), 'UTF8')`;

/** An array of names, such as those of relations: pg_class.relname is of type name. */
export const nameArray = (names: readonly string[]): string =>
  `ARRAY[${names.map(literal).join(', ')}]::pg_catalog.name[]`;

/** The OID of a table, as a subquery; null when it does not exist, or its schema is not known. */
export const relationOid = (schemaOid: number | undefined, table: string): string =>
  schemaOid === undefined
    ? 'SELECT NULL::pg_catalog.oid'
    : `SELECT oid FROM pg_catalog.pg_class WHERE (relname ${eq} '${table}') AND (relnamespace ${eq} ${schemaOid})`;

/**
 * How far in the future a time of the database may be: now() is the start of the reader's transaction, and a row may
 * be written between that and the read. A later time was written before the database's clock was set back, or by
 * hand: it is the age of nothing, and never fresh.
 */
export const futureToleranceSeconds = 5;

/** A condition for a timestamptz that is not in the future. */
export const isPresent = (time: string): string =>
  `${time} ${le} (pg_catalog.now() ${plus} interval '${futureToleranceSeconds} seconds')`;

/** The same for a timestamp without time zone, in UTC. */
export const isPresentUtc = (time: string): string =>
  `${time} ${le} (pg_catalog.timezone('UTC', pg_catalog.now()) ${plus} interval '${futureToleranceSeconds} seconds')`;

/**
 * Seconds from a timestamptz to now(), negative in the future, null for null. The difference of infinite timestamps
 * is an error before PostgreSQL 17.
 */
export const secondsSince = (time: string): string =>
  `CASE WHEN pg_catalog.isfinite(${time}) THEN extract(epoch FROM (pg_catalog.now() ${minus} ${time}))::pg_catalog.float8
              WHEN ${time} ${gt} pg_catalog.now() THEN '-Infinity'::pg_catalog.float8
              WHEN ${time} ${lt} pg_catalog.now() THEN 'Infinity'::pg_catalog.float8 END`;

/** A timestamp in seconds since 1970; one without time zone is taken as UTC. */
export const epochOf = (time: string): string => `extract(epoch FROM ${time})::pg_catalog.float8`;
