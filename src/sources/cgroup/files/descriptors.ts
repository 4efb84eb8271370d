/** How many descriptors may be kept open: each reading saves opening and closing its file, which costs ten times it. */
import { readFileSync } from 'node:fs';

/** 10,000 buckets with four files each. */
const most = 40_000;
/** What Linux gives when nobody asks for more. */
const usualLimit = 1024;

/**
 * Half of what this process may open, so that connections and files of others find room; at most 40,000. Node raises
 * its soft limit to the hard one at its start, and this reads what came of that.
 */
export function descriptorBudget(limits = '/proc/self/limits'): number {
  try {
    const [, soft = ''] = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync(limits, 'utf8')) ?? [];
    if (soft === 'unlimited') return most;
    return Math.min(most, Math.floor(Number(soft || usualLimit) / 2));
  } catch {
    return usualLimit / 2;
  }
}
