/**
 * Whether the API server's state became an older one. A server whose etcd was restored from a backup or replaced accepts
 * a watch from the last version, and reports nothing until its own versions have passed that: for days all objects would
 * stay as they were, and read as current.
 */
import type { KubeApi } from '../api/api.ts';
import type { KubeObject } from '../objects/types.ts';
import { isNewerVersion, parseJsonText, resourceVersionOf } from './json.ts';
import { type Resource, resourcePath, type Scope } from './resources.ts';
import { endByFailure, endByMalformed, endByResponse, type WatchEnd } from './watch-end.ts';

interface RestoredOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly resource: Resource<T>;
  readonly scope: Scope;
  /** The last one that was seen. */
  readonly version: string;
  /** `a watch of pods in namespace gitlab` */
  readonly what: string;
  readonly signal: AbortSignal;
  onRestored(): void;
}

/** After a watch without events: its end where the state is older, or where that is unknown. */
export async function endIfRestored<T extends KubeObject>({
  api,
  resource,
  scope,
  version,
  what,
  signal,
  onRestored,
}: RestoredOptions<T>): Promise<WatchEnd | undefined> {
  const result = await api.get(resourcePath(resource, scope.namespace), { limit: 1 }, signal);
  if (!result.ok) return endByFailure(result.failure);
  if (result.response.status !== 200) return endByResponse(result.response, 'list', resource, scope);
  const present = resourceVersionOf(parseJsonText(result.response.body));
  if (present === '') return endByMalformed(what, 'a list without a resourceVersion');
  if (!/^\d+$/.test(version + present) || !isNewerVersion(version, present)) return undefined;
  onRestored();
  return {
    reason: 'gone',
    failure: {
      reason: 'http_status',
      message: `the API server's state is older than the last resourceVersion of ${what}, as after a restore of etcd: everything is listed again`,
    },
    needsList: true,
    isCacheBehind: true,
  };
}
