/** The HTTP server's own metrics. */
import { counter, gauge } from './metric.ts';
import { createSamples, type Family } from './samples.ts';

/** Why a scrape got no metrics. */
const rejectionReasons = [
  'concurrency', // more in flight than allowed
  'rate', // rate_limit of the web configuration
  'unauthorized', // no user, or a wrong password
  'client_certificate',
  'web_config', // the web configuration file is invalid: everything is rejected
  'timeout', // no metrics by the scrape's deadline
  'internal', // a bug of the exporter
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

const scrapesInFlight = gauge('gitaly_exporter_scrapes_in_flight', {
  help: 'Scrapes in flight, including this one.',
  origin: 'requests to the telemetry path',
});

export const scrapeRejectedTotal = counter('gitaly_exporter_scrape_rejected_total', {
  help: 'Scrapes that got no metrics, by reason.',
  details: 'Prometheus records them as failed scrapes.',
  origin: 'requests to the telemetry path',
  labels: { reason: rejectionReasons },
});

export const webConfigLastReloadSuccess = gauge('gitaly_exporter_web_config_last_reload_success', {
  help: '1 if the web configuration file and its certificates are in use as they are on disk, otherwise 0.',
  details:
    'At 0, the previous certificate is still in use, or a change of TLS needs a restart. While the file itself is invalid, every scrape is rejected. Absent without a web configuration file.',
  origin: 'the web configuration file',
});

export const serverMetrics = [scrapesInFlight, scrapeRejectedTotal, webConfigLastReloadSuccess] as const;

export interface ServerCounts {
  scrapesInFlight: number;
  readonly rejected: Record<RejectionReason, number>;
}

export const zeroCounts = (): ServerCounts => ({
  scrapesInFlight: 0,
  rejected: Object.fromEntries(rejectionReasons.map((reason) => [reason, 0])) as ServerCounts['rejected'],
});

/** @param isWebConfigInUse undefined without a web configuration file */
export function serverFamilies(
  counts: ServerCounts,
  isWebConfigInUse: boolean | undefined,
): readonly Family[] {
  const samples = createSamples();
  samples.set(scrapesInFlight, {}, counts.scrapesInFlight);
  for (const reason of rejectionReasons)
    samples.set(scrapeRejectedTotal, { reason }, counts.rejected[reason]);
  samples.set(webConfigLastReloadSuccess, {}, isWebConfigInUse);
  return samples.families();
}
