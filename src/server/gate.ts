/**
 * What stands before every route: the web configuration (in force as it is on disk at this moment), client
 * certificate, rate limit, size of the body, and user. Plain node:http, so that it holds for HTTP/2 as well.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import { type AnyRequest, type AnyResponse, answerPlainly, clientGone, isHttp2, pathOf } from './exchange.ts';
import type { RejectionReason, ServerCounts } from './metrics.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { createBasicAuth } from './web-config/basic-auth.ts';
import { clientCertificateProblem } from './web-config/client-certificate.ts';
import { createRateLimit } from './web-config/rate-limit.ts';
import type { WebConfigSource } from './web-config/source.ts';

/**
 * Answered without user and password: what kubelet asks. Both say one word to strangers, so that no password
 * needs to stand in a pod's manifest.
 */
const openPaths: ReadonlySet<string> = new Set(['/-/healthy', '/-/ready']);

export interface GateOptions {
  readonly webConfig: WebConfigSource;
  readonly counts: ServerCounts;
  readonly telemetryPath: string;
  readonly maxBodyBytes: number;
  readonly clock: Clock;
}

/** `stranger`: let through to an open path without having been asked for a user. */
export type Handler = (request: AnyRequest, response: AnyResponse, stranger: boolean) => void;

export function createGate(
  options: GateOptions,
  inside: Handler,
): (request: AnyRequest, response: AnyResponse) => Promise<void> {
  const { webConfig, counts, telemetryPath, maxBodyBytes, clock } = options;
  const basicAuth = createBasicAuth();
  const takeToken = createRateLimit(clock);

  return async (request, response) => {
    const path = pathOf(request);
    const open = openPaths.has(path);
    const refuse = (reason: RejectionReason, status: number, text: string, headers = {}) => {
      if (path === telemetryPath) counts.rejected[reason] += 1;
      answerPlainly(request, response, status, text, headers);
    };

    const state = webConfig.current();
    if (response.destroyed) return;
    if (!state.ok) {
      setSecurityHeaders(response, new Map());
      if (path === '/-/healthy') return inside(request, response, true);
      const status = path === '/-/ready' ? 503 : 500;
      return refuse(
        'web_config',
        status,
        'The web configuration file is wrong; the log says where. Nobody is let in until it is mended.',
      );
    }
    const { config } = state.loaded;
    setSecurityHeaders(response, config.headers);

    if (config.tls !== undefined && state.loaded.tls !== undefined) {
      const problem = clientCertificateProblem(config.tls, tlsSocket(request));
      if (problem !== undefined)
        return refuse('client_certificate', 403, `Forbidden: ${problem}.`, close(request));
    }
    if (!open && !takeToken(config.rateLimit))
      return refuse('rate', 429, 'Too many requests: rate_limit of the web configuration.');
    const tooMuch = bodyProblem(request, maxBodyBytes);
    if (tooMuch !== undefined)
      return answerPlainly(request, response, tooMuch.status, tooMuch.text, close(request));

    if (config.users.size === 0) return inside(request, response, false);
    const { authorization } = request.headers;
    if (open && authorization === undefined) return inside(request, response, true);
    const verdict = await basicAuth.check(authorization, config.users, clientGone(response));
    if (response.destroyed) return;
    if (verdict === 'granted') return inside(request, response, false);
    if (open) return inside(request, response, true);
    if (verdict === 'busy')
      return refuse('unauthorized', 503, 'Too many logins are being checked. Try again later.', {
        'Retry-After': '5',
      });
    refuse('unauthorized', 401, 'Unauthorized', {
      'WWW-Authenticate': 'Basic realm="gitaly-exporter", charset="UTF-8"',
      ...close(request),
    });
  };
}

function tlsSocket(request: AnyRequest): TLSSocket {
  const socket = isHttp2(request) ? request.stream.session?.socket : request.socket;
  return socket as TLSSocket;
}

/** HTTP/2 has no such header: there the connection belongs to other requests as well. */
const close = (request: AnyRequest): Record<string, string> =>
  isHttp2(request) ? {} : { Connection: 'close' };

/** HTTP/2's flow control stops at 64 KiB a body that nobody reads; in HTTP/1 it has to be refused. */
function bodyProblem(request: AnyRequest, limit: number): { status: number; text: string } | undefined {
  if (isHttp2(request)) return undefined;
  if (request.headers['transfer-encoding'] !== undefined) {
    return { status: 411, text: 'Length required: this server takes no body of unknown length.' };
  }
  return Number(request.headers['content-length'] ?? 0) > limit
    ? { status: 413, text: `The body is too large: at most ${limit} bytes.` }
    : undefined;
}
