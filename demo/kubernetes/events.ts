/** Events of the demo's API: a repeated event increments the count of the first one, and each is kept for an hour. */
import type { Clock } from '../../src/lib/clock.ts';
import type { ObjectStore, StoredObject } from './api-server.ts';
import { demoNamespace, timestamp } from './objects.ts';

interface EventModel {
  readonly uid: string;
  readonly about: {
    readonly kind: 'Pod' | 'StatefulSet' | 'Node';
    readonly name: string;
    readonly uid: string;
  };
  readonly reason: string;
  readonly type: 'Normal' | 'Warning';
  readonly message: string;
  readonly component: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

export type NewEvent = Pick<EventModel, 'about' | 'reason' | 'type' | 'message' | 'component'>;

const keptMs = 3_600_000;

export function createEventRecorder(
  store: ObjectStore,
  clock: Clock,
  newUid: () => string,
): (event: NewEvent) => void {
  const events = new Map<string, EventModel>();
  return (event) => {
    const now = clock.now();
    const key = `${event.about.uid} ${event.reason} ${event.message}`;
    const known = events.get(key);
    const recorded: EventModel =
      known === undefined
        ? { ...event, uid: newUid(), count: 1, firstAt: now, lastAt: now }
        : { ...known, count: known.count + 1, lastAt: now };
    events.delete(key);
    events.set(key, recorded);
    store.put('events', eventObject(recorded));
    for (const [old, { lastAt, uid }] of events) {
      if (now - lastAt < keptMs) break;
      events.delete(old);
      store.remove('events', uid);
    }
  };
}

function eventObject(event: EventModel): StoredObject {
  const { about } = event;
  const namespace = about.kind === 'Node' ? 'default' : demoNamespace;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${about.name}.${event.uid.slice(0, 16)}`,
      namespace,
      uid: event.uid,
      creationTimestamp: timestamp(event.firstAt),
    },
    involvedObject: { ...about, ...(about.kind === 'Node' ? {} : { namespace }) },
    reason: event.reason,
    type: event.type,
    message: event.message,
    source: { component: event.component },
    count: event.count,
    firstTimestamp: timestamp(event.firstAt),
    lastTimestamp: timestamp(event.lastAt),
  } as StoredObject;
}
