/** Recorded from Praefect's database, once for all exporters of a cluster. */
import { collectorNames } from '../../sources/praefect/collector-names.ts';
import * as mirror from '../../sources/praefect/mirror/metrics.ts';
import { readOnly, up } from '../../sources/praefect/queries/database.ts';
import {
  heartbeatQuorum,
  heartbeatTimestamp,
  praefectAlive,
  storageHealthy,
} from '../../sources/praefect/queries/health.ts';
import { staleJobs } from '../../sources/praefect/queries/queue.ts';
import { transactionsToWraparound } from '../../sources/praefect/queries/tables.ts';
import { isFresh } from '../ages.ts';
import { promDuration } from '../durations.ts';
import { clusterLabels, storageLabels, virtualStorageLabels } from '../labels.ts';
import {
  above,
  add,
  avgBy,
  equals,
  type GaugeSelector,
  isAtLeast,
  maxBy,
  maxOverTime,
  minBy,
  multiply,
  oneOf,
  or,
  relabelled,
  select,
  subtract,
  sumBy,
  unless,
} from '../promql/index.ts';
import { eachHighest, gaugeWindow, highest, lowest, recorded, recording } from '../recording.ts';
import { heldRecording } from './held.ts';
import { replicationRecordings } from './replication.ts';

/** 1 while some exporter reaches the database. A 1 is not held, because dashboards show it. */
export const databaseUp = heldRecording(
  'praefect:database_up:max',
  clusterLabels,
  collectorNames.database,
  (thresholds) => lowest(thresholds, clusterLabels, select(up)),
  (last) => equals(last, 0),
);

/** Whether the database rejects writes, by reason. */
export const readOnlyReasons = heldRecording(
  'praefect:database_read_only:max',
  [...clusterLabels, 'reason'],
  collectorNames.database,
  (thresholds) => highest(thresholds, [...clusterLabels, 'reason'], select(readOnly)),
);

/** Transactions until wraparound. */
export const wraparoundLeft = heldRecording(
  'praefect:transactions_to_wraparound:min',
  clusterLabels,
  collectorNames.tables,
  (thresholds) =>
    minBy(clusterLabels, maxOverTime(select(transactionsToWraparound), gaugeWindow(thresholds))),
);

/** Praefects with a heartbeat within a minute. */
export const praefectsAlive = recording(
  'praefect:praefects_alive:count',
  virtualStorageLabels,
  (thresholds) =>
    sumBy(
      virtualStorageLabels,
      highest(thresholds, [...virtualStorageLabels, 'praefect'], select(praefectAlive)),
    ),
);

/**
 * 1 while half of the Praefects of the last day are alive, and half of the live ones have fresh heartbeats. Otherwise
 * all storages read as unhealthy for lack of heartbeats, and nothing that depends on health is valid. While health is
 * not read, the last known quorum.
 */
export const healthTrusted = heldRecording(
  'praefect:health:trusted',
  virtualStorageLabels,
  collectorNames.health,
  (thresholds) => {
    const heartbeat = highest(thresholds, virtualStorageLabels, select(heartbeatTimestamp));
    const aliveRatio = avgBy(
      virtualStorageLabels,
      lowest(thresholds, [...virtualStorageLabels, 'praefect'], select(praefectAlive)),
    );
    const on = { on: virtualStorageLabels };
    return multiply(
      multiply(
        lowest(thresholds, virtualStorageLabels, select(heartbeatQuorum)),
        isFresh(thresholds, heartbeat, thresholds.heartbeatStale.value),
        on,
      ),
      isAtLeast(aliveRatio, thresholds.quorumRatio.value),
      on,
    );
  },
);

export const storageHealth = heldRecording(
  'praefect:storage_healthy:max',
  storageLabels,
  collectorNames.health,
  (thresholds) => highest(thresholds, storageLabels, select(storageHealthy)),
);

export const repositoryCount = recording('praefect:repositories:max', virtualStorageLabels, (thresholds) =>
  highest(thresholds, virtualStorageLabels, select(mirror.repositories)),
);

const heldCount = (name: string, selector: GaugeSelector) =>
  heldRecording(name, virtualStorageLabels, collectorNames.repositories, (thresholds) =>
    highest<string, (typeof virtualStorageLabels)[number]>(thresholds, virtualStorageLabels, selector),
  );

export const unavailableCount = heldCount(
  'praefect:repositories_unavailable:max',
  select(mirror.repositoriesUnavailable),
);
/**
 * Unhealthy storages, with the repositories of the virtual storage that no other storage serves; -1 while these are not
 * known. Without storages that no Praefect knows.
 */
export const storageUnhealthyCost = recording(
  'praefect:storage_unhealthy:unavailable_repositories',
  storageLabels,
  (thresholds) => {
    const removed = eachHighest(thresholds, select(staleJobs, { reason: 'storage_unknown' }));
    const unhealthy = unless(equals(recorded(storageHealth), 0), above(removed, 0), { on: storageLabels });
    const on = { on: virtualStorageLabels };
    const unknown = subtract(multiply(minBy(virtualStorageLabels, recorded(storageHealth)), 0), 1);
    return add(unhealthy, or(recorded(unavailableCount), unknown, on), { ...on, group: 'left' });
  },
);

export const lostCount = heldCount('praefect:repositories_lost:max', select(mirror.repositoriesLost));
export const readOnlyCount = heldCount(
  'praefect:repositories_read_only:max',
  select(mirror.repositoriesReadOnly),
);
export const singleCopyCount = heldCount(
  'praefect:repositories_single_copy:max',
  select(mirror.repositoriesSingleCopy),
);

export const atRiskCount = heldRecording(
  'praefect:repositories_at_risk:max',
  storageLabels,
  collectorNames.repositories,
  (thresholds) => highest(thresholds, storageLabels, select(mirror.repositoriesAtRisk)),
);

/** Assigned replicas that are outdated or missing. */
export const replicasBehind = heldRecording(
  'praefect:replicas_behind:sum',
  storageLabels,
  collectorNames.repositories,
  (thresholds) =>
    sumBy(
      storageLabels,
      highest(
        thresholds,
        [...storageLabels, 'state'],
        select(mirror.replicas, { state: oneOf('outdated', 'missing') }),
      ),
    ),
);

export const stuckCount = recording('praefect:replicas_stuck:max', storageLabels, (thresholds) =>
  highest(thresholds, storageLabels, select(mirror.replicasStuck)),
);

export const primaryCount = recording('praefect:primaries:max', storageLabels, (thresholds) =>
  highest(thresholds, storageLabels, select(mirror.primaries)),
);

/**
 * The latest failover off a storage within failoverWindow. By its timestamp, not by a counter: it needs no second sample,
 * and does not change with a restart of the exporter.
 */
export const lastFailoverTime = recording(
  'praefect:last_failover:timestamp_seconds',
  storageLabels,
  (thresholds) => {
    const window = promDuration(thresholds.failoverWindow.value);
    const at = maxOverTime(select(mirror.lastFailover), window);
    return maxBy(storageLabels, relabelled(at, 'from_storage', 'storage'));
  },
);

export const praefectRecordings = [
  databaseUp,
  readOnlyReasons,
  wraparoundLeft,
  praefectsAlive,
  healthTrusted,
  storageHealth,
  repositoryCount,
  unavailableCount,
  storageUnhealthyCost,
  lostCount,
  readOnlyCount,
  singleCopyCount,
  atRiskCount,
  replicasBehind,
  stuckCount,
  primaryCount,
  lastFailoverTime,
  ...replicationRecordings,
] as const;
