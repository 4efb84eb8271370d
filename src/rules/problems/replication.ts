/** Problems of replication, stuck replicas and jobs that wait or are stale, and whether the health of storages is known. */
import { counted, durationText } from '../../lib/format.ts';
import type { HealthSnapshot, PraefectView, TargetQueue } from '../../sources/praefect/view.ts';
import type { Thresholds } from '../thresholds.ts';
import type { ProblemHistory } from './history.ts';
import { type Problem, problem } from './problem.ts';

export interface PraefectSituation {
  readonly view: PraefectView;
  readonly history: ProblemHistory;
  readonly thresholds: Thresholds;
  /** Seconds since 1970, by the exporter's clock. */
  readonly now: number;
}

/** Too few live Praefects, or no heartbeats by which health could be known: as the alert has it. */
export function hasLostQuorum(health: HealthSnapshot, situation: PraefectSituation): boolean {
  const { praefects } = health;
  const alive = praefects.filter((each) => each.alive).length;
  const isMissing = praefects.length > 0 && alive / praefects.length < situation.thresholds.quorumRatio.value;
  return isMissing || isHealthUnknown(health, situation);
}

export function isHealthUnknown(
  { hasQuorum, heartbeatAt }: HealthSnapshot,
  { thresholds, now }: PraefectSituation,
): boolean {
  // Without a time, all of them are in the future.
  return !hasQuorum || heartbeatAt === undefined || now - heartbeatAt > thresholds.heartbeatStale.value;
}

/** The latest of the times that are known. */
export const newest = (times: readonly (number | undefined)[]): number | undefined =>
  times.reduce(
    (latest, time) => (latest === undefined || (time ?? latest) > latest ? time : latest),
    undefined,
  );

/** Undefined: node_status does not know the storage. */
const isHealthy = ({ health = [] }: PraefectView, virtualStorage: string, storage: string) =>
  health
    .find((each) => each.virtualStorage === virtualStorage)
    ?.storages.find((each) => each.storage === storage)?.healthy;

function isUntrusted(situation: PraefectSituation, virtualStorage: string): boolean {
  const health = situation.view.health?.find((each) => each.virtualStorage === virtualStorage);
  return health !== undefined && isHealthUnknown(health, situation);
}

export function stuckProblems(situation: PraefectSituation): Problem[] {
  return (situation.view.repositories?.virtualStorages ?? []).flatMap(({ virtualStorage, storages }) =>
    storages.flatMap(({ storage, stuck = 0, behindSince }): Problem[] => {
      if (stuck === 0 || isUntrusted(situation, virtualStorage)) return [];
      if (isHealthy(situation.view, virtualStorage, storage) === false) return [];
      return [
        problem('replicas_stuck', {
          of: JSON.stringify([virtualStorage, storage]),
          title: `${counted(stuck, 'replica', 'replicas')} on ${storage} of ${virtualStorage} stuck`,
          subject: `${storage} of ${virtualStorage}`,
          labels: { virtual_storage: virtualStorage, storage },
          detail:
            'Outdated for a long time without progress, although the storage is healthy: replication to it keeps failing.',
          action: `Read the log of the Gitaly of ${storage} for the failing replication; a lock file left in a repository is the usual cause.`,
          since: behindSince,
        }),
      ];
    }),
  );
}

export function queueProblems(situation: PraefectSituation): Problem[] {
  return (situation.view.queue?.targets ?? []).flatMap((target) => [
    ...stalledProblems(situation, target),
    ...staleJobProblems(target),
  ]);
}

/** A queue that drains has jobs in progress and jobs that leave: it is a backlog, not a stall. */
function stalledProblems(situation: PraefectSituation, target: TargetQueue): Problem[] {
  const { history, now, thresholds, view } = situation;
  const { virtualStorage, storage, oldest, stale } = target;
  // Failed jobs are retried like ready ones.
  const waiting = [oldest.get('ready'), oldest.get('failed')].flatMap((at) => at ?? []);
  if (waiting.length === 0 || (stale.storage_unknown ?? 0) > 0) return [];
  const oldestAt = Math.min(...waiting);
  if (now - oldestAt <= thresholds.replicationOldestJob.value || isUntrusted(situation, virtualStorage))
    return [];
  const idle = thresholds.replicationIdle.value;
  const inProgressAt = history.lastJobInProgress(virtualStorage, storage);
  const removedAt = history.lastJobRemoved();
  const isWorkedOn = inProgressAt !== undefined && now - inProgressAt < idle;
  const isDraining = removedAt === undefined || now - removedAt < idle;
  if (isWorkedOn && isDraining) return [];
  const healthy = isHealthy(view, virtualStorage, storage);
  const isDown = healthy === false;
  return [
    problem('replication_stalled', {
      of: JSON.stringify([virtualStorage, storage]),
      title: `Replication to ${storage} of ${virtualStorage} has stalled`,
      subject: `${storage} of ${virtualStorage}`,
      labels: { virtual_storage: virtualStorage, storage },
      detail: `The oldest job has waited for ${durationText((now - oldestAt) * 1000)} without progress. ${
        isDown
          ? `${storage} is unhealthy: nothing is replicated to it until it recovers.`
          : healthy === undefined
            ? 'No Praefect reports on that storage, so that its health is unknown.'
            : `${storage} is healthy, but its jobs are not processed.`
      }`,
      action: isDown
        ? `Restore ${storage} first.`
        : 'Check that the Praefects process the queue and that the storage accepts replication.',
      since: oldestAt,
    }),
  ];
}

const staleTexts = {
  lock_expired: 'The Praefect that took them terminated; another one releases them within 90 s, if any runs.',
  lock_missing: 'In progress without a lock: nothing releases them.',
  storage_unknown:
    'No Praefect contacts that storage: they stay until it is configured again or they are deleted.',
} as const;

function staleJobProblems({ virtualStorage, storage, stale }: TargetQueue): Problem[] {
  return (['storage_unknown', 'lock_expired', 'lock_missing'] as const).flatMap((reason): Problem[] => {
    const count = stale[reason] ?? 0;
    if (count === 0) return [];
    return [
      problem('jobs_stale', {
        of: JSON.stringify([virtualStorage, storage, reason]),
        title: `${counted(count, 'stale replication job', 'stale replication jobs')} to ${storage} of ${virtualStorage}`,
        subject: `${storage} of ${virtualStorage}`,
        labels: { virtual_storage: virtualStorage, storage, reason },
        detail: staleTexts[reason],
      }),
    ];
  });
}
