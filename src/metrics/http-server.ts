/** The HTTP server's own metrics. */
import { counter, gauge } from './metric.ts';
import { type Family, samplesOf, single } from './samples.ts';

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
  rejected: {
    concurrency: 0,
    rate: 0,
    unauthorized: 0,
    client_certificate: 0,
    web_config: 0,
    timeout: 0,
    internal: 0,
  },
});

/** @param isWebConfigInUse undefined without a web configuration file */
export function serverFamilies(counts: ServerCounts, isWebConfigInUse: boolean | undefined): Family[] {
  const rejected = samplesOf(scrapeRejectedTotal);
  for (const reason of rejectionReasons) rejected.set({ reason }, counts.rejected[reason]);
  return [
    single(scrapesInFlight, counts.scrapesInFlight),
    rejected.family(),
    single(webConfigLastReloadSuccess, isWebConfigInUse === undefined ? undefined : Number(isWebConfigInUse)),
  ];
}
