/** Events, of core/v1 and of events.k8s.io/v1, which name the same things differently. */
import { metaOf } from './meta.ts';
import { count, fields, objectOf, type Parsed, parsed, text } from './reading.ts';
import { timeOf } from './time.ts';
import type { KubeEvent } from './types.ts';

/**
 * A new scheduler's or controller's event has eventTime and perhaps a series, and leaves firstTimestamp,
 * lastTimestamp and count null; a kubelet's is the other way round.
 */
export const eventOf = (raw: unknown): Parsed<KubeEvent> =>
  parsed(() => {
    const event = objectOf(raw, 'Event');
    const about = fields(event['involvedObject'] ?? event['regarding']);
    const series = fields(event['series']);
    const at = timeOf(event['eventTime']);
    const source = fields(event['source'] ?? event['deprecatedSource']);
    return {
      kind: 'Event',
      ...metaOf(event),
      reason: text(event['reason'], 256),
      type: text(event['type'], 64),
      message: text(event['message'] ?? event['note'], 1024),
      source: text(source['component'] || event['reportingComponent'] || event['reportingController'], 253),
      about: {
        kind: text(about['kind'], 253),
        namespace: text(about['namespace'], 253),
        name: text(about['name'], 253),
        uid: text(about['uid'], 128),
      },
      count: Math.max(
        1,
        count(event['count'] ?? event['deprecatedCount'], 'count'),
        count(series['count'], 'series.count'),
      ),
      firstAt: timeOf(event['firstTimestamp']) ?? timeOf(event['deprecatedFirstTimestamp']) ?? at,
      lastAt:
        timeOf(series['lastObservedTime']) ??
        timeOf(event['lastTimestamp']) ??
        timeOf(event['deprecatedLastTimestamp']) ??
        at,
    };
  });
