/**
 * Alerts on Praefect's database: what it says of the cluster, and that it says anything. What each means and what
 * to do is in runbooks/.
 */

import type { Thresholds } from '../src/rules/thresholds.ts';
import { type AlertGroup, clusterLabels, type Inhibition } from './alert.ts';
import { storageLabels, virtualStorageLabels } from './conditions.ts';
import { repositoriesCutOff } from './praefect/access.ts';
import { databaseUnreachable } from './praefect/database.ts';
import { failover, failoverOfMany } from './praefect/failover.ts';
import { quorumOfPraefectsLost } from './praefect/quorum.ts';
import { replicaStuck, replicationStalled } from './praefect/replication.ts';

export function praefectAlerts(thresholds: Thresholds): AlertGroup {
  return {
    name: 'praefect',
    file: 'praefect',
    alerts: [
      databaseUnreachable(thresholds),
      quorumOfPraefectsLost(thresholds),
      repositoriesCutOff(thresholds),
      replicationStalled(thresholds),
      replicaStuck(thresholds),
      failover(thresholds),
      failoverOfMany(thresholds),
    ],
    inhibitions,
  };
}

const inhibitions: readonly Inhibition[] = [
  {
    why: 'Nothing else is known of the cluster while its database does not answer.',
    source: { names: ['PraefectDatabaseUnreachable'] },
    target: {
      names: [
        'PraefectQuorumLost',
        'PraefectRepositoriesUnavailable',
        'PraefectReplicationStalled',
        'PraefectReplicaStuck',
        'PraefectFailover',
        'GitalyExporterCollectorFailing',
        'GitalyExporterDown',
      ],
    },
    equal: clusterLabels,
  },
  {
    why: 'Without a quorum of Praefects nothing that rests on health or on their work is to be believed.',
    source: { names: ['PraefectQuorumLost'] },
    target: {
      names: [
        'PraefectRepositoriesUnavailable',
        'PraefectReplicationStalled',
        'PraefectReplicaStuck',
        'PraefectFailover',
      ],
    },
    equal: virtualStorageLabels,
  },
  {
    why: 'To a storage that is down nothing is replicated, and its failover is known.',
    source: { names: ['PraefectFailover'], severity: 'critical' },
    target: { names: ['PraefectReplicationStalled'] },
    equal: storageLabels,
  },
  {
    why: 'The page says all that the mark on the boards says.',
    source: { names: ['PraefectFailover'], severity: 'critical' },
    target: { names: ['PraefectFailover'], severity: 'info' },
    equal: storageLabels,
  },
  {
    why: 'Where nothing is replicated, replicas stay behind.',
    source: { names: ['PraefectReplicationStalled'] },
    target: { names: ['PraefectReplicaStuck'] },
    equal: storageLabels,
  },
];
