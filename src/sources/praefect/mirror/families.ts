/** From the mirror's answers to samples: pure, one line per metric. */
import type { Family } from '../../../metrics/samples.ts';
import { samplesOf } from '../../../metrics/samples.ts';
import * as metrics from './metrics.ts';
import type { FailoverTotal, MoveTotal } from './moves.ts';
import type { VirtualStorageReplicas } from './results.ts';

/** With more storages than this in a virtual storage, only pairs that were seen have a series of moves. */
const mostPairedStorages = 10;

export function familiesOf(
  answers: readonly VirtualStorageReplicas[],
  moves: readonly MoveTotal[],
  failovers: readonly FailoverTotal[],
): readonly Family[] {
  const repositories = samplesOf(metrics.repositories);
  const unavailable = samplesOf(metrics.repositoriesUnavailable);
  const lost = samplesOf(metrics.repositoriesLost);
  const readOnly = samplesOf(metrics.repositoriesReadOnly);
  const withoutPrimary = samplesOf(metrics.repositoriesWithoutPrimary);
  const byHealthyReplicas = samplesOf(metrics.repositoriesByHealthyReplicas);
  const replicas = samplesOf(metrics.replicas);
  const unscheduled = samplesOf(metrics.replicasOutdatedUnscheduled);
  const stuck = samplesOf(metrics.replicasStuck);
  const behindSince = samplesOf(metrics.replicaBehindSince);
  const atRisk = samplesOf(metrics.repositoriesAtRisk);
  const behindMax = samplesOf(metrics.replicaGenerationsBehindMax);
  const primaries = samplesOf(metrics.primaries);

  for (const answer of answers) {
    const of = { virtual_storage: answer.virtualStorage };
    repositories.set(of, answer.repositories);
    lost.set(of, answer.lost);
    withoutPrimary.set(of, answer.withoutPrimary);
    if (answer.unavailable !== undefined) unavailable.set(of, answer.unavailable);
    if (answer.readOnly !== undefined) readOnly.set(of, answer.readOnly);
    answer.byHealthyReplicas?.forEach((count, healthyReplicas) => {
      byHealthyReplicas.set({ ...of, replicas: String(healthyReplicas) }, count ?? 0);
    });
    for (const found of answer.storages) {
      const at = { ...of, storage: found.storage };
      for (const state of metrics.replicaStates) replicas.set({ ...at, state }, found[state]);
      primaries.set(at, found.primaries);
      behindMax.set(at, found.generationsBehindMax);
      if (found.unscheduled !== undefined) unscheduled.set(at, found.unscheduled);
      if (found.stuck !== undefined) stuck.set(at, found.stuck);
      if (found.behindSince !== undefined) behindSince.set(at, found.behindSince);
      if (found.atRisk !== undefined) atRisk.set(at, found.atRisk);
    }
  }
  return [
    ...[
      repositories,
      unavailable,
      lost,
      readOnly,
      withoutPrimary,
      byHealthyReplicas,
      replicas,
      unscheduled,
    ].map((each) => each.family()),
    ...[stuck, behindSince, atRisk, behindMax, primaries].map((each) => each.family()),
    ...moveFamilies(answers, moves, failovers),
  ];
}

/** Counters with a zero for every known pair and storage, so that the first move is a step that rate() sees. */
function moveFamilies(
  answers: readonly VirtualStorageReplicas[],
  moves: readonly MoveTotal[],
  failovers: readonly FailoverTotal[],
): readonly Family[] {
  const moved = samplesOf(metrics.primaryMoves);
  const failed = samplesOf(metrics.failovers);
  const last = samplesOf(metrics.lastFailover);
  const key = (...parts: readonly string[]): string => JSON.stringify(parts);

  const moveTotals = new Map(
    moves.map((move) => [key(move.virtualStorage, move.from, move.to, move.cause), move]),
  );
  const failoverTotals = new Map(failovers.map((each) => [key(each.virtualStorage, each.from), each]));
  for (const { virtualStorage, storages } of answers) {
    for (const { storage: from } of storages) {
      const failover = { virtualStorage, from, total: 0, last: undefined };
      if (!failoverTotals.has(key(virtualStorage, from)))
        failoverTotals.set(key(virtualStorage, from), failover);
      if (storages.length > mostPairedStorages) continue;
      for (const { storage: to } of storages) {
        for (const cause of metrics.moveCauses) {
          const pair = key(virtualStorage, from, to, cause);
          if (from !== to && !moveTotals.has(pair))
            moveTotals.set(pair, { virtualStorage, from, to, cause, total: 0 });
        }
      }
    }
  }
  for (const { virtualStorage, from, to, cause, total } of moveTotals.values()) {
    moved.set({ virtual_storage: virtualStorage, from_storage: from, to_storage: to, cause }, total);
  }
  for (const { virtualStorage, from, total, last: at } of failoverTotals.values()) {
    failed.set({ virtual_storage: virtualStorage, from_storage: from }, total);
    if (at !== undefined) last.set({ virtual_storage: virtualStorage, from_storage: from }, at);
  }
  return [moved.family(), failed.family(), last.family()];
}
