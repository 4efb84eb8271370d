/** How the health of storages changed while the exporter ran. */
import type { EventLog } from '../../scheduler/event-log.ts';
import type { HealthView, StorageHealth } from './health.ts';

/**
 * Since when each storage has been healthy and when it was last unhealthy, as seen by this exporter. Views without a
 * quorum are ignored: while no Praefect reports, no storage is known to have become unhealthy.
 */
export interface HealthHistory {
  /**
   * Adds the health at `now` (whole seconds of `steadySeconds`), and an event for each storage that became unhealthy or
   * recovered since the last view with a quorum: heartbeats that stop and resume change no storage's health.
   */
  record(view: HealthView, now: number): void;
  /** By the same clock; undefined while it is unhealthy or was never seen. */
  healthySince(virtualStorage: string, storage: string): number | undefined;
  /** Whether it was unhealthy at `from` or later. */
  unhealthyAfter(virtualStorage: string, storage: string, from: number): boolean;
}

interface RecordedHealth {
  readonly healthySince: number | undefined;
  readonly unhealthyAt: number;
  /** When it was last a known storage; undefined: it never was. */
  readonly wasHealthy: boolean | undefined;
}

export function createHealthHistory(events: Pick<EventLog, 'add'>): HealthHistory {
  const storages = new Map<string, RecordedHealth>();
  const key = (virtualStorage: string, storage: string): string => JSON.stringify([virtualStorage, storage]);

  function addEvent({ virtualStorage, storage, healthy }: StorageHealth): void {
    const labels = { virtual_storage: virtualStorage, storage };
    if (healthy)
      events.add('storage_recovered', `Storage ${storage} of ${virtualStorage} is healthy again`, labels);
    else
      events.add(
        'storage_unhealthy',
        `Storage ${storage} of ${virtualStorage} is unhealthy: fewer than half of the Praefects saw it active within 10 s`,
        labels,
      );
  }

  return {
    record(view, now) {
      for (const {
        virtualStorage,
        hasQuorum,
        storages: found,
        knownStorages,
      } of view.virtualStorages.values()) {
        if (!hasQuorum) continue;
        for (const health of found.values()) {
          const { storage, healthy } = health;
          const before = storages.get(key(virtualStorage, storage));
          const isKnown = knownStorages.has(storage);
          if (isKnown && before?.wasHealthy === !healthy) addEvent(health);
          storages.set(key(virtualStorage, storage), {
            healthySince: healthy ? (before?.healthySince ?? now) : undefined,
            unhealthyAt: healthy ? (before?.unhealthyAt ?? Number.NEGATIVE_INFINITY) : now,
            wasHealthy: isKnown ? healthy : before?.wasHealthy,
          });
        }
      }
    },
    healthySince: (virtualStorage, storage) => storages.get(key(virtualStorage, storage))?.healthySince,
    unhealthyAfter: (virtualStorage, storage, from) =>
      (storages.get(key(virtualStorage, storage))?.unhealthyAt ?? Number.NEGATIVE_INFINITY) >= from,
  };
}
