/**
 * The exporter's HTTP server: metrics, health, the page and its API on one or more addresses, with the access
 * control of the web configuration file. What it serves comes in as arguments; it knows no collector.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ListenAddress } from '../config/kinds/listen-address.ts';
import type { Clock } from '../lib/clock.ts';
import { codeOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { serverFamilies, zeroCounts } from '../metrics/http-server.ts';
import type { Family } from '../metrics/samples.ts';
import { createAccessControl } from './access.ts';
import { addressUrl } from './address.ts';
import { defaultLimits, type HttpLimits, type Listener, listen } from './listener.ts';
import { type Content, createExpressApp } from './routes.ts';
import { createScrapeHandler, type RenderMetrics } from './scrape.ts';
// Only types: the parser and its schema load only where there is a file.
import type { LoadedWebConfig, WebConfigSource, WebConfigState } from './web-config/source.ts';

export interface ServerOptions extends Content {
  /** At least one. */
  readonly listenAddresses: readonly ListenAddress[];
  /** Default `/metrics`. At `/` there is no page. */
  readonly telemetryPath?: string;
  /** In the format of exporter-toolkit. Without one: plain HTTP, no authentication. */
  readonly webConfigFile?: string | undefined;
  /** Scrapes in flight, and as many API requests; beyond that 503. Default 40. */
  readonly maxRequestsInFlight?: number;
  /** Subtracted from the timeout that a scrape names. Default 500. */
  readonly scrapeTimeoutOffsetMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly exposition: RenderMetrics;
  readonly limits?: Partial<HttpLimits>;
}

interface ServerAddress {
  readonly configured: string;
  readonly host: string;
  /** The actual port where 0 is configured. */
  readonly port: number;
  /** For people: `http://localhost:9656/`. */
  readonly url: string;
}

export type StartResult =
  | { readonly ok: true; readonly addresses: readonly ServerAddress[] }
  /** One sentence each, with setting, value and fix. Nothing is listening then. */
  | { readonly ok: false; readonly problems: readonly string[] };

export interface Server {
  /** Call it once. Reads the web configuration file and listens on every address, or on none. */
  start(): Promise<StartResult>;
  /** Lets requests in flight finish, for at most `limitMs` (default 10 s). May be called again, and before start. */
  stop(limitMs?: number): Promise<void>;
  /** The server's own metrics, as they are now. */
  families(): readonly Family[];
}

