/** The Kubernetes API as this source uses it: GET a path, completely or as a stream. It never writes. */
import type { Failure } from '../../../scheduler/outcome.ts';
import { parseJsonText } from '../watch/json.ts';

export interface KubeApi {
  /** For messages: `https://10.0.0.1:6443`; `the API server` until its configuration was read. */
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

interface JsonRequest {
  readonly path: string;
  readonly query?: KubeQuery;
  /** As messages name it: `ConfigMap gitlab/gl-gitaly`. */
  readonly what: string;
  /** Which right is missing where the server forbids it, and what to do. */
  readonly forbidden: string;
}

export type JsonResult =
  /** Undefined: the response is not JSON. */
  | { readonly ok: true; readonly json: unknown }
  /** `isMissing`: there is no such object (HTTP 404). */
  | { readonly ok: false; readonly failure: Failure; readonly isMissing: boolean };

/** One GET, for what is not watched. Never rejects. */
export async function getJson(
  api: KubeApi,
  { path, query = {}, what, forbidden }: JsonRequest,
  signal: AbortSignal,
): Promise<JsonResult> {
  const result = await api.get(path, query, signal);
  if (!result.ok) return { ...result, isMissing: false };
  const { body, status } = result.response;
  if (status === 200) return { ok: true, json: parseJsonText(body) };
  return { ok: false, failure: statusFailure(status, what, forbidden), isMissing: status === 404 };
}

function statusFailure(status: number, what: string, forbidden: string): Failure {
  if (status === 403) return { reason: 'permission', message: forbidden };
  if (status === 401)
    return {
      reason: 'authentication',
      message: `the API server rejects the credentials (HTTP 401) for ${what}: the token is expired or wrong, or the account was deleted`,
    };
  return { reason: 'http_status', message: `the API server returned HTTP ${status} for ${what}` };
}
