/**
 * Access control before every route: the web configuration (as it is on disk at this moment), client
 * certificate, rate limit, size of the body, and user.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import type { RejectionReason, ServerCounts } from '../metrics/http-server.ts';
import { disconnectSignal, requestPath, sendText, setSecurityHeaders } from './http.ts';
import { createBasicAuth } from './web-config/basic-auth.ts';
import type { WebConfig } from './web-config/parse.ts';
import type { WebConfigSource } from './web-config/source.ts';
import { clientCertificateProblem } from './web-config/tls.ts';

/** The probes of the kubelet need no password, so that no pod manifest has to contain one. */
const publicPaths: ReadonlySet<string> = new Set(['/-/healthy', '/-/ready']);

interface AccessOptions {
  readonly webConfig: WebConfigSource;
  readonly counts: ServerCounts;
  readonly telemetryPath: string;
  readonly maxBodyBytes: number;
  readonly clock: Clock;
}

/** @param isAnonymous a public path was requested without valid credentials although users are configured */
type AllowedHandler = (request: IncomingMessage, response: ServerResponse, isAnonymous: boolean) => void;

const closeConnection = { Connection: 'close' } as const;

/** Calls `allowed` for the requests that may proceed, and responds to all others itself. */
export function createAccessControl(
  options: AccessOptions,
  allowed: AllowedHandler,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { webConfig, counts, telemetryPath, maxBodyBytes, clock } = options;
  const basicAuth = createBasicAuth();
  const takeToken = createRateLimit(clock);

  return async (request, response) => {
    const path = requestPath(request);
    const isPublic = publicPaths.has(path);
    const reject = (reason: RejectionReason, status: number, text: string, headers = {}) => {
      if (path === telemetryPath) counts.rejected[reason] += 1;
      sendText(response, status, text, headers);
    };

    const state = webConfig.current();
    if (response.destroyed) return;
    if (!state.ok) {
      setSecurityHeaders(response, new Map());
      if (path === '/-/healthy') return allowed(request, response, true);
      return reject(
        'web_config',
        path === '/-/ready' ? 503 : 500,
        'The web configuration file is invalid, so every request is rejected; see the exporter log.',
      );
    }
    const { config } = state.loaded;
    setSecurityHeaders(response, config.headers);

    if (config.tls !== undefined && state.loaded.tls !== undefined) {
      const problem = clientCertificateProblem(config.tls, request.socket as TLSSocket);
      if (problem !== undefined)
        return reject('client_certificate', 403, `Forbidden: ${problem}.`, closeConnection);
    }
    if (!isPublic && !takeToken(config.rateLimit))
      return reject('rate', 429, 'Too many requests (rate_limit of the web configuration).');
    const problem = bodyProblem(request, maxBodyBytes);
    if (problem !== undefined) return sendText(response, problem.status, problem.text, closeConnection);

    if (config.users.size === 0) return allowed(request, response, false);
    const { authorization } = request.headers;
    if (isPublic && authorization === undefined) return allowed(request, response, true);
    const verdict = await basicAuth.check(
      authorization,
      config.users,
      request.socket.remoteAddress ?? '',
      disconnectSignal(response),
    );
    if (response.destroyed) return;
    if (verdict === 'granted') return allowed(request, response, false);
    if (isPublic) return allowed(request, response, true);
    if (verdict === 'busy')
      return reject('unauthorized', 503, 'Too many passwords are waiting to be checked. Try again later.', {
        'Retry-After': '5',
      });
    reject('unauthorized', 401, 'Unauthorized', {
      'WWW-Authenticate': 'Basic realm="gitaly-exporter", charset="UTF-8"',
      ...closeConnection,
    });
  };
}

/** No route reads a body, so a large one would stay in the connection. */
function bodyProblem(
  { headers }: IncomingMessage,
  limit: number,
): { readonly status: number; readonly text: string } | undefined {
  if (headers['transfer-encoding'] !== undefined)
    return { status: 411, text: 'Length required: bodies in chunked encoding are not accepted.' };
  return Number(headers['content-length'] ?? 0) > limit
    ? { status: 413, text: `The body is too large: the limit is ${limit} bytes.` }
    : undefined;
}

/**
 * exporter-toolkit's `rate_limit`: one token bucket for all requests. Returns a function that takes a token, or
 * returns false when there is none. The bucket is full again when the setting changes.
 */
function createRateLimit(clock: Clock): (limit: WebConfig['rateLimit']) => boolean {
  let current: WebConfig['rateLimit'];
  let tokens = 0;
  let refilledAt = 0;
  return (limit) => {
    if (limit === undefined) return true;
    const now = clock.monotonic();
    const isUnchanged = current?.intervalMs === limit.intervalMs && current.burst === limit.burst;
    tokens = isUnchanged
      ? Math.min(limit.burst, tokens + (now - refilledAt) / limit.intervalMs)
      : limit.burst;
    current = limit;
    refilledAt = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
