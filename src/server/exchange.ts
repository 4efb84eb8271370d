/** A request and its answer, of HTTP/1 or HTTP/2, and how to answer it with a few plain words. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;

export const isHttp2 = (request: AnyRequest): request is Http2ServerRequest => request.httpVersionMajor === 2;

/** The path without the query, as it was sent. */
export const pathOf = (request: AnyRequest): string => (request.url ?? '/').split('?', 1)[0] ?? '/';

/** Answers with one line of plain text, which holds nothing that the client sent. */
export function answerPlainly(
  request: AnyRequest,
  response: AnyResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent) {
    response.destroy(undefined);
    return;
  }
  const body = Buffer.from(`${text}\n`);
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', String(body.length));
  response.setHeader('Cache-Control', 'no-store');
  // Two calls, since the two protocols' `end` have no signature in common.
  if (request.method !== 'HEAD') (response as ServerResponse).write(body);
  response.end();
}

/** Aborts when the client has gone before it was answered whole. */
export function clientGone(response: AnyResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableEnded || !response.writableFinished)
      controller.abort(new Error('the client has gone'));
  });
  return controller.signal;
}
