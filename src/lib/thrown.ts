/**
 * Anything that code can throw, as text: an Error, a string, null, or an object whose every property throws.
 * Describing it must never throw.
 */

/** So that a message that quotes a whole document does not fill the page and the log. */
const maxLength = 500;

const indescribable = 'an error that cannot be described';

/** One line, at most 500 characters. */
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
