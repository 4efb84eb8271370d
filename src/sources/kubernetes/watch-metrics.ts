/** Metrics of the exporter's watches of the Kubernetes API. */
import { counter, gauge, type Metric } from '../../metrics/metric.ts';
import { watchEndReasons, watchedResources } from './store.ts';

const watchOrigin = "the exporter's watches of the Kubernetes API";
const perResource = { resource: watchedResources } as const;

export const watchCurrent = gauge('gitaly_exporter_kubernetes_watch_current', {
  help: "1 while the exporter's copy of the resource is current, else 0.",
  details:
    'Current: listed, and updated (a list, an event or a bookmark) within kubernetes.stale-after. 0 before the first list, while a right is missing, and when updates stop; metrics that depend on the resource are then absent. Also 0 while the API server sends malformed lists or objects: the objects before are then kept for that time. Absent for resources that this exporter does not watch (see kubernetes.role), or that the API server does not have.',
  origin: watchOrigin,
  labels: perResource,
});

export const watchLastEvent = gauge('gitaly_exporter_kubernetes_watch_last_event_timestamp_seconds', {
  help: 'Time of the last list, watch event or bookmark of the resource.',
  details: 'With several namespaces, the oldest of their times. Absent before the first list.',
  origin: watchOrigin,
  unit: 'seconds',
  labels: perResource,
});

export const watchObjects = gauge('gitaly_exporter_kubernetes_watch_objects', {
  help: 'Objects of the resource that the exporter holds in memory.',
  origin: watchOrigin,
  labels: perResource,
});

export const watchRestarts = counter('gitaly_exporter_kubernetes_watch_restarts_total', {
  help: 'Lists and watches of the resource that ended and were started again, by reason.',
  details:
    'expired: the requested time was over, as expected. closed: closed by the server before that. reset: the connection failed. timeout: no data on an open connection. gone: the server no longer has the resourceVersion (410), and everything is listed again. throttled: HTTP 429. server_error: HTTP 5xx. permission: HTTP 403. authentication: HTTP 401, or no credentials. malformed: an invalid response, or one over a limit of the exporter. not_served: the API server does not have the resource. other: anything else.',
  origin: watchOrigin,
  labels: { ...perResource, reason: watchEndReasons },
});

export const apiClockSkew = gauge('gitaly_exporter_kubernetes_clock_skew_seconds', {
  help: "How far the API server's clock is ahead of the exporter's; negative when it is behind.",
  details:
    'By the header Date of the last response, accurate to about a second. Times of the API are corrected by it. Absent before the first response.',
  origin: watchOrigin,
  unit: 'seconds',
  labels: {},
});

export const watchMetrics: readonly Metric[] = [
  ...[watchCurrent, watchLastEvent, watchObjects, watchRestarts],
  apiClockSkew,
];
