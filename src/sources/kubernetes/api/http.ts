/** The Kubernetes API over HTTP: credentials for each request, deadlines, bounded responses, and streams. */
import type { Agent } from 'node:http';
import { createDeadline, unlessAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { createHttpClient, type HttpCredentials, type HttpResponse } from '../../../lib/http/client.ts';
import { HttpError, type HttpFailure, type HttpHints } from '../../../lib/http/failure.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import {
  BrokenStream,
  type KubeApi,
  type KubeQuery,
  type KubeResponse,
  type KubeResult,
  pathWithQuery,
} from './api.ts';
import { createByteBuffer } from './byte-buffer.ts';
import { createKnownSecrets } from './known-secrets.ts';

export interface ApiAccess extends HttpCredentials {
  readonly server: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** For a way through a proxy. */
  readonly agent?: Agent;
}

export type AccessResult =
  | { readonly ok: true; readonly access: ApiAccess }
  | { readonly ok: false; readonly failure: Failure };

/**
 * Address and credentials for a request. `renew`: the credentials of the last request were rejected, so nothing that is
 * cached will do.
 */
export type GetAccess = (renew: boolean) => Promise<AccessResult>;

interface HttpApiOptions {
  readonly access: GetAccess;
  readonly clock: Clock;
  /** For the head of a response, and for the whole of one that `get` reads. Default 60 s, as the API server's. */
  readonly timeoutMs?: number;
  /** Of one response that `get` reads. Default 32 MiB. */
  readonly maxBytes?: number;
}

/** Shorter than the whole, so that a firewall that drops packets is known early. */
const connectMs = 10_000;
/** Of responses whose header Date is compared with the exporter's clock. */
const maxMeasuredMs = 5000;

const hints: HttpHints = {
  tls: "check the certificate authority, the certificates and the server's name in the kubeconfig",
  certificate_name: "check the server's address in the kubeconfig, or set tls-server-name there",
  plain_text: "check the server's address in the kubeconfig",
};

export function createHttpApi(options: HttpApiOptions): KubeApi {
  const { clock, timeoutMs = 60_000, maxBytes = 32 * 1024 * 1024 } = options;
  let server: string | undefined;
  const secrets = createKnownSecrets();
  let clockSkewMs: number | undefined;
  // A connection for each watch, a few for all else.
  const client = createHttpClient({ clock, keepAlive: true, hints });

  // A closed connection is how watches end all the time: nothing that came was malformed.
  const failureOf = ({ kind, reason, message }: HttpFailure): Failure => ({
    reason: kind === 'truncated' ? 'refused' : reason,
    message: `the API server ${server} ${message}`,
  });

  /** Aborts the wait for credentials, as a plugin may hang. */
  async function accessWithin(ms: number, renew: boolean, signal: AbortSignal): Promise<AccessResult> {
    const deadline = createDeadline(clock, ms, signal);
    try {
      const access = await unlessAborted(options.access(renew), deadline.signal);
      return access ?? bad(noAccess);
    } finally {
      deadline.release();
    }
  }

  /** The head of a response. Sent again with new credentials when those of the first request are rejected. */
  async function request(
    path: string,
    query: KubeQuery,
    limit: 'headMs' | 'totalMs',
    remainingMs: () => number,
    signal: AbortSignal,
  ): Promise<KubeResult<HttpResponse>> {
    for (let renew = false; ; renew = true) {
      const found = await accessWithin(remainingMs(), renew, signal);
      if (!found.ok) return found;
      const { server: address, headers, agent, ...credentials } = found.access;
      server = address.origin;
      const url = new URL(`${server}${address.pathname.replace(/\/$/, '')}${pathWithQuery(path, query)}`);
      secrets.add(credentials.authorization);
      const sentAt = clock.monotonic();
      const result = await client.get(
        { url, headers: { Accept: 'application/json', ...headers }, credentials, agent },
        { connectMs, [limit]: remainingMs() },
        signal,
      );
      if (!result.ok) return bad(failureOf(result.failure));
      const { response } = result;
      measureClock(response, clock.monotonic() - sentAt);
      if (response.status !== 401 || renew) return { ok: true, response };
      response.close();
    }
  }

  /** A response that took long says little, as the server may have written its Date at any time in between. */
  function measureClock({ headers }: HttpResponse, tookMs: number): void {
    const serverTime = Date.parse(headers.date ?? '');
    if (Number.isNaN(serverTime) || tookMs > maxMeasuredMs) return;
    // Date is rounded down to the second.
    clockSkewMs = serverTime + 500 - (clock.now() - tookMs / 2);
  }

  /** The whole body. */
  async function readWhole(response: HttpResponse, withinMs?: number): Promise<KubeResult<KubeResponse>> {
    const bytes = createByteBuffer();
    try {
      for await (const chunk of response.body({ maxBytes, withinMs })) bytes.add(chunk);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      return bad(failureOf(error.failure));
    }
    const body = secrets.remove(bytes.take()).toString('utf8');
    return { ok: true, response: { ...headOf(response), body } };
  }

  async function* bytesOf(response: HttpResponse): AsyncGenerator<Uint8Array> {
    try {
      yield* response.body();
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      throw new BrokenStream(failureOf(error.failure));
    }
  }

  /** Returns how much of the deadline is left. */
  function startTimer(): () => number {
    const startedAt = clock.monotonic();
    return () => Math.max(0, timeoutMs - (clock.monotonic() - startedAt));
  }

  return {
    get server() {
      return server ?? 'the API server';
    },
    clockSkewMs: () => clockSkewMs,
    withoutSecrets: secrets.remove,
    async get(path, query, signal) {
      const remainingMs = startTimer();
      const head = await request(path, query, 'totalMs', remainingMs, signal);
      return head.ok ? readWhole(head.response) : head;
    },
    async stream(path, query, signal) {
      const remainingMs = startTimer();
      // The body of a watch lasts until the caller's signal aborts.
      const head = await request(path, query, 'headMs', remainingMs, signal);
      if (!head.ok) return head;
      const response = head.response;
      if (response.status === 200)
        return { ok: true, response: { ...headOf(response), body: '', bytes: bytesOf(response) } };
      const whole = await readWhole(response, remainingMs());
      return whole.ok ? { ok: true, response: { ...whole.response, bytes: noBytes() } } : whole;
    },
    close: client.close,
  };
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

function headOf({ status, headers }: HttpResponse): Omit<KubeResponse, 'body'> {
  const retryAfter = headers['retry-after'] ?? '';
  return { status, retryAfterSeconds: /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined };
}

const bad = (failure: Failure): { readonly ok: false; readonly failure: Failure } => ({ ok: false, failure });

const noAccess: Failure = {
  reason: 'authentication',
  message:
    'no credentials for the API server in time: the credential plugin of the kubeconfig, or the mount of one of its files, hangs; run kubectl with the same kubeconfig',
};
