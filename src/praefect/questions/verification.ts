/**
 * How far Praefect's verifier has come: each replica is looked for on its disk once a week by default, and a
 * record whose replica is not there is deleted. Variant 14.10 and later.
 *
 * A pass over storage_repositories, the one heavy question here, so every 5 minutes. The partial indexes of the
 * verifier do not help: they hold no storage, so each entry would cost a look at its row.
 */
import { anyValue, gauge } from '../../metrics/metric.ts';
import { type Block, samplesOf } from '../../metrics/samples.ts';
import type { Budget } from '../../runtime/budget.ts';
import type { Collector } from '../../runtime/collector.ts';
import type { Row } from '../database.ts';
import type { HealthView } from '../health.ts';
import { askByVariant, failedBy, numberOf, type QuestionContext, textOf } from '../question.ts';
import { type ConfiguredStorages, type KnownStorages, knownStorages } from './known-storages.ts';

const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

const states = ['verified', 'unverified', 'overdue', 'leased_expired'] as const;

export const verificationReplicas = gauge('praefect_db_verification_replicas', {
  help: "Replicas by verification; each counts in one state, so they sum to all. leased_expired: being verified for longer than the lease allows, as when a Praefect died at it (released after another 30 s). unverified: never. overdue: longer ago than the verification interval (Praefect's background_verification.verification_interval, 7 days by default). verified: the rest. Absent before the schema variant 14.10; overdue also where verification is switched off.",
  origin: 'storage_repositories.verified_at, .verification_leased_until',
  labels: { ...perStorage, state: states },
});

export const verificationOldest = gauge('praefect_db_verification_oldest_timestamp_seconds', {
  help: "The verification that is longest ago, of the replicas that were ever verified, by the database's clock.",
  origin: 'storage_repositories.verified_at',
  unit: 'seconds',
  labels: perStorage,
});

export const verificationMetrics = [verificationReplicas, verificationOldest] as const;

/** @param overdueAfterSeconds a whole number; 0: nothing is ever overdue */
export const verificationSql = (overdueAfterSeconds: number): string => `
SELECT virtual_storage,
       storage,
       count(*)                                                            AS replicas,
       count(*) FILTER (WHERE expired)                                     AS leased_expired,
       count(*) FILTER (WHERE NOT expired AND verified_at IS NULL)         AS unverified,
       count(*) FILTER (WHERE NOT expired AND verified_at < overdue_before) AS overdue,
       extract(epoch FROM min(verified_at))::float8                        AS oldest
  FROM (SELECT virtual_storage,
               storage,
               verified_at,
               coalesce(verification_leased_until < now(), false)          AS expired,
               ${overdueAfterSeconds > 0 ? `now() - interval '${overdueAfterSeconds} seconds'` : 'NULL::timestamptz'} AS overdue_before
          FROM storage_repositories) AS replicas
 GROUP BY virtual_storage, storage
 ORDER BY virtual_storage, storage`;

/** @param known get a 0 where they hold no replica */
export function verificationBlock(
  rows: readonly Row[],
  known: KnownStorages,
  verificationOn: boolean,
): Block {
  const replicas = samplesOf(verificationReplicas);
  const oldest = samplesOf(verificationOldest);
  const without: readonly Row[] = known.places.filter(
    (place) =>
      !rows.some(
        (row) => row['virtual_storage'] === place.virtual_storage && row['storage'] === place.storage,
      ),
  );
  for (const row of [...rows, ...without]) {
    const place = { virtual_storage: textOf(row['virtual_storage']), storage: textOf(row['storage']) };
    const count = (column: string) => numberOf(row[column]) ?? 0;
    const rest = count('replicas') - count('leased_expired') - count('unverified') - count('overdue');
    replicas.set({ ...place, state: 'verified' }, rest);
    replicas.set({ ...place, state: 'unverified' }, count('unverified'));
    if (verificationOn) replicas.set({ ...place, state: 'overdue' }, count('overdue'));
    replicas.set({ ...place, state: 'leased_expired' }, count('leased_expired'));
    const first = numberOf(row['oldest']);
    if (first !== undefined) oldest.set(place, first);
  }
  return { families: [replicas.family(), oldest.family()] };
}

export interface VerificationCollectorOptions extends QuestionContext {
  readonly budget: Budget;
  readonly configuredStorages: ConfiguredStorages | undefined;
  readonly health: () => HealthView | undefined;
  /** Praefect's verification interval in whole seconds; 0 where verification is switched off. */
  readonly verificationIntervalSeconds: number;
}

export function createVerificationCollector(options: VerificationCollectorOptions): Collector {
  const { verificationIntervalSeconds: interval } = options;
  return {
    name: 'praefect_verification',
    title: 'Verification of replicas (storage_repositories)',
    metrics: verificationMetrics,
    schedule: {
      kind: 'interval',
      everyMs: 300_000,
      timeoutMs: 20_000,
      maxAgeMs: 1_800_000,
      budget: options.budget,
    },
    async collect({ signal }) {
      const asked = await askByVariant(
        options,
        { signal, statementTimeoutMs: 15_000, about: 'the verification of replicas' },
        (variant) => (variant.storageRepositories.verification ? verificationSql(interval) : undefined),
      );
      if (!asked.ok) return failedBy(asked.failure);
      if (asked.value === undefined)
        return { kind: 'empty', why: 'Praefect verifies replicas from the schema variant 14.10 on' };
      const known = knownStorages(options.configuredStorages, options.health());
      return { kind: 'data', block: verificationBlock(asked.value, known, interval > 0) };
    },
  };
}
