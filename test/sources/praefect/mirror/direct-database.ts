/** The least that a collector needs of a Database, on a client of the test's own: for tests of the mirror alone. */
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { Database, ReadTransaction } from '../../../../src/sources/praefect/database.ts';

/** `statements` gets every statement asked. */
export function directDatabase(client: () => pg.Client, statements: string[] = []): Database {
  const transaction: ReadTransaction = {
    rows: async (sql) => {
      statements.push(sql);
      return (await client().query(sql)).rows;
    },
    async copy(sql, onChunk) {
      statements.push(sql);
      for await (const chunk of client().query(copyTo(`COPY (${sql}) TO STDOUT (FORMAT binary)`)))
        await onChunk(chunk);
    },
  };
  return {
    query: async (sql) => ({ ok: true, value: (await client().query(sql)).rows, elapsedMs: 0 }),
    async transaction(_options, body) {
      await client().query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      try {
        return { ok: true, value: await body(transaction), elapsedMs: 0 };
      } finally {
        await client().query('COMMIT');
      }
    },
    connection: () => undefined,
    close: async () => undefined,
  };
}
