/** The Kubernetes API as this source uses it: GET a path, completely or as a stream. It never writes. */
import { unlessAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';

export interface KubeApi {
  /** For messages: `https://10.0.0.1:6443`. */
  readonly server: string;
  /** The complete response, whatever its status. Never rejects. */
  get(path: string, query: KubeQuery, signal: AbortSignal): Promise<KubeResult<KubeResponse>>;
  /** The head of the response, and its body as a stream. Never rejects; `bytes` throws BrokenStream. */
  stream(path: string, query: KubeQuery, signal: AbortSignal): Promise<KubeResult<KubeStream>>;
  /**
   * How far the API server's clock is ahead of the exporter's, by the last response; accurate to about a second.
   * Undefined before the first response.
   */
  clockSkewMs(): number | undefined;
  /** Bytes of a stream without the credentials that the server knows; `get` and errors are without them already. */
  withoutSecrets(bytes: Buffer): Buffer;
  /** Closes idle connections; responses under way end by their own signals. */
  close(): void;
}

export type KubeQuery = Readonly<Record<string, string | number | boolean | undefined>>;

export type KubeResult<T> =
  | { readonly ok: true; readonly response: T }
  /** No complete HTTP response. */
  | { readonly ok: false; readonly failure: Failure };

export interface KubeResponse {
  readonly status: number;
  /** Retry-After, when it is in seconds. */
  readonly retryAfterSeconds: number | undefined;
  readonly body: string;
}

interface KubeStream extends KubeResponse {
  /** The body of a response with status 200; empty for others, which have `body`. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Why a stream failed. */
export class BrokenStream extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** `/api/v1/namespaces/gitlab/pods?limit=50` */
export function pathWithQuery(path: string, query: KubeQuery): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

export type OpenApi = () => Promise<
  { readonly ok: true; readonly api: KubeApi } | { readonly ok: false; readonly failure: Failure }
>;

/** An invalid configuration is read again after this long, at the next request. */
const reopenMs = 5000;

const canceled: Failure = { reason: 'timeout', message: 'the request to the Kubernetes API was canceled' };

interface OpenAttempt {
  result: ReturnType<OpenApi>;
  /** Clock.monotonic(); undefined while it is under way, and after a success. */
  failedAt: number | undefined;
}

/**
 * An API that is opened by its first request: the exporter can start without one, a missing or invalid kubeconfig
 * is a failure of each request until it is fixed, and @kubernetes/client-node does not delay the start.
 */
export function createLazyApi(open: OpenApi, clock: Clock): KubeApi {
  let last: OpenAttempt | undefined;
  let server = 'the API server';
  let openedApi: KubeApi | undefined;

  function opened(): ReturnType<OpenApi> {
    if (last?.failedAt !== undefined && clock.monotonic() - last.failedAt >= reopenMs) last = undefined;
    last ??= attempt();
    return last.result;
  }

  function attempt(): OpenAttempt {
    const made: OpenAttempt = { result: open(), failedAt: undefined };
    made.result = made.result.then((result) => {
      if (result.ok) {
        server = result.api.server;
        openedApi = result.api;
      } else made.failedAt = clock.monotonic();
      return result;
    });
    return made;
  }

  async function request<T>(
    signal: AbortSignal,
    send: (api: KubeApi) => Promise<KubeResult<T>>,
  ): Promise<KubeResult<T>> {
    // Files of the configuration may be on a mount that does not respond.
    const result = await unlessAborted(opened(), signal);
    return result === undefined ? { ok: false, failure: canceled } : result.ok ? send(result.api) : result;
  }

  return {
    get server() {
      return server;
    },
    get: (path, query, signal) => request(signal, (api) => api.get(path, query, signal)),
    stream: (path, query, signal) => request(signal, (api) => api.stream(path, query, signal)),
    clockSkewMs: () => openedApi?.clockSkewMs(),
    withoutSecrets: (bytes) => openedApi?.withoutSecrets(bytes) ?? bytes,
    close() {
      void last?.result.then((result) => {
        if (result.ok) result.api.close();
      });
    },
  };
}
