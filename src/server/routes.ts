/** The routes, on express 5: metrics, health, reload, the page, the API, and the demo's incidents. */
import { hostname } from 'node:os';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { StatusView } from '../app/status-view.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { type ApiRoute, apiRoutes, statusJson } from './api.ts';
import {
  allowInline,
  type HttpMethod,
  type HttpRoute,
  isOwnHost,
  isSameOrigin,
  sendBody,
  sendJson,
  sendText,
} from './http.ts';
import { script, style } from './page/assets.ts';
import { renderPage } from './page/page.ts';
import { type ReadRunbooks, runbookRoutes } from './runbooks.ts';

export interface Readiness {
  readonly ready: boolean;
  /** Why not. Where users are configured, only they see it. */
  readonly reason?: string;
}

/** The result of an action over HTTP: one line for the client. No secrets. */
export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
}

export interface DemoActions {
  start(incident: string): Promise<ActionResult>;
  end(incident: string): Promise<ActionResult>;
}

/** What is served besides the metrics. */
export interface Content {
  readonly status: () => StatusView;
  /** Ready once every collector has completed a run. */
  readonly ready: () => Readiness;
  /** POST /-/reload; undefined where web.enable-reload is off: 403. */
  readonly reload?: (() => Promise<ActionResult>) | undefined;
  readonly api?: readonly ApiRoute[];
  /** The buttons of StatusView.demo. */
  readonly demo?: DemoActions | undefined;
  /** For /runbooks/. */
  readonly runbooks?: ReadRunbooks;
}

interface RouteOptions extends Content {
  /** The hosts of the configured addresses, in lower case. */
  readonly listenHosts: readonly string[];
  readonly telemetryPath: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly scrape: HttpRoute['handle'];
  readonly maxApiRequestsInFlight: number;
  /** Whether the request came to a public path without credentials although users are configured. */
  readonly isAnonymous: (request: Request) => boolean;
}

/** An express application, which is a request listener for node:http. */
export function createExpressApp(options: RouteOptions): Express {
  const { log } = options;
  const ownNames = new Set([hostname().toLowerCase(), ...options.listenHosts]);
  const changeState = (request: Request, response: Response, handle: HttpRoute['handle']) => {
    if (!isOwnHost(request, ownNames))
      return sendText(
        response,
        403,
        'Forbidden: the Host header is not a name of this server. Use its IP address or host name.',
      );
    if (!isSameOrigin(request)) return sendText(response, 403, 'Forbidden: this is a cross-site request.');
    return handle(request, response);
  };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.enable('case sensitive routing');

  for (const { path, methods, handle } of createRoutes(options)) {
    const route = app.route(path);
    for (const method of methods) {
      const handler = (request: Request, response: Response) =>
        method === 'GET' ? handle(request, response) : changeState(request, response, handle);
      route[method.toLowerCase() as Lowercase<HttpMethod>](handler);
    }
    const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
    route.all((_request, response) => {
      sendText(response, 405, `Method not allowed: only ${allow}.`, { Allow: allow });
    });
  }
  app.use((_request, response) => {
    sendText(response, 404, 'Not found. The page at / links to the other paths.');
  });
  // Express recognizes an error handler by its four parameters.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    if ((error as { status?: unknown }).status === 400) return sendText(response, 400, 'Bad request.');
    log.error({ err: error, path: request.path }, 'request failed with an internal error');
    sendText(response, 500, 'Internal error; see the exporter log.');
  });
  return app;
}

function createRoutes(options: RouteOptions): HttpRoute[] {
  const { telemetryPath, clock, scrape, status, ready, reload, api = [], demo, isAnonymous } = options;

  const routes: HttpRoute[] = [
    { path: telemetryPath, methods: ['GET'], handle: scrape },
    {
      path: '/-/healthy',
      methods: ['GET'],
      handle: (_request, response) => sendText(response, 200, 'Healthy.'),
    },
    {
      path: '/-/ready',
      methods: ['GET'],
      handle(request, response) {
        const { ready: isReady, reason } = ready();
        const detail = isAnonymous(request) || reason === undefined ? '' : ` ${reason}`;
        sendText(response, isReady ? 200 : 503, isReady ? 'Ready.' : `Not ready.${detail}`);
      },
    },
    {
      path: '/-/reload',
      methods: ['POST', 'PUT'],
      async handle(_request, response) {
        if (reload === undefined)
          return sendText(response, 403, 'Reload over HTTP is disabled: set web.enable-reload to allow it.');
        const { ok, message } = await reload();
        sendText(response, ok ? 200 : 500, message);
      },
    },
    {
      path: '/api/v1/status',
      methods: ['GET'],
      handle: (_request, response) => sendJson(response, 200, statusJson(status(), clock.now())),
    },
    ...apiRoutes(api, options.maxApiRequestsInFlight),
    ...(options.runbooks === undefined ? [] : runbookRoutes(options.runbooks)),
    ...(demo === undefined ? [] : demoRoutes(demo)),
  ];
  if (telemetryPath !== '/') {
    routes.push({
      path: '/',
      methods: ['GET'],
      handle(_request, response) {
        const page = Buffer.from(renderPage({ status: status(), telemetryPath, now: clock.now() }));
        allowInline(response, style, script);
        sendBody(response, 200, 'text/html; charset=utf-8', [page]);
      },
    });
  }
  return routes;
}

/**
 * Forms of the page. Their response sends the browser back to it, by a relative path (it works behind a proxy's
 * prefix), to the control that comes next: the button that ends the incident, or the verdict after its end.
 */
function demoRoutes(demo: DemoActions): HttpRoute[] {
  const route = (
    path: string,
    act: (incident: string) => Promise<ActionResult>,
    location: (incident: string) => string,
  ): HttpRoute => ({
    path,
    methods: ['POST'],
    async handle(request, response) {
      const incident = String(request.params['incident']);
      const { ok, message } = await act(incident);
      if (ok) sendText(response, 303, message, { Location: location(incident) });
      else sendText(response, 409, message);
    },
  });
  return [
    route(
      '/demo/incidents/:incident',
      (incident) => demo.start(incident),
      (incident) => `../../#incident-${encodeURIComponent(incident)}`,
    ),
    route(
      '/demo/incidents/:incident/end',
      (incident) => demo.end(incident),
      () => '../../../#verdict',
    ),
  ];
}
