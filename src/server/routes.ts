/** The server's own routes: health, reload, the page and its JSON, the demo's buttons, and those handed in. */
import type { Clock } from '../lib/clock.ts';
import { assess } from './assessment.ts';
import { type AnyRequest, type AnyResponse, answerPlainly, clientGone } from './exchange.ts';
import type { AppRoute } from './express-app.ts';
import { renderPage } from './page/page.ts';
import { script } from './page/script.ts';
import { style } from './page/style.ts';
import { allowInline } from './security-headers.ts';
import { statusJson } from './status-json.ts';
import type { StatusView } from './status-view.ts';

export interface Readiness {
  readonly ready: boolean;
  /** Why not, in words; shown to whoever is logged in, where users are configured. */
  readonly reason?: string;
}

/** What came of something that was asked for: one line for whoever asked. No secrets. */
export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
}

/** More for the API, from other rooms. Answers GET and HEAD. */
export interface ApiRoute {
  /** Below /api/v1/, as express 5 reads it: `buckets/:bucket`. */
  readonly path: string;
  handle(request: ApiRequest): Promise<ApiResponse>;
}

export interface ApiRequest {
  readonly params: Readonly<Record<string, string>>;
  /** A parameter that is given twice counts once, with its last value. */
  readonly query: Readonly<Record<string, string>>;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

export interface ApiResponse {
  /** Default 200. */
  readonly status?: number;
  /** What JSON.stringify takes. */
  readonly json: unknown;
}

export interface DemoActions {
  start(incident: string): Promise<ActionResult>;
  end(incident: string): Promise<ActionResult>;
}

export interface RouteOptions {
  readonly telemetryPath: string;
  readonly clock: Clock;
  readonly scrape: (request: AnyRequest, response: AnyResponse) => Promise<void>;
  readonly status: () => StatusView;
  readonly ready: () => Readiness;
  readonly reload: { readonly enabled: boolean; readonly hint: string; run(): Promise<ActionResult> };
  readonly api: readonly ApiRoute[];
  readonly maxApiRequestsInFlight: number;
  readonly demo: DemoActions | undefined;
  /** Whether the request came through without having been asked for a user, although users are configured. */
  readonly isStranger: (request: AnyRequest) => boolean;
}

export function createRoutes(options: RouteOptions): AppRoute[] {
  const { telemetryPath, clock, scrape, status, ready, reload, api, demo, isStranger } = options;

  const look = () => {
    const now = clock.now();
    const view = status();
    return { now, status: view, assessment: assess(view, now), telemetryPath };
  };

  const routes: AppRoute[] = [
    { path: telemetryPath, methods: ['GET'], handle: scrape },
    {
      path: '/-/healthy',
      methods: ['GET'],
      handle: (request, response) => answerPlainly(request, response, 200, 'Healthy.'),
    },
    {
      path: '/-/ready',
      methods: ['GET'],
      handle(request, response) {
        const { ready: isReady, reason } = ready();
        const why = isStranger(request) || reason === undefined ? '' : ` ${reason}`;
        answerPlainly(request, response, isReady ? 200 : 503, isReady ? 'Ready.' : `Not ready.${why}`);
      },
    },
    {
      path: '/-/reload',
      methods: ['POST', 'PUT'],
      async handle(request, response) {
        if (!reload.enabled)
          return answerPlainly(
            request,
            response,
            403,
            `Reloading over HTTP is switched off: ${reload.hint}.`,
          );
        const { ok, message } = await reload.run();
        answerPlainly(request, response, ok ? 200 : 500, message);
      },
    },
    {
      path: '/api/v1/status',
      methods: ['GET'],
      handle(request, response) {
        const { status: view, assessment, now } = look();
        answerJson(request, response, 200, statusJson(view, assessment, now));
      },
    },
    ...apiRoutes(api, options.maxApiRequestsInFlight),
    ...(demo === undefined ? [] : demoRoutes(demo)),
  ];
  if (telemetryPath !== '/') {
    routes.push({
      path: '/',
      methods: ['GET'],
      handle(request, response) {
        const page = Buffer.from(renderPage(look()));
        allowInline(response, style, script);
        answer(request, response, 200, 'text/html; charset=utf-8', page);
      },
    });
  }
  return routes;
}

function apiRoutes(api: readonly ApiRoute[], maxInFlight: number): AppRoute[] {
  let inFlight = 0;
  return api.map(({ path, handle }) => ({
    path: `/api/v1/${path}`,
    methods: ['GET'],
    async handle(request, response) {
      if (inFlight >= maxInFlight)
        return answerPlainly(request, response, 503, 'Too many questions at once. Try again later.', {
          'Retry-After': '1',
        });
      const params = request.params as Record<string, string>;
      const query = Object.fromEntries(new URL(request.url, 'http://host').searchParams);
      inFlight += 1;
      try {
        const { status = 200, json } = await handle({ params, query, signal: clientGone(response) });
        answerJson(request, response, status, json);
      } finally {
        inFlight -= 1;
      }
    },
  }));
}

/** A form's answer sends the browser back to the page, by a relative path: it works behind a proxy's prefix. */
function demoRoutes(demo: DemoActions): AppRoute[] {
  const route = (path: string, back: string, act: (incident: string) => Promise<ActionResult>): AppRoute => ({
    path,
    methods: ['POST'],
    async handle(request, response) {
      const { ok, message } = await act(String(request.params['incident']));
      if (ok) answerPlainly(request, response, 303, message, { Location: back });
      else answerPlainly(request, response, 409, message);
    },
  });
  return [
    route('/demo/incidents/:incident', '../../', (incident) => demo.start(incident)),
    route('/demo/incidents/:incident/end', '../../../', (incident) => demo.end(incident)),
  ];
}

function answerJson(request: AnyRequest, response: AnyResponse, status: number, json: unknown): void {
  answer(
    request,
    response,
    status,
    'application/json; charset=utf-8',
    Buffer.from(`${JSON.stringify(json, undefined, 2)}\n`),
  );
}

function answer(
  request: AnyRequest,
  response: AnyResponse,
  status: number,
  type: string,
  body: Buffer,
): void {
  response.statusCode = status;
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', String(body.length));
  response.setHeader('Cache-Control', 'no-store');
  if (request.method !== 'HEAD') (response as { write(chunk: Uint8Array): boolean }).write(body);
  response.end();
}
