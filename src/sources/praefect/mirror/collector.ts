/**
 * The collector of repositories, replicas, primaries and verification: it refreshes the mirror within the database's
 * time budget, and updates the values from memory when the health of a storage changes.
 */

import type { steadySeconds } from '../../../lib/clock.ts';
import { createYielder } from '../../../lib/yielder.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector, Run } from '../../../scheduler/collector.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import { failed, type Outcome } from '../../../scheduler/outcome.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import { collectorNames } from '../collector-names.ts';
import { type Database, type QueryOptions, UnacceptableRows } from '../database.ts';
import type { HealthView } from '../health.ts';
import type { HealthHistory } from '../health-history.ts';
import type { ConfiguredStorageMap } from '../queries/known-storages.ts';
import { databaseFailureReasons, failedOutcome, isFailure } from '../query.ts';
import { variantSql } from '../relations.ts';
import { variantOf } from '../variant.ts';
import { mirrorMetrics, primaryMoveFamilies, replicaFamilies } from './metrics.ts';
import { createPrimaryMoveCounter, type FailoverTotal, type MoveTotal } from './primary-moves.ts';
import {
  applyConfiguration,
  applyDeleteJobs,
  countScheduledReplicas,
  recomputeDirtyRows,
  storagesInHealth,
} from './recompute.ts';
import { type RefreshResult, refreshMirror } from './refresh.ts';
import { type MirrorState, mirrorStateOf } from './state.ts';
import { summarizeMirror, type VirtualStorageReplicas } from './summary.ts';
import {
  type StorageVerification,
  summarizeVerification,
  verificationFamilies,
  verificationMetrics,
} from './verification.ts';
import { isUnwritten, type WriteCounters, writeCountersOf, writeCountersSql } from './write-counters.ts';

export interface RepositoriesCollectorOptions {
  readonly database: Database;
  readonly budget: Budget;
  readonly events: EventLog;
  /** The newest health; undefined while it is unknown. */
  readonly health: () => HealthView | undefined;
  /** Resolves when the first read of node_status ended, successfully or not, or when the signal aborts. */
  readonly firstHealthRead: (signal: AbortSignal) => Promise<void>;
  readonly history: HealthHistory;
  /** The clock of `history`. */
  readonly steady: ReturnType<typeof steadySeconds>;
  /** Called when the set of healthy storages changed. */
  readonly wake: Wake;
  /** Virtual storage -> storages, of Praefect's configuration; undefined where it was not given. */
  readonly configured: ConfiguredStorageMap | undefined;
  /** default_replication_factor by virtual storage, where it is set. */
  readonly replicationFactors?: ReadonlyMap<string, number> | undefined;
  readonly refreshIntervalMs: number;
  readonly maxStalenessMs: number;
  readonly statementTimeoutMs: number;
  readonly stuckThresholdMs: number;
  /** Praefect's background_verification.verification_interval; 0 where it is switched off. */
  readonly verificationIntervalSeconds: number;
  /** A refresh that takes the database longer than this is left out while no write is counted. */
  readonly costlyRefreshMs: number;
}

/** What the mirror shows at one moment; the samples are made from it. */
export interface RepositoriesSnapshot {
  readonly virtualStorages: readonly VirtualStorageReplicas[];
  /** Since the exporter started; only pairs of storages between which some primary moved. */
  readonly primaryMoves: readonly MoveTotal[];
  /** Since the exporter started; only storages with a failover. */
  readonly failovers: readonly FailoverTotal[];
  /** Undefined before GitLab 14.10, which does not verify replicas. */
  readonly verification: readonly StorageVerification[] | undefined;
}

/** A refresh may take this many statement timeouts; a load of a million repositories needs some seconds. */
const statementsPerRefresh = 4;

/** The sums of keys cost as much as the counts of rows, which find every deletion by themselves. */
const secondsBetweenSums = 600;

