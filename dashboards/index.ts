/** All dashboards, in the order in which they are opened. */
import { checksAndCapacity } from './capacity.ts';
import type { Dashboard, DashboardSettings } from './dashboard.ts';
import { rpcAndLimits } from './limits.ts';
import { overview } from './overview.ts';
import { praefectCluster } from './praefect.ts';
import { replication } from './replication.ts';
import { podsAndCgroups } from './servers.ts';

export const dashboards = (settings: DashboardSettings): readonly Dashboard[] => [
  overview(settings),
  praefectCluster(settings),
  replication(settings),
  podsAndCgroups(settings),
  rpcAndLimits(settings),
  checksAndCapacity(settings),
];
