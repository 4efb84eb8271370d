/**
 * The progress of Praefect's background verification, which checks for each replica on disk once a week by default and
 * deletes the record of a replica that does not exist. GitLab 14.10 and later.
 *
 * In SQL this is a pass over storage_repositories with a conversion per row, 1.6 s at a million repositories; the mirror
 * reads those rows anyway when they change.
 */
import type { Yielder } from '../../../lib/yielder.ts';
import { anyValue, gauge } from '../../../metrics/metric.ts';
import { createSamples, type Family } from '../../../metrics/samples.ts';
import { futureToleranceSeconds } from '../sql.ts';
import type { Mirror } from './mirror.ts';

const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

export const verificationStates = ['verified', 'unverified', 'overdue', 'lease_expired'] as const;

export const verificationReplicas = gauge('praefect_db_verification_replicas', {
  help: 'Replicas on the storage by the state of their background verification.',
  details:
    "Each replica counts in one state. lease_expired: its verification exceeded the lease, for example because the Praefect that verified it stopped (another one releases it after 30 s), or the lease ends minutes from now. unverified: never verified, or at a time in the future, from before the clock was set back. overdue: verified longer ago than the verification interval (Praefect's background_verification.verification_interval, 7 days by default). verified: all others. Absent before GitLab 14.10; overdue is also absent where verification is switched off, and everything for a storage that was removed from Praefect's configuration.",
  origin: 'storage_repositories.verified_at, .verification_leased_until',
  labels: { ...perStorage, state: verificationStates },
});

export const verificationOldest = gauge('praefect_db_verification_oldest_timestamp_seconds', {
  help: "Time of the oldest verification among the verified replicas on the storage, by the database's clock.",
  details: 'Absent when no replica was ever verified, and where verification is switched off.',
  origin: 'storage_repositories.verified_at',
  labels: perStorage,
});

export const verificationMetrics = [verificationReplicas, verificationOldest] as const;

/** The verification of the replicas on one storage. */
export interface StorageVerification {
  readonly virtualStorage: string;
  readonly storage: string;
  /** `overdue` is undefined where verification is switched off. */
  readonly replicas: Readonly<Record<(typeof verificationStates)[number], number | undefined>>;
  /** Seconds since 1970. Undefined where verification is switched off: it would grow old without a fault. */
  readonly oldest: number | undefined;
}

/** Praefect takes a lease for 30 s: a longer one was taken before the clock was set back, and releases nothing. */
const maxLeaseSeconds = 120;

/**
 * @param now by the database's clock, seconds since 1970
 * @param intervalSeconds 0 where verification is switched off
 */
export async function summarizeVerification(
  mirror: Mirror,
  now: number,
  intervalSeconds: number,
  yielder: Yielder,
): Promise<readonly StorageVerification[]> {
  const summaries: StorageVerification[] = [];
  for (const table of mirror.tables.values()) {
    for (const column of table.columns) {
      // Praefect verifies only what it contacts: the records of a storage that was removed are never verified again.
      if (!column.configured) continue;
      const replicas = { verified: 0, unverified: 0, overdue: 0, lease_expired: 0 };
      const isExpired = (until: number) => until < now || until > now + maxLeaseSeconds;
      const expired = new Set(
        [...column.leasedUntil].filter(([, until]) => isExpired(until)).map(([row]) => row),
      );
      const overdueBefore = intervalSeconds > 0 ? now - intervalSeconds : 0;
      let oldest = Number.POSITIVE_INFINITY;
      for (let row = 0; row < table.keys.limit(); row++) {
        if ((row & 8191) === 0) await yielder.yieldIfDue();
        if ((column.generations[row] ?? -1) < 0) continue;
        const time = column.verifiedAt[row] ?? 0;
        // A time in the future, from before the clock was set back, is no verification that is known.
        const at = time > now + futureToleranceSeconds ? 0 : time;
        if (at > 0 && at < oldest) oldest = at;
        if (expired.size > 0 && expired.has(row)) replicas.lease_expired++;
        else if (at === 0) replicas.unverified++;
        else if (at < overdueBefore) replicas.overdue++;
        else replicas.verified++;
      }
      if (Object.values(replicas).every((count) => count === 0)) continue;
      summaries.push({
        virtualStorage: mirror.names.nameOf(table.virtualStorage),
        storage: mirror.names.nameOf(column.storage),
        replicas: intervalSeconds > 0 ? replicas : { ...replicas, overdue: undefined },
        oldest: intervalSeconds > 0 && Number.isFinite(oldest) ? oldest : undefined,
      });
    }
  }
  return summaries;
}

export function verificationFamilies(summaries: readonly StorageVerification[]): readonly Family[] {
  const samples = createSamples(verificationMetrics);
  for (const { virtualStorage: virtual_storage, storage, replicas, oldest } of summaries) {
    for (const state of verificationStates)
      samples.set(verificationReplicas, { virtual_storage, storage, state }, replicas[state]);
    samples.set(verificationOldest, { virtual_storage, storage }, oldest);
  }
  return samples.families();
}
