/** Planned work: the settings' windows, and those that Kubernetes tells of. An agent leaves it to the cluster's exporter. */
import { createKubernetesWindows } from '../kubernetes/maintenance/windows.ts';
import {
  createMaintenanceRoom,
  type MaintenanceView,
  maintenanceCollectorNames,
} from '../maintenance/room.ts';
import { configuredWindows } from '../maintenance/window.ts';
import type { Cluster } from './kubernetes.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

export interface MaintenancePart extends Part {
  /** Undefined where another exporter tells of it. */
  view(): MaintenanceView | undefined;
}

/** A roll-out that renews no pod for this long is stuck, and that nobody planned. */
const rolloutHoldMs = 30 * 60_000;

export function maintenancePart(
  { settings, clock, events }: PartOptions,
  cluster: Cluster | undefined,
): MaintenancePart {
  const { kubernetes, maintenance } = settings;
  if (kubernetes.enabled && kubernetes.role === 'agent')
    return { ...absentPart(maintenanceCollectorNames), view: () => undefined };
  const room = createMaintenanceRoom({
    sources: [
      configuredWindows(maintenance.window ?? []),
      ...(cluster === undefined ? [] : [createKubernetesWindows(cluster.stores, rolloutHoldMs)]),
    ],
    clock,
    events,
  });
  return {
    collectors: room.collectors,
    disabled: [],
    families: [],
    // Told with those of Kubernetes, which they explain.
    problems: () => [],
    stop: async () => undefined,
    view: room.view,
  };
}
