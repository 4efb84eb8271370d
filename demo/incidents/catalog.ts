/** All incidents of the demo, in display order. */
import { dataLossIncidents } from './data-loss.ts';
import { databaseIncidents } from './database.ts';
import { gitalyIncidents } from './gitaly.ts';
import type { Incident } from './incident.ts';
import { kubernetesIncidents } from './kubernetes.ts';
import { praefectIncidents } from './praefects.ts';
import { replicationIncidents } from './replication.ts';
import { storageIncidents } from './storages.ts';

export const incidents: readonly Incident[] = [
  ...storageIncidents,
  ...praefectIncidents,
  ...replicationIncidents,
  ...dataLossIncidents,
  ...databaseIncidents,
  ...gitalyIncidents,
  ...kubernetesIncidents,
];
