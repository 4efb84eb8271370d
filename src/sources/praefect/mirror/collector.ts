/**
 * The collector of repositories, replicas, primaries and failovers: it keeps the mirror, looks within the
 * database's budget, and answers a change of health from memory at once.
 */

import type { Clock } from '../../../lib/clock.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector, Run } from '../../../scheduler/collector.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import { type Failure, failed, type Outcome } from '../../../scheduler/outcome.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import type { Database } from '../database.ts';
import type { HealthHistory, HealthView } from '../health.ts';
import type { ConfiguredStorageMap } from '../queries/known-storages.ts';
import { type SchemaVariant, variantOf, variantSql } from '../variant.ts';
import { familiesOf } from './families.ts';
import { mirrorMetrics } from './metrics.ts';
import { createMirror, type Mirror } from './mirror.ts';
import { createMoveBook, type FailoverTotal, type MoveTotal } from './moves.ts';
import { type Looked, lookAtTables, type Past, type Place, type ShardPrimary } from './refresh.ts';
import { answersOf, type VirtualStorageReplicas } from './results.ts';
import {
  applyConfiguration,
  applyDeletions,
  countScheduled,
  settleTouched,
  storagesOfLate,
} from './settle.ts';
import { createSlices } from './slices.ts';
import { type MirrorSchema, type Statements, statementsFor } from './statements.ts';
import type { Column } from './table.ts';
import {
  type StorageVerification,
  verificationFamilies,
  verificationMetrics,
  verificationOf,
} from './verification.ts';

