/** What went wrong at the database, before it is put into a sentence: one shape for every step of the way. */
import type { FailureReason } from '../../../scheduler/outcome.ts';

export interface Finding {
  readonly reason: FailureReason;
  /** What was found, as a clause: `the server ended the connection`. */
  readonly found: string;
  /** What to do about it, as a clause. */
  readonly mend?: string;
  /** The server's or pooler's SQLSTATE, where the words are theirs. */
  readonly sqlState?: string;
}

/** A value, or why not. */
export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly finding: Finding };

export const succeeded = <T>(value: T): Result<T> => ({ ok: true, value });
export const found = (finding: Finding): Result<never> => ({ ok: false, finding });

/** A duration as people read it: `250 ms`, `2 s`, `90 s`. */
export const inWords = (ms: number): string =>
  ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(1))} s`;
