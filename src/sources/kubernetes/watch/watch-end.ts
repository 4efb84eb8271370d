/** Why a list or a watch ended (by HTTP status, ERROR event or connection), and when to retry. */
import { createBackoff } from '../../../lib/backoff.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KubeResponse } from '../api/api.ts';
import { fieldsOf, textOf } from '../objects/fields.ts';
import type { KubeObject } from '../objects/types.ts';
import type { WatchEndReason } from '../store.ts';
import { parseJsonText } from './json.ts';
import { type Resource, type Scope, scopeText } from './resources.ts';

export interface WatchEnd {
  readonly reason: WatchEndReason;
  /** Undefined for an expected end. */
  readonly failure: Failure | undefined;
  readonly retryAfterSeconds?: number;
  /** The last resourceVersion is of no use: list again. */
  readonly needsList?: true;
  /** The server's cache is older than the resourceVersion: the next list must come from etcd. */
  readonly isCacheBehind?: true;
}

type Verb = 'list' | 'watch';

/** The API's Status object, sent in place of the requested one; no field is taken for granted. */
interface ApiStatus {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly causes: readonly string[];
  readonly retryAfterSeconds: number | undefined;
}

function apiStatusOf(raw: unknown, code: number): ApiStatus {
  const { details, ...status } = fieldsOf(raw);
  const { causes, retryAfterSeconds } = fieldsOf(details);
  return {
    code: typeof status['code'] === 'number' ? status['code'] : code,
    reason: textOf(status['reason']),
    message: outsideText(stringOf(status['message'])),
    causes: Array.isArray(causes) ? causes.slice(0, 8).map((cause) => textOf(fieldsOf(cause)['reason'])) : [],
    retryAfterSeconds: typeof retryAfterSeconds === 'number' ? retryAfterSeconds : undefined,
  };
}

const stringOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The end by a response whose status is not 200. */
export const endByResponse = (
  { status, body, retryAfterSeconds }: KubeResponse,
  verb: Verb,
  resource: Resource<KubeObject>,
  scope: Scope,
): WatchEnd =>
  endByStatus(apiStatusOf(parseJsonText(body), status), verb, resource, scope, retryAfterSeconds);

/** The end by the Status object of an ERROR event. */
export const endByErrorEvent = (
  object: unknown,
  verb: Verb,
  resource: Resource<KubeObject>,
  scope: Scope,
): WatchEnd => endByStatus(apiStatusOf(object, 500), verb, resource, scope);

function endByStatus(
  status: ApiStatus,
  verb: Verb,
  resource: Resource<KubeObject>,
  scope: Scope,
  retryAfterSeconds = status.retryAfterSeconds,
): WatchEnd {
  const what = `${verb} of ${scopeText(resource, scope)}`;
  const detail = status.message === '' ? '' : `: ${status.message}`;
  const wait = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  // Also for the page of a list: the continue token in the response would give the remaining objects as they are
  // now, next to earlier pages as they were, and no resourceVersion from which a watch could report the
  // difference.
  if (status.code === 410)
    return {
      reason: 'gone',
      failure: {
        reason: 'http_status',
        message: `the API server no longer has the resourceVersion of the ${what} (HTTP 410): everything is listed again`,
      },
      needsList: true,
    };
  if (status.code === 401)
    return {
      reason: 'authentication',
      failure: {
        reason: 'authentication',
        message: `the API server rejects the credentials (HTTP 401) for the ${what}: the token is expired or wrong, or the account was deleted`,
      },
    };
  if (status.code === 403)
    return { reason: 'permission', failure: permissionFailure(status, verb, resource, scope) };
  if (status.code === 429)
    return {
      reason: 'throttled',
      failure: {
        reason: 'http_status',
        message: `the API server throttles requests (HTTP 429), retrying the ${what}${detail}`,
      },
      ...wait,
    };
  if (status.causes.includes('ResourceVersionTooLarge') || /too large resource version/i.test(status.message))
    return {
      reason: 'server_error',
      failure: {
        reason: 'http_status',
        message: `the API server's cache is behind an earlier response, retrying the ${what}${detail}`,
      },
      needsList: true,
      isCacheBehind: true,
      ...wait,
    };
  if (status.code === 404 && resource.since !== undefined)
    return {
      reason: 'not_served',
      failure: { reason: 'http_status', message: notServedText(resource) },
      needsList: true,
    };
  if (status.code >= 500)
    return {
      reason: 'server_error',
      failure: {
        reason: 'http_status',
        message: `the API server failed (HTTP ${status.code}) for the ${what}${detail}`,
      },
      ...wait,
    };
  return {
    reason: 'other',
    failure: {
      reason: 'http_status',
      message: `the API server returned HTTP ${status.code} for the ${what}${detail}`,
    },
    needsList: true,
    ...wait,
  };
}