export interface RepositoriesCollectorOptions {
  readonly database: Database;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly events: EventLog;
  /** The newest health as it was read; undefined while it is not known. */
  readonly health: () => HealthView | undefined;
  /** Resolves when health was asked for once, with or without success, or when the signal aborts. */
  readonly healthAsked: (signal: AbortSignal) => Promise<void>;
  readonly history: HealthHistory;
  /** Called when the set of healthy storages changed. */
  readonly wake: Wake;
  /** Virtual storage -> storages, of Praefect's configuration; undefined where it was not given. */
  readonly configured: ConfiguredStorageMap | undefined;
  readonly refreshIntervalMs: number;
  readonly maxStalenessMs: number;
  readonly statementTimeoutMs: number;
  readonly stuckThresholdMs: number;
  /** Praefect's background_verification.verification_interval; 0 where it is switched off. */
  readonly verificationIntervalSeconds: number;
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

/** What is kept between looks; another form of the schema starts anew. */
interface State {
  readonly fingerprint: string;
  readonly schema: MirrorSchema;
  readonly statements: Statements;
  readonly mirror: Mirror;
  past?: Past;
  /** Seconds since 1970. */
  lookedAt: number;
  deletions: readonly Place[];
  scheduled: ReadonlyMap<Column, number> | undefined;
  shardPrimaries: readonly ShardPrimary[];
  /** The database's clock minus ours, in seconds. */
  clockSkew: number;
}

/** A look has as long as its statements may take together; a load of a million repositories needs some seconds. */
const statementsPerLook = 4;

export function createRepositoriesCollector(
  options: RepositoriesCollectorOptions,
): Collector<RepositoriesSnapshot> {
  const { clock, database } = options;
  const slices = createSlices();
  const book = createMoveBook(options.history, options.events);
  let state: State | undefined;
  let configured: ConfiguredStorageMap | undefined;

  const seconds = (): number => Math.floor(clock.now() / 1000);

  async function collect({ cause, signal }: Run): Promise<Outcome<RepositoriesSnapshot>> {
    if (cause === 'woken' && state?.past !== undefined) return answer(state, state.lookedAt * 1000);
    await options.healthAsked(signal);
    const now = seconds();
    const limits = { signal, statementTimeoutMs: options.statementTimeoutMs };
    const asked = await database.transaction(limits, async (look) => {
      const variant = variantOf(await look.rows(variantSql));
      if ('reason' in variant) return variant;
      const current = stateFor(variant);
      return { current, looked: await lookAtTables(look, current, now, slices) };
    });
    if (!asked.ok) return failed(asked.failure.reason, asked.failure.message);
    if (isFailure(asked.value)) return failed(asked.value.reason, asked.value.message);
    const { current, looked } = asked.value;
    // So that the next look comes within the promise, however long the load was.
    if (looked.kind === 'load') options.budget.waiveBeyond(options.maxStalenessMs / 2);
    await settle(current, looked, now);
    return answer(current, undefined);
  }

  function stateFor(variant: SchemaVariant): State {
    if (state?.fingerprint === variant.fingerprint) return state;
    const schema = mirrorSchemaOf(variant);
    // Another key for the same rows (14.4 to 14.5) means another mirror; else what is known of lags stays.
    const kept = state?.schema.keyedBy === schema.keyedBy ? state.mirror : createMirror();
    state = {
      fingerprint: variant.fingerprint,
      schema,
      statements: statementsFor(schema),
      mirror: kept,
      lookedAt: 0,
      deletions: [],
      scheduled: undefined,
      shardPrimaries: [],
      clockSkew: 0,
    };
    return state;
  }

  /** Brings shapes, lags and counters up to date with the rows of a look. */
  async function settle(current: State, looked: Looked, now: number): Promise<void> {
    const { mirror } = current;
    // What was known stays: a moment without health takes no storage out of the configuration.
    configured = options.configured ?? storagesOfLate(options.health()) ?? configured;
    await applyConfiguration(mirror, configured, slices);
    applyDeletions(current.deletions, looked.deletions ?? []);
    current.deletions = looked.deletions ?? [];
    book.enter(await settleTouched(mirror, looked.kind, now, slices), current.lookedAt, now);
    book.enterShards(looked.shardPrimaries, looked.kind === 'changes', current.lookedAt, now, (name) => {
      return mirror.tables.get(mirror.names.of(name))?.slots.size() ?? 0;
    });
    current.scheduled = looked.repairs && countScheduled(looked.repairs);
    current.shardPrimaries = looked.shardPrimaries;
    if (current.past !== undefined && looked.kind === 'load') {
      options.events.add(
        'mirror_reloaded',
        "Praefect's tables were read anew: this is another server or database",
        {},
      );
    }
    current.clockSkew = looked.databaseNow - now;
    current.past = looked.past;
    current.lookedAt = now;
  }

  async function answer(current: State, readAt: number | undefined): Promise<Outcome<RepositoriesSnapshot>> {
    const virtualStorages = await answersOf(current.mirror, {
      schema: current.schema,
      now: seconds(),
      health: options.health(),
      history: options.history,
      stuckThresholdSeconds: options.stuckThresholdMs / 1000,
      shardPrimaries: new Map(current.shardPrimaries.map((shard) => [shard.virtualStorage, shard])),
      deletionsKnown: current.scheduled !== undefined,
      scheduled: current.scheduled && ((column) => current.scheduled?.get(column) ?? 0),
      slices,
    });
    const verification = current.schema.verification
      ? await verificationOf(
          current.mirror,
          seconds() + current.clockSkew,
          options.verificationIntervalSeconds,
          slices,
        )
      : undefined;
    const snapshot: RepositoriesSnapshot = {
      virtualStorages,
      primaryMoves: book.moves(),
      failovers: book.failovers(),
      verification,
    };
    const block = {
      families: [
        ...familiesOf(virtualStorages, snapshot.primaryMoves, snapshot.failovers),
        ...(verification === undefined ? [] : verificationFamilies(verification)),
      ],
    };
    return readAt === undefined
      ? { kind: 'data', block, snapshot }
      : { kind: 'data', block, snapshot, readAt };
  }

  return {
    name: 'praefect_repositories',
    title: "Repositories, replicas, primaries and verification, from a mirror of Praefect's large tables",
    metrics: [...mirrorMetrics, ...verificationMetrics],
    schedule: {
      kind: 'interval',
      everyMs: options.refreshIntervalMs,
      timeoutMs: options.statementTimeoutMs * statementsPerLook,
      maxAgeMs: options.maxStalenessMs,
      budget: options.budget,
      wake: options.wake,
    },
    collect,
  };
}

export function mirrorSchemaOf(variant: SchemaVariant): MirrorSchema {
  const rules = { none: 'none', by_path_highest: 'highest', by_id: 'exact' } as const;
  return {
    keyedBy: variant.validPrimaries === 'by_id' ? 'id' : 'path',
    primaryColumn: variant.repositories.primary,
    assignments: variant.assignments,
    validPrimaries: rules[variant.validPrimaries],
    shardPrimaries: variant.tables.has('shard_primaries'),
    verification: variant.storageRepositories.verification,
  };
}

const isFailure = (value: Failure | object): value is Failure => 'reason' in value;
