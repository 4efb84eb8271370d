/** How well the API is watched: what alerts on staleness and the page rest on. */
import { counter, gauge, type Metric } from '../../../metrics/metric.ts';
import { type Family, samplesOf } from '../../../metrics/samples.ts';
import { watchEnds } from '../store.ts';
import { watchedResources } from './resources.ts';
import type { KubeStores } from './stores.ts';

const origin = "the exporter's watches of the Kubernetes API";
const resource = { resource: watchedResources } as const;

export const watchCurrent = gauge('gitaly_exporter_kubernetes_watch_current', {
  help: '1 while what is known of the resource is current: listed, and heard from within kubernetes.stale-after. 0 before the first list, while a right is missing, and after too long a silence; what rests on it is then absent. Absent for what this exporter does not watch (see kubernetes.role).',
  origin,
  labels: resource,
});

export const watchLastEvent = gauge('gitaly_exporter_kubernetes_watch_last_event_timestamp_seconds', {
  help: 'When the last list, watch event or bookmark of the resource arrived.',
  details: 'With several namespaces, the oldest of their times. Absent before the first list.',
  origin,
  unit: 'seconds',
  labels: resource,
});

export const watchObjects = gauge('gitaly_exporter_kubernetes_watch_objects', {
  help: 'How many objects of the resource are held in memory.',
  origin,
  labels: resource,
});

export const watchRestarts = counter('gitaly_exporter_kubernetes_watch_restarts_total', {
  help: 'How often a list or a watch of the resource ended and began again. expired: its time was over, as it should be. closed: ended in order, but early. reset: the connection failed. timeout: silence on an open connection. gone: the server had forgotten where it stood, and all was listed anew. throttled: HTTP 429. server_error: HTTP 5xx. permission: HTTP 403. authentication: HTTP 401, or no credentials. malformed: something else than the API came. other: all else.',
  origin,
  labels: { ...resource, reason: watchEnds },
});

export const watchMetrics: readonly Metric[] = [watchCurrent, watchLastEvent, watchObjects, watchRestarts];

export function watchFamilies(stores: KubeStores): readonly Family[] {
  const current = samplesOf(watchCurrent);
  const lastEvent = samplesOf(watchLastEvent);
  const objects = samplesOf(watchObjects);
  const restarts = samplesOf(watchRestarts);
  for (const name of stores.watched) {
    const state = stores.byResource(name).state();
    current.set({ resource: name }, state.current ? 1 : 0);
    if (state.heardAt !== undefined) lastEvent.set({ resource: name }, state.heardAt / 1000);
    objects.set({ resource: name }, state.objects);
    for (const reason of watchEnds) restarts.set({ resource: name, reason }, state.restarts[reason]);
  }
  return [current.family(), lastEvent.family(), objects.family(), restarts.family()];
}
