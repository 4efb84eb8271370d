/** Scrapes: the limit in flight, the deadline, and the bytes as the exposition renders them. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createDeadline, unlessAborted } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { RejectionReason, ServerCounts } from '../metrics/http-server.ts';
import { disconnectSignal, sendBody, sendText } from './http.ts';
import type { HttpLimits } from './listener.ts';

/** The response to a scrape. Several chunks are sent one after the other, without being copied together. */
export interface ScrapeBody {
  readonly contentType: string;
  readonly contentEncoding?: string | undefined;
  readonly body: string | Uint8Array | readonly Uint8Array[];
}

/**
 * Renders the metrics.
 *
 * @param timeoutMs resolve by then, with what is available by then
 * @param signal aborts at the timeout, and when the client disconnects
 */
export type RenderMetrics = (
  headers: IncomingHttpHeaders,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<ScrapeBody>;

interface ScrapeOptions {
  readonly exposition: RenderMetrics;
  readonly counts: ServerCounts;
  readonly maxInFlight: number;
  /** Subtracted from the timeout that a scrape names. */
  readonly timeoutOffsetMs: number;
  readonly limits: HttpLimits;
  readonly clock: Clock;
  readonly log: Log;
}

export function createScrapeHandler(options: ScrapeOptions) {
  const { exposition, counts, maxInFlight, timeoutOffsetMs, limits, clock, log } = options;

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const reject = (reason: RejectionReason, status: number, text: string, headers = {}) => {
      counts.rejected[reason] += 1;
      sendText(response, status, text, headers);
    };
    if (counts.scrapesInFlight >= maxInFlight) {
      const text = `Too many scrapes in flight: the limit is ${maxInFlight}. Try again later.`;
      reject('concurrency', 503, text, { 'Retry-After': '1' });
      return;
    }
    counts.scrapesInFlight += 1;
    // In flight until the client has received the last byte. A slow reader counts too, but not forever.
    const slowReader = setTimeout(() => response.destroy(), limits.maxScrapeTimeoutMs + timeoutOffsetMs);
    response.once('close', () => {
      clearTimeout(slowReader);
      counts.scrapesInFlight -= 1;
    });

    const disconnected = disconnectSignal(response);
    const timeoutMs = scrapeTimeoutMs(request.headers[scrapeTimeoutHeader], timeoutOffsetMs, limits);
    const deadline = createDeadline(clock, timeoutMs, disconnected);
    // At its deadline the exposition returns what it has: leave it time to do so.
    const lastMoment = createDeadline(clock, timeoutMs + timeoutOffsetMs / 2, disconnected);
    try {
      const work = exposition(request.headers, timeoutMs, deadline.signal);
      const body = await unlessAborted(work, lastMoment.signal);
      if (body !== undefined) sendMetrics(response, body);
      else if (lastMoment.isTimedOut())
        reject('timeout', 503, 'No metrics were ready before the timeout of this scrape.');
    } catch (error) {
      if (disconnected.aborted) return;
      log.error({ err: error }, 'scrape failed with an internal error');
      reject('internal', 500, 'Internal error while rendering the metrics; see the exporter log.');
    } finally {
      deadline.release();
      lastMoment.release();
    }
  };
}

function sendMetrics(response: ServerResponse, { contentType, contentEncoding, body }: ScrapeBody): void {
  const chunks = typeof body === 'string' ? [Buffer.from(body)] : body instanceof Uint8Array ? [body] : body;
  if (contentEncoding !== undefined) response.setHeader('Content-Encoding', contentEncoding);
  response.setHeader('Vary', 'Accept, Accept-Encoding');
  sendBody(response, 200, contentType, chunks);
}

/** Prometheus sends its scrape_timeout with each scrape. */
const scrapeTimeoutHeader = 'x-prometheus-scrape-timeout-seconds';

/**
 * How long a scrape may take, in milliseconds: the header's value minus `offsetMs`, which is for the way back
 * (blackbox_exporter's rule and its default of 0.5 s), but at least half of the value. A value that is not a
 * positive number is ignored.
 */
export function scrapeTimeoutMs(
  header: string | readonly string[] | undefined,
  offsetMs: number,
  limits: Pick<HttpLimits, 'defaultScrapeTimeoutMs' | 'maxScrapeTimeoutMs'>,
): number {
  const text = typeof header === 'string' ? header.trim() : '';
  const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  const given = seconds > 0 ? seconds * 1000 : limits.defaultScrapeTimeoutMs;
  return Math.min(Math.max(given - offsetMs, given / 2), limits.maxScrapeTimeoutMs);
}
