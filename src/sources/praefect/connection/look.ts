/** Several statements that see one instant: BEGIN, whatever the caller asks, COMMIT; or the first refusal. */
import type { DatabaseRow, QueryOptions, ReadTransaction } from '../database.ts';
import { type Finding, found, type Result, succeeded } from './finding.ts';
import type { Session } from './session.ts';
import { beginLook } from './transaction.ts';

/** Carries a finding out of the body of a look, through code that need not know of it. */
class LookFailed extends Error {
  readonly finding: Finding;
  constructor(finding: Finding) {
    super(finding.found);
    this.finding = finding;
  }
}

/** The body between BEGIN and COMMIT; the first thing that the database refused is the answer. */
export async function lookAt<T>(
  session: Session,
  options: Required<QueryOptions>,
  body: (look: ReadTransaction) => Promise<T>,
): Promise<Result<T>> {
  let failure: Finding | undefined;
  let busy = false;
  let over = false;

  async function statement<V>(ask: () => Promise<Result<V>>): Promise<V> {
    if (failure !== undefined) throw new LookFailed(failure);
    if (busy || over) throw new Error('a look asks one question at a time, and none after its end');
    busy = true;
    try {
      const result = await ask();
      if (result.ok) return result.value;
      failure ??= result.finding;
      throw new LookFailed(result.finding);
    } finally {
      busy = false;
    }
  }

  const begun = await session.rows(beginLook(options.purpose, options.statementTimeoutMs), options);
  if (!begun.ok) {
    await rollBack(session, options);
    return begun;
  }
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void =>
      reject(new LookFailed({ reason: 'timeout', found: 'its deadline came in the middle' }));
    options.signal.addEventListener('abort', stop, { once: true });
    if (options.signal.aborted) stop();
  });
  stopped.catch(() => undefined);
  try {
    const value = await Promise.race([
      body({
        rows: (sql) => statement<readonly DatabaseRow[]>(() => session.rows(sql, options)),
        copy: (sql, onChunk) =>
          statement<void>(() => session.copy(`COPY (${sql}) TO STDOUT (FORMAT binary)`, options, onChunk)),
      }),
      stopped,
    ]);
    if (failure !== undefined) throw new LookFailed(failure);
    over = true;
    const committed = await session.rows('COMMIT', options);
    return committed.ok ? succeeded(value) : committed;
  } catch (error) {
    over = true;
    if (busy) session.abandon();
    else await rollBack(session, options);
    if (failure !== undefined) return found(failure);
    if (error instanceof LookFailed) return found(error.finding);
    throw error;
  }
}

async function rollBack(session: Session, options: QueryOptions): Promise<void> {
  if (session.lost() !== undefined) return;
  // With no time left only a new connection is surely clean.
  if (options.signal.aborted) return session.abandon();
  const rolledBack = await session.rows('ROLLBACK', options);
  if (!rolledBack.ok || session.inTransaction()) session.abandon();
}
