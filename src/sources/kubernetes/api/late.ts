/**
 * An API whose configuration is read when it is first asked: a program can start without it, a missing or broken
 * kubeconfig is a failure of each question until it is mended, and @kubernetes/client-node is loaded beside the rest.
 */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { Asked, KubeApi } from './api.ts';

export type OpenApi = () => Promise<
  { readonly ok: true; readonly api: KubeApi } | { readonly ok: false; readonly failure: Failure }
>;

/** A configuration that was not good is read again after this long, whoever asks. */
const retryMs = 5000;

interface Attempt {
  result: ReturnType<OpenApi>;
  /** clock.monotonic(); undefined while it is under way and when it was good. */
  failedAt: number | undefined;
}

export function lateApi(open: OpenApi, clock: Clock): KubeApi {
  let last: Attempt | undefined;
  let server = 'the API server';

  function ready(): ReturnType<OpenApi> {
    if (last?.failedAt !== undefined && clock.monotonic() - last.failedAt >= retryMs) last = undefined;
    last ??= attempt();
    return last.result;
  }

  function attempt(): Attempt {
    const made: Attempt = { result: open(), failedAt: undefined };
    made.result = made.result.then((result) => {
      if (result.ok) server = result.api.server;
      else made.failedAt = clock.monotonic();
      return result;
    });
    return made;
  }

  async function asked<T>(ask: (api: KubeApi) => Promise<Asked<T>>): Promise<Asked<T>> {
    const result = await ready();
    return result.ok ? ask(result.api) : result;
  }

  return {
    get server() {
      return server;
    },
    get: (path, query, signal) => asked((api) => api.get(path, query, signal)),
    stream: (path, query, signal) => asked((api) => api.stream(path, query, signal)),
    close() {
      void last?.result.then((result) => {
        if (result.ok) result.api.close();
      });
    },
  };
}
