/** The heartbeats of Praefects and the health of storages, from node_status: the smallest query, every second. */

import { anyValue, metricGroup } from '../../../metrics/metric.ts';
import { type Block, createSamples } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { failed } from '../../../scheduler/outcome.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import { collectorNames } from '../collector-names.ts';
import type { DatabaseRow } from '../database.ts';
import { localTimeNote } from '../database-clock.ts';
import { aliveWithinSeconds, type HealthView, healthOf, type NodeStatusRow } from '../health.ts';
import {
  columnNumber,
  columnText,
  type DatabaseContext,
  databaseSchedule,
  failedOutcome,
  withVariant,
} from '../query.ts';
import { epochOf, ge, isPresent, minus, secondsSince } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';
import type { ConfiguredStorageMap } from './known-storages.ts';

const { gauge, metrics } = metricGroup();

const perPraefect = { praefect: anyValue, virtual_storage: anyValue } as const;
const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

export const praefectLastContact = gauge('praefect_db_praefect_last_contact_timestamp_seconds', {
  help: 'When this Praefect last tried to contact a storage of the virtual storage.',
  details: `Rows a day older than the newest heartbeat are left out: Praefect never deletes any. ${localTimeNote}`,
  origin: 'node_status.last_contact_attempt_at',
  labels: perPraefect,
});

export const heartbeatTimestamp = gauge('praefect_db_heartbeat_timestamp_seconds', {
  help: 'Newest attempt of any Praefect to contact a storage of the virtual storage.',
  details:
    'When it is over 10 s old, no Praefect writes heartbeats: none runs, or the database is read-only. Every storage then reads as unhealthy, and metrics that depend on health are not valid. Times in the future do not count; absent when there are no others. ' +
    localTimeNote,
  origin: 'node_status.last_contact_attempt_at',
  labels: { virtual_storage: anyValue },
});

export const heartbeatQuorum = gauge('praefect_db_heartbeat_quorum', {
  help: '1 while at least half of the live Praefects have a heartbeat from the last 5 s, otherwise 0.',
  details:
    'At 0 the consensus lacks votes and storages read as unhealthy for lack of heartbeats: metrics that depend on health are valid only at 1.',
  origin: 'node_status.last_contact_attempt_at',
  labels: { virtual_storage: anyValue },
});

export const praefectAlive = gauge('praefect_db_praefect_alive', {
  help: '1 if this Praefect tried to contact a storage in the last 60 s and so counts in the quorum, otherwise 0.',
  origin: 'node_status.last_contact_attempt_at',
  labels: perPraefect,
});

export const storageSeenHealthy = gauge('praefect_db_storage_seen_healthy', {
  help: '1 if this Praefect saw the storage active in the last 10 s, otherwise 0.',
  details:
    'Reported for live Praefects, each of which routes requests by its own view. 0 for one Praefect and 1 for the others: that Praefect cannot reach the storage.',
  origin: 'node_status.last_seen_active_at',
  labels: { praefect: anyValue, ...perStorage },
});

export const storageHealthy = gauge('praefect_db_storage_healthy', {
  help: '1 if at least half of the live Praefects saw the storage active in the last 10 s, otherwise 0.',
  details:
    'The consensus exactly as Praefect computes it, except that times in the future do not make a storage healthy. All storages are 0 when heartbeats stop: see praefect_db_heartbeat_quorum. Absent for a storage that no Praefect has contacted for 60 s while it contacts others: it was removed from the configuration.',
  origin: 'node_status; as the view healthy_storages',
  labels: perStorage,
});

export const healthMetrics = metrics;

/**
 * One statement for every variant: the columns exist since GitLab 12.10. Praefect never deletes a row, and a new name
 * at each start (a Deployment's pods) leaves rows forever: those a day older than the newest are left out. A time in
 * the future is not the newest, or one such row would leave out all others. The time between two infinite timestamps
 * is an error before PostgreSQL 17.
 */
