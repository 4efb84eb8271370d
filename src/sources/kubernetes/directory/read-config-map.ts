/** One ConfigMap from the API server, by a GET. */

import type { Failure } from '../../../scheduler/outcome.ts';
import type { KubeApi } from '../api/api.ts';
import { configMapOf } from '../objects/kinds.ts';
import type { ReadConfigMap } from './config-maps.ts';

export const readConfigMapBy =
  (api: KubeApi): ReadConfigMap =>
  async (namespace, name, signal) => {
    const [inNamespace, named] = [namespace, name].map(encodeURIComponent);
    const asked = await api.get(`/api/v1/namespaces/${inNamespace}/configmaps/${named}`, {}, signal);
    if (!asked.ok) return asked;
    const { status, body } = asked.answer;
    const what = `ConfigMap ${namespace}/${name}`;
    if (status === 404) return { ok: true, object: undefined };
    if (status !== 200) return { ok: false, failure: refusal(status, what, namespace) };
    const parsed = configMapOf(parse(body));
    return parsed.ok
      ? parsed
      : { ok: false, failure: { reason: 'parse', message: `${what} is not as it should be: ${parsed.why}` } };
  };

function refusal(status: number, what: string, namespace: string): Failure {
  if (status === 403)
    return {
      reason: 'permission',
      message: `no right to get configmaps of the core group ("") in namespace ${namespace}, so ${what} is not read: grant get, or set kubernetes.scrape to false`,
    };
  if (status === 401)
    return {
      reason: 'authentication',
      message: `the API server refuses the credentials (HTTP 401) for ${what}: the token is expired or wrong, or the account is gone`,
    };
  return { reason: 'http_status', message: `the API server answered for ${what} with HTTP ${status}` };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
