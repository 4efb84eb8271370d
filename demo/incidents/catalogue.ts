/** All incidents of the demo, in the order in which they are shown. */
import { oomBucket, oomPod } from '../gitaly/cgroups/incidents.ts';
import { limitSaturated } from '../gitaly/incident.ts';
import { dataLossIncidents } from './data-loss.ts';
import { databaseIncidents } from './database.ts';
import type { Incident } from './incident.ts';
import { praefectIncidents } from './praefects.ts';
import { replicationIncidents } from './replication.ts';
import { storageIncidents } from './storages.ts';

export const incidents: readonly Incident[] = [
  ...storageIncidents,
  ...praefectIncidents,
  ...replicationIncidents,
  ...dataLossIncidents,
  ...databaseIncidents,
  // As they are listed; the demo that runs has its own, of the pages it serves and the cgroups it writes.
  limitSaturated(() => undefined),
  oomBucket(),
  oomPod(),
];

/** The same with those that a running demo brings in the place of their namesakes. */
export const incidentsWith = (own: readonly Incident[]): readonly Incident[] =>
  incidents.map((incident) => own.find(({ name }) => name === incident.name) ?? incident);
