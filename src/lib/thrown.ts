/**
 * Whatever a bug may throw, as text for people: an Error, a string, null, or an object whose every property
 * throws in turn. Describing it must never be the next thing that throws.
 */

/** Keeps a message that quotes a whole document from filling the page and the log. */
const longest = 500;

const indescribable = 'something that cannot be described';

/** One line, at most 500 characters. */
export function describeThrown(thrown: unknown): string {
  try {
    const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
    const line = text.replace(/\s+/g, ' ').trim();
    return line.length > longest ? `${line.slice(0, longest)}...` : line;
  } catch {
    return indescribable;
  }
}

/** Where it was thrown, when it can tell. */
export function stackOf(thrown: unknown): string | undefined {
  try {
    return thrown instanceof Error && typeof thrown.stack === 'string' ? thrown.stack : undefined;
  } catch {
    return undefined;
  }
}
