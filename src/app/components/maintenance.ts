/**
 * Planned work: the settings' windows, and those that Kubernetes tells of; and what is wrong there that is not
 * planned. An agent leaves it to the cluster's exporter.
 */

import { kubernetesProblems } from '../../rules/problems/kubernetes.ts';
import { createKubernetesWindows } from '../../sources/kubernetes/maintenance.ts';
import {
  configuredWindows,
  createMaintenanceSource,
  type MaintenanceView,
  maintenanceCollectorNames,
} from '../../sources/maintenance/source.ts';
import type { Cluster } from './kubernetes.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

/** A roll-out that renews no pod for this long is stuck, and that nobody planned. */
const rolloutHoldMs = 30 * 60_000;

export interface MaintenancePart extends Part {
  /** Windows that are open now. */
  open(): MaintenanceView['open'];
}

export function maintenancePart(
  { settings, clock, events }: PartOptions,
  cluster: Cluster | undefined,
): MaintenancePart {
  const { kubernetes, maintenance } = settings;
  if (kubernetes.enabled && kubernetes.role === 'agent')
    return { ...absentPart(maintenanceCollectorNames), open: () => [] };
  const room = createMaintenanceSource({
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
    problems(reading) {
      const view = cluster?.view();
      if (view === undefined) return [];
      return kubernetesProblems({ reading, view, maintenance: room.view(), now: clock.now() / 1000 });
    },
    stop: async () => undefined,
    open: () => room.view().open,
  };
}
