/** The JSON API under /api/v1/: the status, and the routes that other modules provide. */

import type { StatusView } from '../app/status-view.ts';
import { assessStatus } from './assessment.ts';
import { type HttpRoute, sendJson, sendText } from './http.ts';

/** A route that another module provides. GET and HEAD. */
export interface ApiRoute {
  /** Below /api/v1/, in the syntax of express 5: `buckets/:bucket`. */
  readonly path: string;
  handle(request: ApiRequest): Promise<ApiResponse>;
}

export interface ApiRequest {
  readonly params: Readonly<Record<string, string>>;
  /** A parameter that is given twice has its last value. */
  readonly query: Readonly<Record<string, string>>;
}

export interface ApiResponse {
  /** Default 200. */
  readonly status?: number;
  /** What JSON.stringify takes. */
  readonly json: unknown;
}

export const errorResponse = (status: number, error: string): ApiResponse => ({ status, json: { error } });

export function apiRoutes(routes: readonly ApiRoute[], maxInFlight: number): HttpRoute[] {
  let inFlight = 0;
  return routes.map(({ path, handle }) => ({
    path: `/api/v1/${path}`,
    methods: ['GET'],
    async handle(request, response) {
      if (inFlight >= maxInFlight) {
        const text = `Too many API requests in flight: the limit is ${maxInFlight}. Try again later.`;
        return sendText(response, 503, text, { 'Retry-After': '1' });
      }
      const params = request.params as Record<string, string>;
      const query = Object.fromEntries(new URL(request.url, 'http://host').searchParams);
      inFlight += 1;
      try {
        const { status = 200, json } = await handle({ params, query });
        sendJson(response, status, json);
      } finally {
        inFlight -= 1;
      }
    },
  }));
}

/** `/api/v1/status`, for JSON.stringify: what the page shows. Times are RFC 3339 in UTC, durations seconds. */
export function statusJson(status: StatusView, now: number): unknown {
  const assessment = assessStatus(status, now);
  return {
    time: time(now),
    program: status.program,
    target: status.target,
    startedAt: time(status.startedAt),
    verdict: assessment.verdict,
    headline: assessment.headline,
    summary: assessment.summary,
    problems: assessment.problems.map(({ since, ...problem }) => ({ ...problem, since: time(since) })),
    collectors: assessment.collectors.map((collector) => ({
      name: collector.name,
      title: collector.title,
      state: collector.state,
      reason: collector.reason,
      message: collector.message,
      since: time(collector.since),
      readAt: time(collector.readAt),
      ageSeconds: collector.readAt === undefined ? undefined : seconds(Math.max(0, now - collector.readAt)),
      durationSeconds: seconds(collector.durationMs),
      intervalSeconds: seconds(collector.everyMs),
      slowedBy: collector.slowedBy,
      maxAgeSeconds: seconds(collector.maxAgeMs),
      series: collector.series,
    })),
    maintenanceWindows: status.maintenanceWindows?.map(({ endsAt, ...window }) => ({
      ...window,
      endsAt: time(endsAt),
    })),
    pods: status.pods && {
      notes: status.pods.notes,
      pods: status.pods.pods.map(({ since, lastRotation, ...pod }) => ({
        ...pod,
        since: time(since),
        lastRotation: lastRotation && {
          cause: lastRotation.cause,
          fromNode: lastRotation.fromNode,
          durationSeconds: seconds(lastRotation.durationMs),
          endedAt: time(lastRotation.endedAt),
        },
      })),
    },
    memory: status.memory && {
      notes: status.memory.notes,
      servers: status.memory.servers.map(({ kills, ...server }) => ({
        ...server,
        kills: kills?.map(({ last, ...kill }) => ({ ...kill, last: time(last) })),
      })),
    },
    events: status.events.map(({ at, kind, message, labels }) => ({ time: time(at), kind, message, labels })),
    links: status.links,
    incidents: status.demo?.incidents.map(({ runningSince, ...incident }) => ({
      ...incident,
      running: runningSince !== undefined,
      since: time(runningSince),
    })),
  };
}

const time = (ms: number | undefined): string | undefined =>
  ms === undefined || !Number.isFinite(ms) ? undefined : new Date(ms).toISOString();

const seconds = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.round(ms) / 1000;
