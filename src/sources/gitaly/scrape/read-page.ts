/**
 * One read of a server's own metrics, bounded in everything: time, bytes before and after decompression, samples.
 *
 * Nothing is kept of a page that did not come whole: half a page reads like a server on which half is idle. No
 * redirects: what a target is, its configuration says.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Clock } from '../../../lib/clock.ts';
import { Secret } from '../../../lib/secret.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { createTextParser, isTextProblem, type TextPage, type TextProblem } from '../parser.ts';
import type { Target } from '../target.ts';
import { type ReadText, readAccess } from './access.ts';
import { failureOf, statusFailure } from './failures.ts';
import { lookupOneServer, type Resolve } from './resolve.ts';

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

export type PageRead = (
  | { readonly ok: true; readonly page: TextPage }
  | { readonly ok: false; readonly failure: Failure }
) & {
  readonly seconds: number;
};

/** Never rejects over anything that the server, the network or the files do. */
export async function readPage(target: Target, options: ReadOptions): Promise<PageRead> {
  const { clock, timeoutMs } = options;
  const startedAt = clock.monotonic();
  const over = new AbortController();
  const end = (): void => over.abort();
  options.signal.addEventListener('abort', end);
  if (options.signal.aborted) end();
  const done = new AbortController();
  void clock.sleep(timeoutMs, done.signal).then(() => {
    if (!done.signal.aborted) end();
  });
  try {
    const result = await read(target, options, over.signal);
    const outcome =
      !result.ok && over.signal.aborted ? { ok: false as const, failure: late(timeoutMs) } : result;
    return { ...outcome, seconds: (clock.monotonic() - startedAt) / 1000 };
  } finally {
    done.abort();
    over.abort();
    options.signal.removeEventListener('abort', end);
  }
}

const late = (timeoutMs: number): Failure => ({
  reason: 'timeout',
  message: `did not answer in full within ${timeoutMs / 1000} s`,
});

type Result =
  | { readonly ok: true; readonly page: TextPage }
  | { readonly ok: false; readonly failure: Failure };

const bad = (failure: Failure): Result => ({ ok: false, failure });

async function read(target: Target, options: ReadOptions, signal: AbortSignal): Promise<Result> {
  const isTls = target.url.protocol === 'https:';
  const access = await readAccess(target.access, isTls, options.readText, (value) => new Secret(value));
  if (!access.ok) return bad(access.failure);
  try {
    const response = await ask(target, access.access, options.resolve, signal);
    try {
      return await readAnswer(response, options, signal);
    } finally {
      response.destroy();
    }
  } catch (error) {
    return bad(failureOf(error));
  }
}

/** Resolves with the head of the answer. */
function ask(
  { url, address }: Target,
  access: { readonly tls: object; readonly authorization: Secret | undefined },
  resolve: Resolve,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const lookup: LookupFunction = lookupOneServer(resolve, signal);
  const { promise, resolve: answered, reject } = Promise.withResolvers<IncomingMessage>();
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const options = {
    host: address ?? host,
    port: url.port,
    path: `${url.pathname}${url.search}`,
    // A connection of its own: the next read is seconds away, and one that was kept may be dead by then.
    agent: false,
    lookup,
    signal,
    headers: {
      Host: url.host,
      Accept: 'text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5',
      'Accept-Encoding': 'gzip',
      'User-Agent': 'gitaly-exporter',
      Connection: 'close',
      ...(access.authorization === undefined ? {} : { Authorization: access.authorization.reveal() }),
    },
  };
  const request =
    url.protocol === 'https:'
      ? requestHttps({ servername: isIP(host) === 0 ? host : '', ...options, ...access.tls })
      : requestHttp(options);
  request.on('response', (response) => {
    // What becomes of the answer is said by whoever reads it; its late errors are nobody's.
    response.on('error', () => undefined);
    answered(response);
  });
  // Stays: an error after the answer's head must find somebody who listens.
  request.on('error', reject);
  request.end();
  return promise;
}

async function readAnswer(
  response: IncomingMessage,
  options: ReadOptions,
  signal: AbortSignal,
): Promise<Result> {
  const { statusCode = 0, headers } = response;
  if (statusCode !== 200) return bad(statusFailure(statusCode, headers.location));
  const type = headers['content-type'] ?? '';
  if (!/^(text\/plain|application\/openmetrics-text)\b/i.test(type))
    return bad({
      reason: 'parse',
      message: 'answered with something else than metrics in text (see its Content-Type)',
    });
  const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding !== 'gzip' && encoding !== 'identity')
    return bad({ reason: 'parse', message: 'packed its answer in a way that was not asked for' });

  const parser = createTextParser(options);
  let failure: Failure | undefined;
  const tooLarge = (): Failure => ({
    reason: 'too_large',
    message: `sent more than ${options.maxBytes} bytes; gitaly.scrape.max-bytes can allow more`,
  });

  async function* counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > options.maxBytes) {
        failure = tooLarge();
        throw new Error('stop');
      }
      yield chunk;
    }
  }
  async function parse(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of source) {
      const problem = parser.write(chunk);
      if (problem === undefined) continue;
      failure = inWords(problem);
      throw new Error('stop');
    }
  }

  try {
    if (encoding === 'gzip') {
      const gunzip = createGunzip({ chunkSize: 64 * 1024 });
      await pipeline(response, counted, gunzip, counted, parse, { signal });
    } else await pipeline(response, counted, parse, { signal });
  } catch (error) {
    return bad(failure ?? failureOf(error));
  }

  const page = parser.end();
  if (isTextProblem(page)) return bad(inWords(page));
  // The end of such an answer is the end of its connection, and looks the same when something cut it.
  const measured = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  if (!measured && encoding !== 'gzip' && !page.hasEof)
    return bad({
      reason: 'parse',
      message: 'sent an answer without a length, of which nobody can tell whether it is whole',
    });
  return { ok: true, page };
}

const inWords = ({ reason, message }: TextProblem): Failure => ({
  reason,
  message: `sent ${reason === 'parse' ? 'something else than metrics' : 'too much'}: ${message}`,
});
