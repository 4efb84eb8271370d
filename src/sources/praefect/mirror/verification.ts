/**
 * How far Praefect's verifier has come: each replica is looked for on its disk once a week by default, and a record
 * whose replica is not there is deleted. GitLab 14.10 and later.
 *
 * Asked in SQL this is a pass over storage_repositories with a conversion per row, 1.6 s at a million repositories;
 * the mirror reads those rows anyway when they change.
 */
import { anyValue, gauge } from '../../../metrics/metric.ts';
import { type Family, samplesOf } from '../../../metrics/samples.ts';
import type { Mirror } from './mirror.ts';
import type { Slices } from './slices.ts';

const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

export const verificationStates = ['verified', 'unverified', 'overdue', 'lease_expired'] as const;

export const verificationReplicas = gauge('praefect_db_verification_replicas', {
  help: "Replicas by verification; each counts in one state, so they sum to all. lease_expired: being verified for longer than the lease allows, as when a Praefect died at it (released after another 30 s). unverified: never. overdue: longer ago than the verification interval (Praefect's background_verification.verification_interval, 7 days by default). verified: the rest. Absent before GitLab 14.10; overdue also where verification is switched off.",
  origin: 'storage_repositories.verified_at, .verification_leased_until',
  labels: { ...perStorage, state: verificationStates },
});

export const verificationOldest = gauge('praefect_db_verification_oldest_timestamp_seconds', {
  help: "The verification that is longest ago, of the replicas that were ever verified, by the database's clock. Absent when none was.",
  origin: 'storage_repositories.verified_at',
  unit: 'seconds',
  labels: perStorage,
});

export const verificationMetrics = [verificationReplicas, verificationOldest] as const;

/** The verification of the replicas on one storage. */
export interface StorageVerification {
  readonly virtualStorage: string;
  readonly storage: string;
  /** `overdue` is undefined where verification is switched off. */
  readonly replicas: Readonly<Record<(typeof verificationStates)[number], number | undefined>>;
  /** Seconds since 1970. */
  readonly oldest: number | undefined;
}

/** @param now by the database's clock, seconds since 1970  @param intervalSeconds 0: nothing is ever overdue */
export async function verificationOf(
  mirror: Mirror,
  now: number,
  intervalSeconds: number,
  slices: Slices,
): Promise<readonly StorageVerification[]> {
  const answers: StorageVerification[] = [];
  for (const table of mirror.tables.values()) {
    for (const column of table.columns) {
      const replicas = { verified: 0, unverified: 0, overdue: 0, lease_expired: 0 };
      const expired = new Set(
        [...column.leasedUntil].filter(([, until]) => until < now).map(([slot]) => slot),
      );
      const overdueBefore = intervalSeconds > 0 ? now - intervalSeconds : 0;
      let oldest = Number.POSITIVE_INFINITY;
      for (let slot = 0; slot < table.slots.limit(); slot++) {
        if ((slot & 8191) === 0) await slices.pause();
        if ((column.generations[slot] ?? -1) < 0) continue;
        const at = column.verifiedAt[slot] ?? 0;
        if (at > 0 && at < oldest) oldest = at;
        if (expired.size > 0 && expired.has(slot)) replicas.lease_expired++;
        else if (at === 0) replicas.unverified++;
        else if (at < overdueBefore) replicas.overdue++;
        else replicas.verified++;
      }
      answers.push({
        virtualStorage: mirror.names.text(table.virtualStorage),
        storage: mirror.names.text(column.storage),
        replicas: intervalSeconds > 0 ? replicas : { ...replicas, overdue: undefined },
        oldest: Number.isFinite(oldest) ? oldest : undefined,
      });
    }
  }
  return answers.filter(({ replicas }) =>
    Object.values(replicas).some((count) => count !== undefined && count > 0),
  );
}

export function verificationFamilies(answers: readonly StorageVerification[]): readonly Family[] {
  const replicas = samplesOf(verificationReplicas);
  const oldest = samplesOf(verificationOldest);
  for (const answer of answers) {
    const place = { virtual_storage: answer.virtualStorage, storage: answer.storage };
    for (const state of verificationStates) {
      const count = answer.replicas[state];
      if (count !== undefined) replicas.set({ ...place, state }, count);
    }
    if (answer.oldest !== undefined) oldest.set(place, answer.oldest);
  }
  return [replicas.family(), oldest.family()];
}
