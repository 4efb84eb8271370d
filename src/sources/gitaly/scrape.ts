/**
 * One read of a server's own metrics, bounded in time, bytes and samples.
 *
 * Nothing is kept of an incomplete page: half a page looks like a server on which half is idle.
 */
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import { createHttpClient, type HttpResponse } from '../../lib/http/client.ts';
import { HttpError, type HttpFailure, type HttpHints, statusFailure } from '../../lib/http/failure.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import { readCredentials } from './credentials.ts';
import { createTextParser, isTextProblem, type TextPage, type TextProblem } from './parser.ts';
import { lookupOneServer, type Resolve } from './resolve.ts';
import type { ScrapeTarget } from './target.ts';

export interface ReadLimits {
  /** From the start to the last byte. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly maxSamples: number;
}

export interface ReadOptions extends ReadLimits {
  readonly wanted: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  /** Ends the read early, as a timeout. */
  readonly signal: AbortSignal;
}

type PageResult =
  | { readonly ok: true; readonly page: TextPage }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** As in HttpFailure; also where files of the exporter for the request cannot be read. */
      readonly isInconclusive?: true;
    };

export type PageRead = PageResult & { readonly seconds: number };

/** Messages of failures follow the target's name. Never rejects over the server, the network or files. */
export async function readPage(target: ScrapeTarget, options: ReadOptions): Promise<PageRead> {
  const { clock } = options;
  const startedAt = clock.monotonic();
  const result = await read(target, options);
  return { ...result, seconds: (clock.monotonic() - startedAt) / 1000 };
}

const hints: HttpHints = {
  plain_text: 'write http:// if that is intended',
  certificate_name: 'gitaly.scrape.tls.server-name sets the name to expect',
  too_large: 'raise gitaly.scrape.max-bytes if that is a page of metrics',
  redirect: 'set the address that it redirects to',
  unauthenticated: 'set gitaly.scrape.credentials-file',
};

async function read(target: ScrapeTarget, options: ReadOptions): Promise<PageResult> {
  const { clock, readText, resolve, signal, timeoutMs } = options;
  const { url, address } = target;
  const credentials = await readCredentials(target.access, url.protocol === 'https:', readText);
  if (!credentials.ok) return { ...credentials, isInconclusive: true };
  // A connection for each read: the next one is seconds away, and a kept connection may be dead by then.
  const client = createHttpClient({ clock, hints });
  const result = await client.get(
    {
      url,
      address,
      lookup: lookupOneServer(resolve),
      headers: {
        Accept: 'text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5',
        'Accept-Encoding': 'gzip',
      },
      credentials: credentials.value,
    },
    { totalMs: timeoutMs },
    signal,
  );
  if (!result.ok) return failedRead(result.failure);
  try {
    return await parse(result.response, options);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return failedRead(error.failure);
  } finally {
    result.response.close();
  }
}

const failedRead = (failure: HttpFailure): PageResult => ({
  ok: false,
  failure,
  ...(failure.isInconclusive && { isInconclusive: true }),
});

async function parse(response: HttpResponse, options: ReadOptions): Promise<PageResult> {
  const { status, headers, body, hasMarkedEnd } = response;
  if (status !== 200) return { ok: false, failure: statusFailure(status, headers.location, hints) };
  if (!/^(text\/plain|application\/openmetrics-text)\b/i.test(headers['content-type'] ?? ''))
    return invalid('sent something else than metrics in text format (see its Content-Type)');

  const parser = createTextParser(options);
  for await (const chunk of body({ maxBytes: options.maxBytes })) {
    const problem = parser.write(chunk);
    if (problem !== undefined) return { ok: false, failure: failureOf(problem) };
  }
  const page = parser.end();
  if (isTextProblem(page)) return { ok: false, failure: failureOf(page) };
  // Such a response ends with its connection, which looks the same when something cut it.
  if (!hasMarkedEnd && !page.hasEof)
    return invalid('sent a response without a length, which may be incomplete');
  return { ok: true, page };
}

const invalid = (message: string): PageResult => ({ ok: false, failure: { reason: 'parse', message } });

const failureOf = ({ reason, message }: TextProblem): Failure => ({
  reason,
  message: `sent ${reason === 'parse' ? 'something else than metrics' : 'too much'}: ${message}`,
});