/** The resource with its older versions. */
export function notServedText({ name, group, version, since, older }: Resource<KubeObject>): string {
  const versions = [version, ...(older === undefined ? [] : [older.version])].map(
    (each) => `${group}/${each}`,
  );
  return `the API server does not serve ${name} of ${versions.join(' or ')} (HTTP 404): needs Kubernetes ${since}`;
}

/** Names verb, resource, group and namespace, and the account as the API server reports it. */
function permissionFailure(
  { message }: ApiStatus,
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

/** The end by a failed connection. */
export const endByFailure = (failure: Failure): WatchEnd => ({
  reason:
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
  ...(failure.reason === 'too_large' ? { retryAfterSeconds: overLimitRetrySeconds } : {}),
});

export const endByClose = (what: string): WatchEnd => ({
  reason: 'closed',
  failure: { reason: 'refused', message: `the API server closed ${what} before its requested end` },
});

/** For a peer that sends without end. */
const overLimitRetrySeconds = 60;

/** A list or a watch that is over a limit of the exporter. */
export const endByLimit = (what: string, why: string): WatchEnd => ({
  reason: 'malformed',
  failure: { reason: 'too_large', message: `${what} is over a limit: ${why}` },
  needsList: true,
  retryAfterSeconds: overLimitRetrySeconds,
});

/** @param what was expected: `a list of pods in namespace gitlab` */
export const endByMalformed = (what: string, why: string): WatchEnd => ({
  reason: 'malformed',
  failure: { reason: 'parse', message: `the API server sent something else than ${what}: ${why}` },
  needsList: true,
});

interface RetryPolicy {
  /**
   * Milliseconds until the next list or watch; 0 after an expected end.
   *
   * @param wasListed the server has accepted this watch's requests before
   */
  delayMs(end: WatchEnd, wasListed: boolean): number;
  /** After a success: the next failure is the first one again. */
  reset(): void;
}

/** Short, because a pod may be created and deleted in the meantime; jitter spreads the exporters. */
const maxBackoffMs = 10_000;
/** Of the server's Retry-After. */
const maxRetryAfterSeconds = 300;
/** Rights are granted by people. */
const permissionRetryMs = 60_000;
/** A cluster is upgraded by people. */
const notServedRetryMs = 600_000;
/** Tokens are renewed automatically, but each attempt is an entry in the audit log. */
const authenticationRetryMs = 20_000;
/** So many 403 in a row, after requests that were accepted, are attributed to a server that is starting. */
const startupRefusals = 5;

/** @param random from 0 up to 1, as Math.random */
export function createRetryPolicy(random: () => number): RetryPolicy {
  const backoff = createBackoff({ minMs: 100, firstMs: 1000, maxMs: maxBackoffMs, random });
  let lastReason: WatchEndReason | undefined;
  /** How many ends in a row had this reason, the present one included. */
  let inRow = 0;
  const jittered = (ms: number): number => ms * (0.75 + 0.5 * random());

  return {
    reset: backoff.reset,
    delayMs({ reason, retryAfterSeconds = 0 }, wasListed) {
      inRow = reason === lastReason ? inRow + 1 : 1;
      lastReason = reason;
      switch (reason) {
        case 'expired':
          return 0;
        case 'permission':
          // A server that has just started refuses everything for some seconds, until it has loaded the RBAC rules.
          if (!wasListed || inRow > startupRefusals) return jittered(permissionRetryMs);
          if (inRow === 1) backoff.reset();
          return backoff.next();
        case 'not_served':
          return jittered(notServedRetryMs);
        case 'authentication':
          return inRow > 1 ? jittered(authenticationRetryMs) : backoff.next();
        case 'gone':
          // The server is available again and only its history is lost: no long backoff from its downtime.
          if (inRow === 1) backoff.reset();
          return backoff.next();
        default:
          return backoff.next(Math.min(maxRetryAfterSeconds, retryAfterSeconds) * 1000);
      }
    },
  };
}
