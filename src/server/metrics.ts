/** What the server says about itself. */
import { counter, gauge } from '../metrics/metric.ts';
import { type Family, samplesOf, single } from '../metrics/samples.ts';

/** Why a scrape was answered without metrics. */
export const rejectionReasons = [
  'concurrency', // more in flight than allowed
  'rate', // the web configuration's rate_limit
  'unauthorized', // no user, or the wrong password
  'client_certificate',
  'web_config', // the web configuration file is broken: everything is refused
  'timeout', // nothing to send by the scrape's deadline
  'internal', // a fault of our own
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

export const scrapesInFlight = gauge('gitaly_exporter_scrapes_in_flight', {
  help: 'Scrapes being answered at this moment, this one included.',
  origin: 'requests to the telemetry path',
});

export const scrapeRejectedTotal = counter('gitaly_exporter_scrape_rejected_total', {
  help: 'Scrapes answered without metrics, by why. Prometheus sees these as failed scrapes.',
  origin: 'requests to the telemetry path',
  labels: { reason: rejectionReasons },
});

export const webConfigLastReloadSuccess = gauge('gitaly_exporter_web_config_last_reload_success', {
  help: '1 while the web configuration file and the certificates that it names are in use as they stand on disk; 0 while the certificate read before is still in use, or TLS waits for a restart. Absent without such a file. While the file itself is wrong, every scrape is refused.',
  origin: 'the web configuration file',
});

export const serverMetrics = [scrapesInFlight, scrapeRejectedTotal, webConfigLastReloadSuccess] as const;

export interface ServerCounts {
  scrapesInFlight: number;
  readonly rejected: Record<RejectionReason, number>;
}

export const noCounts = (): ServerCounts => ({
  scrapesInFlight: 0,
  rejected: Object.fromEntries(rejectionReasons.map((reason) => [reason, 0])) as Record<
    RejectionReason,
    number
  >,
});

/** `webConfigInUse`: undefined without a web configuration file. */
export function serverFamilies(counts: ServerCounts, webConfigInUse: boolean | undefined): Family[] {
  const rejected = samplesOf(scrapeRejectedTotal);
  for (const reason of rejectionReasons) rejected.set({ reason }, counts.rejected[reason]);
  return [
    single(scrapesInFlight, counts.scrapesInFlight),
    rejected.family(),
    single(webConfigLastReloadSuccess, webConfigInUse === undefined ? undefined : Number(webConfigInUse)),
  ];
}
