/** The telemetry path: how many at once, how long, and the bytes as the exposition gives them. */
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as after } from 'node:timers/promises';
import type { Log } from '../lib/log.ts';
import { type AnyRequest, type AnyResponse, answerPlainly, clientGone } from './exchange.ts';
import type { Limits } from './limits.ts';
import type { RejectionReason, ServerCounts } from './metrics.ts';
import { scrapeTimeoutHeader, scrapeTimeoutMs } from './scrape-deadline.ts';

/** What is sent to a scrape. Several pieces are sent one after the other, without being copied together. */
export interface ScrapeBody {
  readonly contentType: string;
  readonly contentEncoding?: string | undefined;
  readonly body: string | Uint8Array | readonly Uint8Array[];
}

/**
 * Makes the body. `timeoutMs`: answer by then, with what is there by then. `signal`: aborts at the timeout and
 * when the client has gone.
 */
export type Exposition = (
  headers: IncomingHttpHeaders,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<ScrapeBody>;

export interface ScrapeOptions {
  readonly exposition: Exposition;
  readonly counts: ServerCounts;
  readonly maxInFlight: number;
  readonly timeoutOffsetMs: number;
  readonly limits: Limits;
  readonly log: Log;
}

type Answer = { readonly kind: 'body'; readonly body: ScrapeBody } | { readonly kind: 'late' | 'gone' };

export function createScrapeHandler(options: ScrapeOptions) {
  const { exposition, counts, maxInFlight, timeoutOffsetMs, limits, log } = options;

  return async (request: AnyRequest, response: AnyResponse): Promise<void> => {
    const refuse = (reason: RejectionReason, status: number, text: string, headers = {}) => {
      counts.rejected[reason] += 1;
      answerPlainly(request, response, status, text, headers);
    };
    if (counts.scrapesInFlight >= maxInFlight) {
      const text = `Too many scrapes at once: ${maxInFlight} are being answered, the limit. Try again later.`;
      refuse('concurrency', 503, text, { 'Retry-After': '1' });
      return;
    }
    counts.scrapesInFlight += 1;
    const gone = clientGone(response);
    // In flight until the last byte has been taken: a slow reader holds its place, but not for ever.
    const hangUp = setTimeout(() => response.destroy(undefined), limits.maxScrapeTimeoutMs + timeoutOffsetMs);
    response.once('close', () => {
      clearTimeout(hangUp);
      counts.scrapesInFlight -= 1;
    });

    const timeoutMs = scrapeTimeoutMs(request.headers[scrapeTimeoutHeader], timeoutOffsetMs, limits);
    try {
      const answer = await inTime(exposition, request.headers, timeoutMs, timeoutOffsetMs / 2, gone);
      if (answer.kind === 'body') send(request, response, answer.body);
      else if (answer.kind === 'late')
        refuse('timeout', 503, 'There was nothing to send by the deadline of this scrape.');
    } catch (error) {
      if (gone.aborted) return;
      log.error({ err: error }, 'a scrape failed by a fault of our own');
      refuse('internal', 500, 'The metrics could not be made; the log says why.');
    }
  };
}

/** `graceMs`: what the exposition has after its deadline to hand over what it has. */
async function inTime(
  exposition: Exposition,
  headers: IncomingHttpHeaders,
  timeoutMs: number,
  graceMs: number,
  gone: AbortSignal,
): Promise<Answer> {
  const done = new AbortController();
  const work = exposition(
    headers,
    timeoutMs,
    AbortSignal.any([gone, AbortSignal.timeout(Math.ceil(timeoutMs))]),
  );
  const late = after(timeoutMs + graceMs, { kind: 'late' } as const, {
    signal: AbortSignal.any([done.signal, gone]),
  }).catch(() => ({ kind: 'gone' }) as const);
  try {
    return await Promise.race([work.then((body) => ({ kind: 'body', body }) as const), late]);
  } finally {
    done.abort();
  }
}

function send(
  request: AnyRequest,
  response: AnyResponse,
  { contentType, contentEncoding, body }: ScrapeBody,
): void {
  const pieces = typeof body === 'string' ? [Buffer.from(body)] : body instanceof Uint8Array ? [body] : body;
  let length = 0;
  for (const piece of pieces) length += piece.length;
  response.statusCode = 200;
  response.setHeader('Content-Type', contentType);
  if (contentEncoding !== undefined) response.setHeader('Content-Encoding', contentEncoding);
  response.setHeader('Content-Length', String(length));
  response.setHeader('Vary', 'Accept, Accept-Encoding');
  response.setHeader('Cache-Control', 'no-store');
  if (request.method !== 'HEAD') {
    for (const piece of pieces) (response as { write(chunk: Uint8Array): boolean }).write(piece);
  }
  response.end();
}
