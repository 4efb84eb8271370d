/** What errors carry, and anything that code can throw as text. */

/**
 * By its shape, because under jest Node's errors are instances of another realm's classes.
 *
 * `ECONNREFUSED`, `ENOENT`: the error's own code, or that of the first error that an AggregateError holds.
 */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'errors' in error && Array.isArray(error.errors) ? codeOf(error.errors[0]) : undefined;
}

/** The message alone: `EACCES: permission denied, mkdir '/alerts'`. */
export const errorMessageOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);

/** So that a message that quotes a whole document does not fill the page and the log. */
const maxLength = 500;

const indescribable = 'an error that cannot be described';

/** One line, at most 500 characters. Never throws, even for an object whose every property does. */
export function describeThrown(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    const line = text.replace(/\s+/g, ' ').trim();
    return line.length > maxLength ? `${line.slice(0, maxLength)}...` : line;
  } catch {
    return indescribable;
  }
}

/** Where it was thrown, if that is known. */
export function stackOf(thrown: unknown): string | undefined {
  try {
    return thrown instanceof Error && typeof thrown.stack === 'string' ? thrown.stack : undefined;
  } catch {
    return undefined;
  }
}
