/**
 * The exporter's HTTP server: metrics, health, the page and its API on one or more addresses, behind the web
 * configuration file. What it serves comes in as arguments; it knows neither collectors nor Praefect.
 */

import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Family } from '../metrics/samples.ts';
import { type AnyRequest, type AnyResponse, isHttp2 } from './exchange.ts';
import { createApp } from './express-app.ts';
import { createGate } from './gate.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { addressUrl, type ListenAddress, parseListenAddress } from './listen-address.ts';
import { noCounts, serverFamilies } from './metrics.ts';
import {
  type ActionResult,
  type ApiRoute,
  createRoutes,
  type DemoActions,
  type Readiness,
} from './routes.ts';
import { createScrapeHandler, type Exposition } from './scrape.ts';
import { type ListeningSocket, listen } from './sockets.ts';
import type { StatusView } from './status-view.ts';
import {
  noWebConfig,
  openWebConfig,
  type WebConfigSource,
  type WebConfigState,
} from './web-config/source.ts';

export interface ServerOptions {
  /** `:9656`, `0.0.0.0:9656`, `[::1]:9656`, `localhost:0`; at least one. */
  readonly listenAddresses: readonly string[];
  /** Default `/metrics`. At `/` there is no page. */
  readonly telemetryPath?: string;
  /** exporter-toolkit's web configuration file; without one: plain HTTP, everybody let in. */
  readonly webConfigFile?: string | undefined;
  /** Scrapes at once, and as many questions to the API; beyond it 503. Default 40. */
  readonly maxRequestsInFlight?: number;
  /** Taken off the timeout that a scrape names. Default 500. */
  readonly scrapeTimeoutOffsetMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly exposition: Exposition;
  readonly status: () => StatusView;
  /** True once every collector has run. */
  readonly ready: () => Readiness;
  /** POST /-/reload. Without it, or with `enabled: false`: 403 with the hint, which names the setting. */
  readonly reload?: { readonly enabled: boolean; readonly hint: string; run(): Promise<ActionResult> };
  readonly api?: readonly ApiRoute[];
  /** The buttons of StatusView.demo. */
  readonly demo?: DemoActions | undefined;
  readonly limits?: Partial<Limits>;
}

export interface ServerAddress {
  readonly configured: string;
  readonly host: string;
  /** The real one, where 0 was asked for. */
  readonly port: number;
  /** For people: `http://localhost:9656/`. */
  readonly url: string;
}

export type StartResult =
  | { readonly ok: true; readonly addresses: readonly ServerAddress[] }
  /** One sentence each, with setting, value and mend. Nothing is listening then. */
  | { readonly ok: false; readonly problems: readonly string[] };

export interface Server {
  /** Once. Reads the web configuration file and listens on every address, or on none. */
  start(): Promise<StartResult>;
  /** Lets requests in flight finish, at most for `limitMs` (default 10 s). May be called again, and before start. */
  stop(limitMs?: number): Promise<void>;
  /** The server's own metrics, as they are now, for the block of self-metrics. */
  families(): readonly Family[];
}