export const healthSql = (variant: SchemaVariant): string => {
  const table = variant.relation('node_status');
  const times = ['last_contact_attempt_at', 'last_seen_active_at'];
  const newest = times.map((time) => `pg_catalog.max(${time}) FILTER (WHERE ${isPresent(time)})`);
  return `
SELECT praefect_name                   AS praefect,
       shard_name                      AS virtual_storage,
       node_name                       AS storage,
       ${epochOf('pg_catalog.now()')}  AS now,
       ${secondsSince('last_contact_attempt_at')} AS since_attempt,
       ${secondsSince('last_seen_active_at')}     AS since_seen
  FROM ${table}
 WHERE greatest(${times.join(', ')})
       ${ge} (SELECT coalesce(greatest(${newest.join(', ')}), '-infinity') ${minus} interval '1 day' FROM ${table})`;
};

export const nodeStatusOf = (row: DatabaseRow): NodeStatusRow => ({
  praefect: columnText(row['praefect']),
  virtualStorage: columnText(row['virtual_storage']),
  storage: columnText(row['storage']),
  secondsSinceAttempt: columnNumber(row['since_attempt']) ?? null,
  secondsSinceSeen: columnNumber(row['since_seen']) ?? null,
});

/** A Praefect whose newest attempt is a day older than the newest of all was removed. */
const removedAfterSeconds = 86_400;

/** One virtual storage in node_status; times in seconds since 1970, none in the future. */
export interface HealthSnapshot {
  readonly virtualStorage: string;
  /** Newest attempt of any Praefect to contact any of its storages; undefined: all times are in the future. */
  readonly heartbeatAt: number | undefined;
  /** Whether enough live Praefects have a fresh heartbeat; otherwise `healthy` is not valid. */
  readonly hasQuorum: boolean;
  readonly praefects: readonly {
    readonly praefect: string;
    /** Undefined: in the future. */
    readonly lastContactAt: number | undefined;
    /** Contacted a storage within 60 s. */
    readonly alive: boolean;
  }[];
  readonly storages: readonly {
    readonly storage: string;
    /** The consensus. */
    readonly healthy: boolean;
    /** False: all its times are in the future. */
    readonly contacted: boolean;
    /** By each live Praefect. */
    readonly seenHealthyBy: ReadonlyMap<string, boolean>;
  }[];
}

/**
 * Praefect never deletes a row. Left out are storages and virtual storages that no Praefect contacts while it contacts
 * others, which were removed from the configuration: as unhealthy ones they would page, and suppress alerts on the
 * others, for a day. And Praefects whose newest attempt is a day older than the newest heartbeat: before that, a Praefect
 * that terminated is no different from one that was removed.
 *
 * @param readAt the moment that the view describes, in seconds since 1970
 */
export function healthSnapshot(view: HealthView, readAt: number): readonly HealthSnapshot[] {
  // To the microsecond, as PostgreSQL keeps times: an unchanged time stays the same number at every read.
  const at = (secondsAgo: number) => Math.round((readAt - secondsAgo) * 1e6) / 1e6;
  const newest = [...view.virtualStorages.values()].reduce(
    (age, { secondsSinceHeartbeat }) => Math.min(age, secondsSinceHeartbeat ?? Infinity),
    Number.POSITIVE_INFINITY,
  );
  const wasRemoved = (seconds: number | undefined, hasFutureTime: boolean) =>
    !hasFutureTime && (seconds === undefined || seconds > newest + removedAfterSeconds);

  return [...view.virtualStorages.values()].flatMap((each) => {
    if (!each.contacted || wasRemoved(each.secondsSinceHeartbeat, each.futurePraefects.size > 0)) return [];
    return {
      virtualStorage: each.virtualStorage,
      heartbeatAt: each.secondsSinceHeartbeat === undefined ? undefined : at(each.secondsSinceHeartbeat),
      hasQuorum: each.hasQuorum,
      praefects: [...each.praefects].flatMap(([praefect, seconds]) =>
        wasRemoved(seconds, each.futurePraefects.has(praefect))
          ? []
          : {
              praefect,
              lastContactAt: seconds === undefined ? undefined : at(seconds),
              alive: seconds !== undefined && seconds <= aliveWithinSeconds,
            },
      ),
      storages: [...each.storages.values()]
        .filter(({ storage, hasFutureTime }) => each.knownStorages.has(storage) || hasFutureTime)
        .map(({ storage, healthy, seenHealthyBy }) => ({
          storage,
          healthy,
          contacted: each.knownStorages.has(storage),
          seenHealthyBy,
        })),
    };
  });
}

