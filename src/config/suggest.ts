/** "Did you mean": the known name closest to an unknown one. */
import { closestMatch } from 'leven';

/** The closest known name, or undefined when none is close enough. */
export function closest(found: string, known: readonly string[]): string | undefined {
  if (found.length > 200) return undefined;
  const lower = found.toLowerCase();
  const same = known.find((name) => name.toLowerCase() === lower);
  if (same !== undefined) return same;
  // Two swapped letters count as two.
  const maxDistance = found.length < 4 ? 1 : Math.max(2, Math.floor(found.length / 4));
  return closestMatch(found, known, { maxDistance });
}

export const didYouMean = (found: string, known: readonly string[], prefix = ''): string => {
  const near = closest(found, known);
  return near === undefined ? '' : ` Did you mean ${prefix}${near}?`;
};
