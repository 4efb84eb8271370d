/** What Node's errors carry, read by shape: under jest they are instances of another realm's classes. */

/** `ECONNREFUSED`, `ENOENT`: the error's own code, or that of the first error that an AggregateError holds. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'errors' in error && Array.isArray(error.errors) ? codeOf(error.errors[0]) : undefined;
}
