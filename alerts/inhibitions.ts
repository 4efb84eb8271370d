/** Which alerts are consequences of others: one incident is one page, that of its cause. */
import { clusterLabels, storageLabels, virtualStorageLabels } from '../src/monitoring/labels.ts';
import { serverLabels } from '../src/monitoring/recordings/gitaly.ts';
import type { RuleName } from '../src/rules/alert-thresholds.ts';
import type { Inhibition } from './alert.ts';

/** Alerts on what Praefects do, or on the health that they report. */
const ofPraefects: readonly RuleName[] = [
  'PraefectInstanceDown',
  'PraefectStorageUnhealthy',
  'PraefectStorageFlapping',
  'PraefectHealthDisagreement',
  'PraefectFailover',
  'PraefectRepositoriesUnavailable',
  'PraefectSingleCopy',
  'PraefectBelowReplicationFactor',
  'PraefectRestartUnsafe',
  'PraefectReplicationStalled',
  'PraefectReplicationBacklog',
  'PraefectReplicationLockStale',
  'PraefectReplicaStuck',
  'PraefectReplicasUnscheduled',
];

/**
 * Alerts on load that clients spread over the Gitalys of a namespace: one notification for all of them. A further Gitaly
 * is an update of it; a cluster or namespace of its own, and an incident after its end, are another one.
 */
export const sharedLoad: readonly RuleName[] = [
  'GitalyRequestsDroppedQueueFull',
  'GitalyRequestsDroppedQueueWait',
  'GitalyLoadShed',
  'GitalyPackObjectsDropped',
  'GitalyConcurrencySaturated',
];

export const inhibitions: readonly Inhibition[] = [
  {
    why: 'While its database does not respond, nothing else is known of the cluster.',
    source: { names: ['PraefectDatabaseUnreachable'] },
    target: {
      names: [
        'PraefectQuorumLost',
        'PraefectDatabaseReadOnly',
        'PraefectRepositoriesReadOnly',
        'PraefectRepositoriesLost',
        ...ofPraefects,
        'GitalyExporterCollectorFailing',
        'GitalyExporterStale',
      ],
    },
    equal: clusterLabels,
  },
  {
    why: 'A read-only database stops the heartbeats.',
    source: { names: ['PraefectDatabaseReadOnly'] },
    target: { names: ['PraefectQuorumLost', ...ofPraefects] },
    equal: clusterLabels,
  },
  {
    why: 'Without a quorum, health is unknown and no Praefect may process jobs.',
    source: { names: ['PraefectQuorumLost'] },
    target: { names: ofPraefects },
    equal: clusterLabels,
  },
  {
    why: 'Nothing is replicated to an unhealthy storage, and its primaries moved.',
    source: { names: ['PraefectStorageUnhealthy'] },
    target: {
      names: [
        'PraefectFailover',
        'PraefectStorageFlapping',
        'PraefectHealthDisagreement',
        'PraefectReplicationStalled',
        'PraefectReplicationBacklog',
        'PraefectReplicaStuck',
        'PraefectReplicasUnscheduled',
      ],
    },
    equal: storageLabels,
  },
  {
    why: 'The alert on the storage counts the repositories that its failure costs.',
    source: { names: ['PraefectStorageUnhealthy'] },
    target: {
      names: [
        'PraefectRepositoriesUnavailable',
        'PraefectSingleCopy',
        'PraefectBelowReplicationFactor',
        'PraefectRestartUnsafe',
      ],
    },
    equal: virtualStorageLabels,
  },
  {
    why: 'The storage that this Gitaly serves is unhealthy: by gitaly_storage_info, or where both have the same name.',
    source: { names: ['PraefectStorageUnhealthy'] },
    target: { names: ['GitalyDown'] },
    equal: ['cluster', 'storage'],
  },
  {
    why: 'Repositories without any replica are unavailable, too.',
    source: { names: ['PraefectRepositoriesLost'] },
    target: { names: ['PraefectRepositoriesUnavailable', 'PraefectRepositoryCountDrop'] },
    equal: virtualStorageLabels,
  },
  {
    why: 'Replicas that are behind without a second copy are the ones that a restart makes unavailable.',
    source: { names: ['PraefectSingleCopy'] },
    target: { names: ['PraefectRestartUnsafe', 'PraefectBelowReplicationFactor'] },
    equal: virtualStorageLabels,
  },
  {
    why: 'Replicas stay behind where nothing is replicated.',
    source: { names: ['PraefectReplicationStalled'] },
    target: { names: ['PraefectReplicationBacklog', 'PraefectReplicationLockStale', 'PraefectReplicaStuck'] },
    equal: storageLabels,
  },
  {
    why: 'Replicas wait in a queue that grows.',
    source: { names: ['PraefectReplicationBacklog'] },
    target: { names: ['PraefectReplicaStuck'] },
    equal: storageLabels,
  },
  {
    why: 'The page on the loop includes that on a single kill, and the tickets.',
    source: { names: ['GitalyOOMKilledRepeatedly'] },
    target: {
      names: ['GitalyContainerOOMKilled', 'GitalyOOMKilled', 'GitalyMemoryNearLimit', 'GitalyMemoryPressure'],
    },
    equal: serverLabels,
  },
  {
    why: 'The page includes the ticket.',
    source: { names: ['GitalyContainerOOMKilled'] },
    target: { names: ['GitalyOOMKilled', 'GitalyMemoryNearLimit', 'GitalyMemoryPressure'] },
    equal: serverLabels,
  },
  {
    why: 'The page includes the ticket.',
    source: { names: ['GitalyGitParentOOM'] },
    target: { names: ['GitalyGitOOMKilled', 'GitalyMemoryPressure'] },
    equal: serverLabels,
  },
  {
    why: 'What was about to happen has happened.',
    source: { names: ['GitalyOOMKilled', 'GitalyGitOOMKilled'] },
    target: { names: ['GitalyMemoryNearLimit', 'GitalyMemoryExhaustionForecast'] },
    equal: [...serverLabels, 'level'],
  },
  {
    why: 'Load that exceeds the memory of a Gitaly fills its queues, too.',
    source: { names: ['GitalyOOMKilledRepeatedly', 'GitalyGitParentOOM'] },
    target: { names: ['GitalyRequestsDroppedQueueFull'] },
    equal: serverLabels,
  },
  {
    why: 'A full queue drops requests sooner than their wait ends.',
    source: { names: ['GitalyRequestsDroppedQueueFull'] },
    target: { names: ['GitalyRequestsDroppedQueueWait', 'GitalyConcurrencySaturated'] },
    equal: serverLabels,
  },
  {
    why: 'The page includes the ticket.',
    source: { names: ['GitalyErrorBudgetBurn'], severity: 'critical' },
    target: { names: ['GitalyErrorBudgetBurn'], severity: 'warning' },
    equal: ['cluster', 'namespace', 'job'],
  },
  {
    why: 'The page includes the ticket.',
    source: { names: ['PraefectDatabaseWraparound'], severity: 'critical' },
    target: { names: ['PraefectDatabaseWraparound'], severity: 'warning' },
    equal: clusterLabels,
  },
  {
    why: 'Withdrawn series include the failed refresh.',
    source: { names: ['GitalyExporterStale'] },
    target: { names: ['GitalyExporterCollectorFailing'] },
    equal: ['cluster', 'namespace', 'job', 'instance'],
  },
  {
    why: 'Without an exporter there are no metrics of Praefect.',
    source: { names: ['GitalyExporterMissing'] },
    target: { names: ['PraefectMetricsMissing', 'GitalyExporterDown'] },
    equal: clusterLabels,
  },
];
