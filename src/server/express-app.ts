/** The routes, on express 5, for both HTTP/1 and HTTP/2. */
import { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Log } from '../lib/log.ts';
import { answerPlainly } from './exchange.ts';
import { isSameOrigin } from './same-origin.ts';

export type Method = 'GET' | 'POST' | 'PUT';

export interface AppRoute {
  /** As express 5 reads it: `/api/v1/buckets/:name`. */
  readonly path: string;
  /** GET answers HEAD as well. */
  readonly methods: readonly Method[];
  handle(request: Request, response: Response): void | Promise<void>;
}

export type Application = Express;

export function createApp(routes: readonly AppRoute[], log: Log, protocol: 'http1' | 'http2'): Application {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');
  if (protocol === 'http2') adaptToHttp2(app);

  for (const { path, methods, handle } of routes) {
    const route = app.route(path);
    for (const method of methods) {
      const guarded = (request: Request, response: Response) =>
        method === 'GET' || isSameOrigin(request)
          ? handle(request, response)
          : answerPlainly(request, response, 403, 'Forbidden: sent from a page of another site.');
      route[method.toLowerCase() as Lowercase<Method>](guarded);
    }
    const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    route.all((request, response) => {
      answerPlainly(request, response, 405, `Method not allowed: only ${allow}.`, { Allow: allow });
    });
  }
  app.use((request, response) => {
    answerPlainly(request, response, 404, 'Not found. The page at / links to what there is.');
  });
  // Four parameters tell express that this one takes errors.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const status = (error as { status?: unknown }).status;
    if (status === 400) return answerPlainly(request, response, 400, 'Bad request.');
    log.error({ err: error, path: request.path }, 'answering a request failed by a fault of our own');
    answerPlainly(request, response, 500, 'A fault of our own; the log says more.');
  });
  return app;
}

/**
 * express gives every request and response its own prototypes, which inherit from node:http's: over those of
 * node:http2 it would put the wrong ones. Here its methods are put on top of HTTP/2's instead.
 */
function adaptToHttp2(app: Express): void {
  const over = (base: object, methods: object): object =>
    Object.create(base, {
      ...Object.getOwnPropertyDescriptors(methods),
      app: { value: app, configurable: true },
    });
  app.request = over(Http2ServerRequest.prototype, express.request) as typeof app.request;
  app.response = over(Http2ServerResponse.prototype, express.response) as typeof app.response;
}
