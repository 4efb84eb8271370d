/** How long an answer to a scrape may take: Prometheus says in a header when it will hang up. */
import type { Limits } from './limits.ts';

export const scrapeTimeoutHeader = 'x-prometheus-scrape-timeout-seconds';

/**
 * Milliseconds. The header's value less `offsetMs`, which is for the way back (blackbox_exporter's rule and its
 * default of 0.5 s); of a timeout of less than twice the offset, half. What is no positive number is ignored.
 */
export function scrapeTimeoutMs(
  header: string | readonly string[] | undefined,
  offsetMs: number,
  limits: Pick<Limits, 'defaultScrapeTimeoutMs' | 'maxScrapeTimeoutMs'>,
): number {
  const text = typeof header === 'string' ? header.trim() : '';
  const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  const given = seconds > 0 ? seconds * 1000 : limits.defaultScrapeTimeoutMs;
  return Math.min(Math.max(given - offsetMs, given / 2), limits.maxScrapeTimeoutMs);
}
