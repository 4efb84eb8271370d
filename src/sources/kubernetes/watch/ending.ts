/** Why a list or a watch ended: from the answer's status, from an ERROR event, or from the connection. */
import type { Failure } from '../../../scheduler/outcome.ts';
import { cut } from '../objects/fields.ts';
import type { KubeObject } from '../objects/types.ts';
import type { WatchEnd } from '../store.ts';
import { record } from './raw.ts';
import { type Resource, type Scope, scopeText } from './resources.ts';

export interface Ending {
  readonly end: WatchEnd;
  /** Undefined when it ended as it should. */
  readonly failure: Failure | undefined;
  readonly retryAfterSeconds?: number;
  /** What was known is no ground to go on from: list anew. */
  readonly relist?: true;
  /** The server cannot serve so new a state: ask for whatever it has by the store behind it. */
  readonly tooNew?: true;
}

export type Verb = 'list' | 'watch';

/** The Status object that the API answers with in place of what was asked; nothing of it is taken for granted. */
export interface Status {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly causes: readonly string[];
  readonly retryAfterSeconds: number | undefined;
}

export function statusOf(raw: unknown, code: number): Status {
  const { details, ...status } = record(raw);
  const { causes, retryAfterSeconds } = record(details);
  return {
    code: typeof status['code'] === 'number' ? status['code'] : code,
    reason: string(status['reason']),
    message: cut(string(status['message']), 500),
    causes: Array.isArray(causes) ? causes.slice(0, 8).map((cause) => string(record(cause)['reason'])) : [],
    retryAfterSeconds: typeof retryAfterSeconds === 'number' ? retryAfterSeconds : undefined,
  };
}

/** What a status other than 200, or an ERROR event, means for the loop. */
export function endingOf(
  status: Status,
  verb: Verb,
  resource: Resource<KubeObject>,
  scope: Scope,
  retryAfterSeconds = status.retryAfterSeconds,
): Ending {
  const what = `${verb} of ${scopeText(resource, scope)}`;
  const said = status.message === '' ? '' : `: ${status.message}`;
  const wait = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  // Of a list under way too: the token that comes with it would give the rest as it is now, beside pages as they
  // were, and no resourceVersion from which a watch would tell the difference.
  if (status.code === 410)
    return {
      end: 'gone',
      failure: {
        reason: 'http_status',
        message: `the API server has forgotten where the ${what} stood (410): all is listed anew`,
      },
      relist: true,
    };
  if (status.code === 401)
    return {
      end: 'authentication',
      failure: {
        reason: 'authentication',
        message: `the API server refuses the credentials (HTTP 401) for the ${what}: the token is expired or wrong, or the account is gone`,
      },
    };
  if (status.code === 403) return { end: 'permission', failure: forbidden(status, verb, resource, scope) };
  if (status.code === 429)
    return {
      end: 'throttled',
      failure: { reason: 'http_status', message: `the API server is busy (HTTP 429): ${what} waits${said}` },
      ...wait,
    };
  if (status.causes.includes('ResourceVersionTooLarge') || /too large resource version/i.test(status.message))
    return {
      end: 'server_error',
      failure: {
        reason: 'http_status',
        message: `the API server is behind what was seen before, ${what} waits${said}`,
      },
      relist: true,
      tooNew: true,
      ...wait,
    };
  if (status.code >= 500)
    return {
      end: 'server_error',
      failure: {
        reason: 'http_status',
        message: `the API server failed (HTTP ${status.code}), ${what}${said}`,
      },
      ...wait,
    };
  return {
    end: 'other',
    failure: {
      reason: 'http_status',
      message: `the API server answered the ${what} with HTTP ${status.code}${said}`,
    },
    relist: true,
    ...wait,
  };
}

/** Names verb, resource, group and namespace, and the account as the API server knows it. */
function forbidden(
  { message }: Status,
  verb: Verb,
  resource: Resource<KubeObject>,
  { namespace }: Scope,
): Failure {
  const group = resource.group === '' ? 'the core group ("")' : `group ${resource.group}`;
  const user = /User "([^"]{1,300})"/.exec(message)?.[1];
  const where =
    namespace === undefined ? 'in a ClusterRole' : `in a Role of namespace ${namespace} (or a ClusterRole)`;
  return {
    reason: 'permission',
    message: `no right to ${verb} ${resource.name} of ${group} ${namespace === undefined ? 'in the whole cluster' : `in namespace ${namespace}`}${user === undefined ? '' : ` as ${user}`}: grant get, list and watch ${where}`,
  };
}

/** A connection that failed. */
export const brokenEnding = (failure: Failure): Ending => ({
  end:
    failure.reason === 'timeout'
      ? 'timeout'
      : failure.reason === 'authentication'
        ? 'authentication'
        : failure.reason === 'too_large' || failure.reason === 'parse'
          ? 'malformed'
          : failure.reason === 'refused'
            ? 'reset'
            : 'other',
  failure,
});

export const malformedEnding = (what: string, why: string): Ending => ({
  end: 'malformed',
  failure: { reason: 'parse', message: `the API server sent something else than ${what}: ${why}` },
  relist: true,
});

const string = (value: unknown): string => (typeof value === 'string' ? value : '');