export function healthBlock(snapshot: readonly HealthSnapshot[]): Block {
  const samples = createSamples(healthMetrics);
  for (const { virtualStorage: virtual_storage, ...each } of snapshot) {
    samples.set(heartbeatTimestamp, { virtual_storage }, each.heartbeatAt);
    samples.set(heartbeatQuorum, { virtual_storage }, each.hasQuorum);
    for (const { praefect, lastContactAt, alive } of each.praefects) {
      samples.set(praefectLastContact, { praefect, virtual_storage }, lastContactAt);
      samples.set(praefectAlive, { praefect, virtual_storage }, alive);
    }
    for (const { storage, healthy, seenHealthyBy } of each.storages) {
      samples.set(storageHealthy, { virtual_storage, storage }, healthy);
      for (const [praefect, isSeen] of seenHealthyBy)
        samples.set(storageSeenHealthy, { praefect, virtual_storage, storage }, isSeen);
    }
  }
  return { families: samples.families() };
}

/** A storage may become unhealthy within seconds, so older health is not valid. */
export const healthMaxAgeMs = (everyMs: number): number => Math.max(10_000, 3 * everyMs);

export const healthTimeoutMs = 2000;

/** Every Praefect writes node_status each second, unless failover is disabled or its elector is `local` (13.x). */
const noHeartbeats =
  'node_status is empty: no Praefect has ever written a heartbeat to this database, so that the health of storages is unknown. Check that Praefect uses this database (praefect.database.url), and that failover is enabled';

interface HealthCollectorOptions extends DatabaseContext {
  readonly everyMs: number;
  /** Of Praefect's config.toml; undefined where it was not given. */
  readonly configuredStorages: ConfiguredStorageMap | undefined;
  /** Called with every new view. */
  readonly onHealth: (view: HealthView) => void;
  /** Called when the set of healthy storages or the quorum has changed, or health was not valid before. */
  readonly healthWake: Wake;
}

export function createHealthCollector(options: HealthCollectorOptions): Collector<readonly HealthSnapshot[]> {
  const { clock, configuredStorages, databaseClock } = options;
  let key: string | undefined;
  let lastReadAt = Number.NEGATIVE_INFINITY;

  return {
    name: collectorNames.health,
    title: 'Heartbeats of Praefects and health of storages (node_status)',
    metrics: healthMetrics,
    ...databaseSchedule(options, {
      everyMs: options.everyMs,
      timeoutMs: healthTimeoutMs,
      maxAgeMs: healthMaxAgeMs(options.everyMs),
      priority: 'reserved',
    }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 1500, purpose: 'the health of storages' };
      let hasOneStatement = true;
      const read = await withVariant(options, signal, (variant) => {
        hasOneStatement = variant.validPrimaries !== 'none';
        return options.database.query(healthSql(variant), limits);
      });
      if (!read.ok) return failedOutcome(read.failure);
      // Since 14.0 a Praefect writes the heartbeats of all virtual storages in one statement: that of one does not stop
      // alone. In 13.x each virtual storage has its own, which a lock on its rows blocks.
      const isKept = (virtualStorage: string): boolean =>
        !hasOneStatement && (configuredStorages?.has(virtualStorage) ?? true);
      // Dated at the response: the view may count as one round trip younger than it is, never as older, so that no
      // storage reads as unhealthy before Praefect's own view has it so.
      const readMonotonic = clock.monotonic();
      const view = healthOf(read.value.map(nodeStatusOf), readMonotonic, readMonotonic, isKept);
      options.onHealth(view);
      // Also where the one before was no longer valid: a refresh since then had no health.
      if (view.key !== key || readMonotonic - lastReadAt > healthMaxAgeMs(options.everyMs))
        options.healthWake.call();
      key = view.key;
      lastReadAt = readMonotonic;
      const databaseNow = columnNumber(read.value[0]?.['now']);
      if (databaseNow !== undefined) databaseClock.measured(databaseNow);
      const readAt = databaseNow === undefined ? clock.now() / 1000 : databaseClock.local(databaseNow);
      const snapshot = healthSnapshot(view, readAt);
      const block = healthBlock(snapshot);
      return read.value.length === 0
        ? failed('missing', noHeartbeats, block, snapshot)
        : { kind: 'data', block, snapshot };
    },
  };
}