export function createServer(options: ServerOptions): Server {
  const { clock, log, exposition, telemetryPath = '/metrics', maxRequestsInFlight = 40 } = options;
  const limits: HttpLimits = { ...defaultLimits, ...options.limits };
  const counts = zeroCounts();
  const anonymous = new WeakSet<IncomingMessage>();
  const inFlight = new Set<ServerResponse>();
  let listeners: readonly Listener[] = [];
  let webConfig: WebConfigSource = noWebConfig;
  let stopping: Promise<void> | undefined;

  const app = createExpressApp({
    ...options,
    listenHosts: options.listenAddresses.flatMap(({ host }) => host?.toLowerCase() ?? []),
    telemetryPath,
    maxApiRequestsInFlight: maxRequestsInFlight,
    isAnonymous: (request) => anonymous.has(request),
    scrape: createScrapeHandler({
      exposition,
      counts,
      maxInFlight: maxRequestsInFlight,
      timeoutOffsetMs: options.scrapeTimeoutOffsetMs ?? 500,
      limits,
      clock,
      log,
    }),
  });

  const closeAfterwards = (response: ServerResponse): void => {
    if (!response.headersSent) response.setHeader('Connection', 'close');
  };

  async function listenOnAll(): Promise<StartResult> {
    const addresses = options.listenAddresses;
    const control = createAccessControl(
      { webConfig, counts, telemetryPath, maxBodyBytes: limits.maxBodyBytes, clock },
      (request, response, isAnonymous) => {
        if (isAnonymous) anonymous.add(request);
        app(request, response);
      },
    );
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      inFlight.add(response);
      response.once('close', () => {
        inFlight.delete(response);
        if (stopping !== undefined) for (const listener of listeners) listener.closeIdleConnections();
      });
      if (stopping !== undefined) closeAfterwards(response);
      control(request, response).catch((error: unknown) => {
        log.error({ err: error }, 'request failed with an internal error');
        response.destroy();
      });
    };
    const onError = connectionErrorLog(log, clock);
    const results = await Promise.all(
      addresses.map((address) => listen({ address, webConfig, limits, handle, onError })),
    );
    listeners = results.flatMap((result) => (result.ok ? [result.listener] : []));
    const problems = results.flatMap((result) => (result.ok ? [] : [result.problem]));
    if (stopping !== undefined) problems.push('the server was stopped while it was starting');
    if (problems.length > 0) {
      await Promise.all(listeners.map((listener) => listener.stop(0)));
      return { ok: false, problems };
    }
    return {
      ok: true,
      addresses: listeners.map(({ scheme, host, port }, index) => {
        const address = addresses[index] as ListenAddress;
        return { configured: address.configured, host, port, url: addressUrl(scheme, address, port) };
      }),
    };
  }

  return {
    async start() {
      if (options.webConfigFile !== undefined) {
        const { openWebConfig } = await import('./web-config/source.ts');
        const opened = openWebConfig(options.webConfigFile);
        if (!opened.ok)
          return {
            ok: false,
            problems: opened.problem.split('\n').map((line) => `web.config.file: ${line}`),
          };
        webConfig = opened.value;
      }
      const logHttp2 = http2Log(log);
      logHttp2(webConfig.last());
      webConfig.subscribe((state) => {
        logReload(log, state);
        logHttp2(state);
      });
      return listenOnAll();
    },
    stop(limitMs = limits.stopMs) {
      stopping ??= Promise.all(listeners.map((listener) => listener.stop(limitMs))).then(() => undefined);
      for (const response of inFlight) closeAfterwards(response);
      return stopping;
    },
    families() {
      const state = webConfig.last();
      const isInUse =
        options.webConfigFile === undefined ? undefined : state.ok && state.warning === undefined;
      return serverFamilies(counts, isInUse);
    },
  };
}

function logReload(log: Log, state: WebConfigState): void {
  if (!state.ok) {
    log.error({ problem: state.problem }, 'web configuration file is invalid, rejecting all requests');
  } else if (state.warning !== undefined) {
    log.warn({ problem: state.warning }, 'web configuration reloaded in part');
  } else {
    log.info({}, 'web configuration reloaded');
  }
}

/** exporter-toolkit has the key `http2`. Scrapers do not need HTTP/2, and every client falls back to HTTP/1.1. */
function http2Log(log: Log): (state: WebConfigState) => void {
  let isLogged = false;
  return (state) => {
    if (isLogged || !state.ok || !state.loaded.config.isHttp2Requested) return;
    isLogged = true;
    log.info({ key: 'http_server_config.http2' }, 'HTTP/2 is not supported, serving HTTP/1.1');
  };
}

/** At most one line a minute: otherwise any client that can connect could fill the log. */
function connectionErrorLog(log: Log, clock: Clock): (error: Error, what: 'handshake' | 'socket') => void {
  let quietUntil = Number.NEGATIVE_INFINITY;
  let suppressed = 0;
  return (error, what) => {
    if (clock.monotonic() < quietUntil) {
      suppressed += 1;
      return;
    }
    quietUntil = clock.monotonic() + 60_000;
    const code = codeOf(error) ?? error.message;
    log.warn({ code, suppressed }, what === 'handshake' ? 'TLS handshake failed' : 'listening socket failed');
    suppressed = 0;
  };
}

const emptyConfig: LoadedWebConfig = {
  config: {
    tls: undefined,
    isHttp2Requested: false,
    headers: new Map(),
    users: new Map(),
    rateLimit: undefined,
  },
  tls: undefined,
};

/** Without a file: plain HTTP, no authentication. */
const noWebConfig: WebConfigSource = {
  current: () => ({ ok: true, loaded: emptyConfig }),
  last: () => ({ ok: true, loaded: emptyConfig }),
  subscribe: () => () => undefined,
};
