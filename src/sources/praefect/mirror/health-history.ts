/**
 * Since when each storage has been healthy, and when it last was not, as far as this exporter saw it. Only what
 * fresh heartbeats say is taken: when no Praefect reports, nothing is known to have fallen ill.
 */
import type { HealthView } from '../health.ts';

export interface HealthHistory {
  /** Takes in what is known at `now` (seconds since 1970). */
  record(view: HealthView, now: number): void;
  /** Seconds since 1970; undefined while it is unhealthy or was never seen. */
  healthySince(virtualStorage: string, storage: string): number | undefined;
  /** Whether it was seen unhealthy at `from` or later. */
  unhealthyAfter(virtualStorage: string, storage: string, from: number): boolean;
}

export function createHealthHistory(): HealthHistory {
  const storages = new Map<string, { healthySince: number | undefined; unhealthyAt: number }>();
  const key = (virtualStorage: string, storage: string): string => JSON.stringify([virtualStorage, storage]);
  return {
    record(view, now) {
      for (const { virtualStorage, believed, storages: found } of view.virtualStorages.values()) {
        if (!believed) continue;
        for (const { storage, healthy } of found.values()) {
          const before = storages.get(key(virtualStorage, storage));
          storages.set(key(virtualStorage, storage), {
            healthySince: healthy ? (before?.healthySince ?? now) : undefined,
            unhealthyAt: healthy ? (before?.unhealthyAt ?? Number.NEGATIVE_INFINITY) : now,
          });
        }
      }
    },
    healthySince: (virtualStorage, storage) => storages.get(key(virtualStorage, storage))?.healthySince,
    unhealthyAfter: (virtualStorage, storage, from) =>
      (storages.get(key(virtualStorage, storage))?.unhealthyAt ?? Number.NEGATIVE_INFINITY) >= from,
  };
}