export function createServer(options: ServerOptions): Server {
  const { clock, log, exposition, telemetryPath = '/metrics', maxRequestsInFlight = 40 } = options;
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const counts = noCounts();
  const strangers = new WeakSet<object>();
  const inFlight = new Set<AnyResponse>();
  let sockets: readonly ListeningSocket[] = [];
  let webConfig: WebConfigSource = noWebConfig;
  let stopping: Promise<void> | undefined;

  const routes = createRoutes({
    telemetryPath,
    clock,
    status: options.status,
    ready: options.ready,
    reload: options.reload ?? { enabled: false, hint: 'this program offers none', run: noReload },
    api: options.api ?? [],
    maxApiRequestsInFlight: maxRequestsInFlight,
    demo: options.demo,
    isStranger: (request) => strangers.has(request),
    scrape: createScrapeHandler({
      exposition,
      counts,
      maxInFlight: maxRequestsInFlight,
      timeoutOffsetMs: options.scrapeTimeoutOffsetMs ?? 500,
      limits,
      log,
    }),
  });
  const apps = { http1: createApp(routes, log, 'http1'), http2: createApp(routes, log, 'http2') };
  type ExpressArguments = Parameters<typeof apps.http1>;
  const inside = (request: AnyRequest, response: AnyResponse, stranger: boolean) => {
    if (stranger) strangers.add(request);
    const app = isHttp2(request) ? apps.http2 : apps.http1;
    app(request as ExpressArguments[0], response as ExpressArguments[1]);
  };

  const closeAfter = (response: AnyResponse) => {
    if (!response.headersSent && !isHttp2(response.req)) response.setHeader('Connection', 'close');
  };

  const open = async (addresses: readonly ListenAddress[]): Promise<StartResult> => {
    const gate = createGate(
      { webConfig, counts, telemetryPath, maxBodyBytes: limits.maxBodyBytes, clock },
      inside,
    );
    const handle = (request: AnyRequest, response: AnyResponse) => {
      inFlight.add(response);
      response.once('close', () => {
        inFlight.delete(response);
        if (stopping !== undefined) for (const socket of sockets) socket.closeIdle();
      });
      if (stopping !== undefined) closeAfter(response);
      gate(request, response).catch((error: unknown) => {
        log.error({ err: error }, 'answering a request failed by a fault of our own');
        response.destroy(undefined);
      });
    };
    const onError = handshakeLog(log, clock);
    const results = await Promise.all(
      addresses.map((address) => listen({ address, webConfig, limits, handle, onError })),
    );
    sockets = results.flatMap((result) => (result.ok ? [result.socket] : []));
    const problems = results.flatMap((result) => (result.ok ? [] : [result.problem]));
    if (stopping !== undefined) problems.push('the server was stopped before it was listening');
    if (problems.length > 0) {
      await Promise.all(sockets.map((socket) => socket.stop(0)));
      return { ok: false, problems };
    }
    return {
      ok: true,
      addresses: sockets.map(({ scheme, host, port }, index) => {
        const address = addresses[index] as ListenAddress;
        return { configured: address.configured, host, port, url: addressUrl(scheme, address, port) };
      }),
    };
  };

  return {
    async start() {
      const parsed = options.listenAddresses.map(parseListenAddress);
      const problems = parsed.flatMap((result) => (result.ok ? [] : [result.problem]));
      if (parsed.length === 0)
        problems.push('web.listen-address: none is given; :9656 listens on all addresses');
      problems.push(...telemetryPathProblems(telemetryPath));
      if (options.webConfigFile !== undefined) {
        const opened = openWebConfig(options.webConfigFile);
        if (opened.ok) webConfig = opened.value;
        else problems.push(...opened.problem.split('\n').map((line) => `web.config.file: ${line}`));
      }
      if (problems.length > 0) return { ok: false, problems };
      webConfig.subscribe((state) => logReload(log, state));
      return open(parsed.flatMap((result) => (result.ok ? [result.value] : [])));
    },
    stop(limitMs = limits.stopMs) {
      stopping ??= Promise.all(sockets.map((socket) => socket.stop(limitMs))).then(() => undefined);
      for (const response of inFlight) closeAfter(response);
      return stopping;
    },
    families() {
      const state = webConfig.last();
      const inUse = options.webConfigFile === undefined ? undefined : state.ok && state.warning === undefined;
      return serverFamilies(counts, inUse);
    },
  };
}

const noReload = async (): Promise<ActionResult> => ({ ok: false, message: 'There is nothing to reload.' });

function telemetryPathProblems(path: string): string[] {
  const taken = /^\/(-|api|demo)(\/|$)/.test(path);
  if (/^\/[\w./-]*$/.test(path) && !taken) return [];
  const mend = taken
    ? 'it is taken by the server itself'
    : 'it begins with / and holds letters, digits, ., _, - and / only';
  return [`web.telemetry-path: "${path}" cannot be served: ${mend}; the default is /metrics`];
}

function logReload(log: Log, state: WebConfigState): void {
  if (!state.ok) {
    log.error(
      { problem: state.problem },
      'the web configuration file is wrong: everybody is refused until it is mended',
    );
  } else if (state.warning !== undefined) {
    log.warn({ problem: state.warning }, 'the web configuration is in use but for one thing');
  } else {
    log.info({}, 'the web configuration file and its certificates were read again and are in use');
  }
}

/** At most one line a minute: whoever can connect could else fill the log. */
function handshakeLog(log: Log, clock: Clock): (error: Error, what: 'handshake' | 'socket') => void {
  let silentUntil = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (error, what) => {
    if (clock.monotonic() < silentUntil) {
      unsaid += 1;
      return;
    }
    silentUntil = clock.monotonic() + 60_000;
    const code = (error as NodeJS.ErrnoException).code ?? error.message;
    const text = what === 'handshake' ? 'a client failed the TLS handshake' : 'a listening socket failed';
    log.warn({ code, notLoggedBefore: unsaid }, text);
    unsaid = 0;
  };
}
