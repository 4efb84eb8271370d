/** One GET of the Kubernetes API, for what is not watched. */
import type { Failure } from '../../../scheduler/outcome.ts';
import { parseJsonText } from '../watch/json.ts';
import type { KubeApi, KubeQuery } from './api.ts';

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

/** Never rejects. */
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