export function createRepositoriesCollector(
  options: RepositoriesCollectorOptions,
): Collector<RepositoriesSnapshot> {
  const { database, steady } = options;
  const yielder = createYielder();
  const primaryMoves = createPrimaryMoveCounter(options.history, options.events);
  let state: MirrorState | undefined;
  let configured: ConfiguredStorageMap | undefined;

  const seconds = (): number => steady.now();

  async function collect(run: Run): Promise<Outcome<RepositoriesSnapshot>> {
    try {
      return await refresh(run);
    } catch (error) {
      if (!(error instanceof UnacceptableRows)) throw error;
      state = undefined;
      return failed(error.reason, error.message);
    }
  }

  async function refresh({ cause, signal }: Run): Promise<Outcome<RepositoriesSnapshot>> {
    if (cause === 'woken' && state?.point !== undefined) return outcomeOf(state);
    await options.firstHealthRead(signal);
    const limits = { signal, statementTimeoutMs: options.statementTimeoutMs };
    // Before the snapshot of the refresh: a write between the two is counted later, and costs one more refresh.
    const counters = await readWriteCounters(limits);
    const mayRely = state !== undefined && mayRelyOnCounters(state);
    if (mayRely && counters && state?.writeCounters && isUnwritten(state.writeCounters, counters))
      return outcomeOf(state);
    const now = seconds();
    const read = await database.transaction(limits, async (transaction) => {
      const variant = variantOf(await transaction.rows(variantSql));
      if (isFailure(variant)) return variant;
      const current = mirrorStateOf(variant, state);
      state = current;
      const { deletionTally: deletions } = current;
      deletions.setCounters(counters);
      const verifySums = now - current.verifiedAt >= secondsBetweenSums;
      // Where the key is the path, an update may replace a row by another one without a deletion.
      const mayOmitCounts = mayRely && !verifySums && current.schema.keyedBy === 'id';
      return {
        current,
        verifySums,
        result: await refreshMirror(transaction, current, {
          now,
          verifySums,
          deletions,
          mayOmitCounts,
          yielder,
        }),
      };
    });
    if (!read.ok) {
      // Rows without end may have filled the mirror: it is loaded again.
      if (read.failure.reason === 'too_large' || read.failure.reason === 'parse') state = undefined;
      return failedOutcome(read.failure);
    }
    if (isFailure(read.value)) return failed(read.value.reason, read.value.message);
    const { current, result, verifySums } = read.value;
    current.writeCounters = counters;
    current.refreshMs = read.elapsedMs;
    if (verifySums) current.verifiedAt = now;
    // So that the next refresh comes within the maximum age, however long the load took.
    if (result.kind === 'load') options.budget.waiveBeyond(options.maxStalenessMs / 2);
    await applyResult(current, result, now);
    return outcomeOf(current, result.complete);
  }

  /** Undefined before the first refresh, and where they cannot be read: a refresh then finds the reason. */
  async function readWriteCounters(limits: QueryOptions): Promise<WriteCounters | undefined> {
    if (state === undefined || state.refreshMs < options.costlyRefreshMs) return undefined;
    const read = await database.query(writeCountersSql(state.schema), {
      ...limits,
      purpose: 'write counters',
    });
    return read.ok ? writeCountersOf(read.value) : undefined;
  }

  /** Half of the maximum age: what is exported is still within it when the next refresh ends. */
  const mayRelyOnCounters = (current: MirrorState): boolean =>
    seconds() - current.completeAt < options.maxStalenessMs / 2000;

  /** Updates layouts, lags and counters with the rows of a refresh. */
  async function applyResult(current: MirrorState, result: RefreshResult, now: number): Promise<void> {
    const { mirror } = current;
    const countMoves = result.kind === 'changes';
    const times = { previous: current.refreshedAt, now };
    // The last known storages are kept: a moment without health removes no storage from the configuration.
    configured = options.configured ?? storagesInHealth(options.health()) ?? configured;
    await applyConfiguration(mirror, configured, yielder);
    applyDeleteJobs(current.deletions, result.deletions ?? []);
    current.deletions = result.deletions ?? [];
    primaryMoves.record(await recomputeDirtyRows(mirror, countMoves, now, yielder), times);
    primaryMoves.recordElections(result.shardPrimaries, times, countMoves, (virtualStorage) => {
      return mirror.tables.get(mirror.names.idOf(virtualStorage))?.keys.size() ?? 0;
    });
    current.scheduled = result.repairs && countScheduledReplicas(result.repairs);
    current.shardPrimaries = result.shardPrimaries;
    if (current.point !== undefined && result.kind === 'load') {
      options.events.add(
        'mirror_reloaded',
        "Praefect's tables were reloaded: the connection leads to another server or database",
        {},
      );
    }
    current.clockSkew = result.databaseNow - now;
    current.point = result.point;
    current.refreshedAt = now;
    if (result.complete) current.completeAt = now;
  }

  /** @param complete the values are of this moment, and not of the last complete refresh */
  async function outcomeOf(current: MirrorState, complete = false): Promise<Outcome<RepositoriesSnapshot>> {
    const summaries = await summarizeMirror(current.mirror, {
      schema: current.schema,
      now: seconds(),
      health: options.health(),
      configured,
      history: options.history,
      stuckThresholdSeconds: options.stuckThresholdMs / 1000,
      shardPrimaries: new Map(current.shardPrimaries.map((shard) => [shard.virtualStorage, shard])),
      deleteJobsKnown: current.scheduled !== undefined,
      scheduled: current.scheduled,
      yielder,
    });
    const verification = current.schema.verification
      ? await summarizeVerification(
          current.mirror,
          seconds() + current.clockSkew,
          options.verificationIntervalSeconds,
          yielder,
        )
      : undefined;
    const atWall = (time: number | undefined) => (time === undefined ? undefined : steady.wallOf(time));
    const virtualStorages = summaries.map((each) => ({
      ...each,
      storages: each.storages.map((on) => ({ ...on, behindSince: atWall(on.behindSince) })),
    }));
    const snapshot: RepositoriesSnapshot = {
      virtualStorages,
      primaryMoves: primaryMoves.moves(),
      failovers: primaryMoves.failovers().map((each) => ({ ...each, last: atWall(each.last) })),
      verification,
    };
    const block = {
      families: [
        ...replicaFamilies(virtualStorages, options.replicationFactors ?? new Map()),
        ...primaryMoveFamilies(virtualStorages, snapshot.primaryMoves, snapshot.failovers),
        ...(verification === undefined ? [] : verificationFamilies(verification)),
      ],
    };
    return complete
      ? { kind: 'data', block, snapshot }
      : { kind: 'data', block, snapshot, readAt: steady.wallOf(current.completeAt) * 1000 };
  }

  return {
    name: collectorNames.repositories,
    title: "Repositories, replicas, primaries and verification, from a mirror of Praefect's large tables",
    metrics: [...mirrorMetrics, ...verificationMetrics],
    failureReasons: databaseFailureReasons,
    schedule: {
      kind: 'interval',
      everyMs: options.refreshIntervalMs,
      timeoutMs: options.statementTimeoutMs * statementsPerRefresh,
      maxAgeMs: options.maxStalenessMs,
      budget: options.budget,
      wake: options.wake,
    },
    collect,
  };
}
