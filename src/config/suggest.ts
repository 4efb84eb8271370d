/** "Did you mean": the known name nearest to one that is not known. */
import { closestMatch } from 'leven';

/** The nearest of the known names, or undefined when none is near enough to be what was meant. */
export function closest(found: string, known: readonly string[]): string | undefined {
  if (found.length > 200) return undefined;
  const lower = found.toLowerCase();
  const same = known.find((name) => name.toLowerCase() === lower);
  if (same !== undefined) return same;
  // Two letters that changed places count as two.
  const maxDistance = found.length < 4 ? 1 : Math.max(2, Math.floor(found.length / 4));
  return closestMatch(found, known, { maxDistance });
}

export const didYouMean = (found: string, known: readonly string[], prefix = ''): string => {
  const near = closest(found, known);
  return near === undefined ? '' : ` Did you mean ${prefix}${near}?`;
};
