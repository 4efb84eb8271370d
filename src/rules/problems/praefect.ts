/** Problems of Gitaly Cluster, from the typed view of Praefect's database. Pure. */
import { durationText } from '../../lib/format.ts';
import type { DatabaseView, HealthSnapshot, PraefectView, TargetQueue } from '../../sources/praefect/view.ts';
import type { Thresholds } from '../thresholds.ts';
import type { ProblemHistory } from './history.ts';
import { clockDifference, counted, type Problem, problem } from './problem.ts';

export interface PraefectSituation {
  readonly view: PraefectView;
  readonly history: ProblemHistory;
  readonly thresholds: Thresholds;
  /** Seconds since 1970, by the exporter's clock. */
  readonly now: number;
}

export function praefectProblems(situation: PraefectSituation): readonly Problem[] {
  return [
    ...databaseProblems(situation),
    ...quorumProblems(situation),
    ...storageProblems(situation),
    ...silentPraefectProblems(situation.view),
    ...repositoryProblems(situation),
    ...stuckProblems(situation),
    ...queueProblems(situation),
  ];
}

function databaseProblems({ view: { database }, thresholds }: PraefectSituation): Problem[] {
  if (database === undefined) return [];
  if (!database.up)
    return [
      problem('database_unreachable', {
        title: "Praefect's database is unreachable",
        detail: 'Gitaly Cluster serves no requests without it. The state of replicas and jobs is unknown.',
        action:
          'See the failure of collector praefect_database; check PostgreSQL, the network and the pooler.',
      }),
    ];
  return [...clockProblems(database, thresholds), ...readOnlyProblems(database)];
}

function clockProblems({ clockSkewSeconds = 0 }: DatabaseView, { clockSkew }: Thresholds): Problem[] {
  if (Math.abs(clockSkewSeconds) <= clockSkew.value) return [];
  return [
    problem('database_clock_skew', {
      title: `The clock of Praefect's database is ${clockDifference(clockSkewSeconds)} the exporter's`,
      detail:
        'Its times are corrected by the difference. If the clock was set while Praefect runs, heartbeats are too old or in the future, and storages unhealthy to Praefect, until it has written new ones.',
      action:
        'Compare both with the real time (`SELECT now()`; `date -u`), and correct NTP where the clock is wrong.',
    }),
  ];
}

const readOnlyProblems = ({ readOnlyReasons = [] }: DatabaseView): Problem[] =>
  readOnlyReasons.map((reason) =>
    problem('database_read_only', {
      of: reason,
      title: "Praefect's database is read-only",
      labels: { reason },
      detail: `${reason === 'recovery' ? 'The server is a standby (in recovery)' : 'default_transaction_read_only is on'}: writes and heartbeats fail, reads still work.`,
      action:
        reason === 'recovery'
          ? 'Connect Praefect to the primary server.'
          : 'Reset default_transaction_read_only.',
    }),
  );

/** Too few live Praefects, or no heartbeats by which health could be known: as the alert has it. */
function hasLostQuorum(health: HealthSnapshot, situation: PraefectSituation): boolean {
  const { praefects } = health;
  const alive = praefects.filter((each) => each.alive).length;
  const isMissing = praefects.length > 0 && alive / praefects.length < situation.thresholds.quorumRatio.value;
  return isMissing || isHealthUnknown(health, situation);
}

function isHealthUnknown(
  { hasQuorum, heartbeatAt }: HealthSnapshot,
  { thresholds, now }: PraefectSituation,
): boolean {
  // Without a time, all of them are in the future.
  return !hasQuorum || heartbeatAt === undefined || now - heartbeatAt > thresholds.heartbeatStale.value;
}

/** One problem for all virtual storages: they share their Praefects. */
function quorumProblems(situation: PraefectSituation): Problem[] {
  const lost = (situation.view.health ?? []).filter((health) => hasLostQuorum(health, situation));
  if (lost.length === 0) return [];
  return [
    problem('quorum_lost', {
      title: `Praefect quorum lost for ${lost.map(({ virtualStorage }) => virtualStorage).join(', ')}`,
      detail: `Fewer than half of the Praefects write heartbeats: every storage appears unhealthy, and health and unavailable repositories are not valid. ${silentText(lost)}`,
      action: 'Check that the Praefects run and can write to their database.',
      since: newest(lost.map(({ heartbeatAt }) => heartbeatAt)),
    }),
  ];
}

/** The latest of the times that are known. */
const newest = (times: readonly (number | undefined)[]): number | undefined =>
  times.reduce(
    (latest, time) => (latest === undefined || (time ?? latest) > latest ? time : latest),
    undefined,
  );

function silentText(lost: readonly HealthSnapshot[]): string {
  const silent = new Set(
    lost.flatMap(({ praefects }) => praefects.filter(({ alive }) => !alive).map(({ praefect }) => praefect)),
  );
  return silent.size === 0 ? '' : `No contact for over a minute: ${[...silent].join(', ')}.`;
}

function storageProblems(situation: PraefectSituation): Problem[] {
  return (situation.view.health ?? []).flatMap((health) => {
    if (isHealthUnknown(health, situation)) return [];
    const { virtualStorage } = health;
    return health.storages.flatMap(({ storage, healthy, contacted, seenHealthyBy }): Problem[] => {
      if (!healthy) return contacted ? [unhealthyProblem(situation, virtualStorage, storage)] : [];
      return [...seenHealthyBy]
        .filter(([, isSeen]) => !isSeen)
        .map(([praefect]) =>
          problem('storage_unreachable_from_praefect', {
            of: JSON.stringify([praefect, virtualStorage, storage]),
            title: `${praefect} cannot reach storage ${storage} of ${virtualStorage}`,
            subject: `${storage} of ${virtualStorage}`,
            labels: { praefect, virtual_storage: virtualStorage, storage },
            detail:
              'The other Praefects reach it, so it counts as healthy. Writes through this Praefect to repositories with their primary there fail.',
            action: `Check the network between ${praefect} and ${storage}.`,
          }),
        );
    });
  });
}

function unhealthyProblem(
  { history, thresholds }: PraefectSituation,
  virtualStorage: string,
  storage: string,
): Problem {
  const moved = history.movedOff(virtualStorage, storage);
  const minutes = durationText(thresholds.failoverWindow.value * 1000);
  return problem('storage_unhealthy', {
    of: JSON.stringify([virtualStorage, storage]),
    title: `Praefect storage ${storage} of ${virtualStorage} is unhealthy`,
    subject: `${storage} of ${virtualStorage}`,
    labels: { virtual_storage: virtualStorage, storage },
    detail: `Fewer than half of the Praefects reached it within 10 s.${
      moved === 0
        ? ''
        : ` ${counted(moved, 'repository', 'repositories')} got a new primary within ${minutes}; replicas on ${storage} become outdated with every write.`
    }`,
    action: `Check the Gitaly of ${storage}, and the network between it and Praefect.`,
  });
}

/** One problem for each Praefect, whatever the number of virtual storages. */
function silentPraefectProblems({ health = [] }: PraefectView): Problem[] {
  const silent = health.flatMap(({ virtualStorage, praefects }) =>
    praefects.filter(({ alive }) => !alive).map((praefect) => ({ ...praefect, virtualStorage })),
  );
  return [...Map.groupBy(silent, ({ praefect }) => praefect)].map(([praefect, rows]) =>
    problem('praefect_not_reporting', {
      of: praefect,
      title: `${praefect} has not contacted any storage for over a minute`,
      subject: praefect,
      labels: { praefect },
      detail: `It does not count for the quorum of ${rows.map(({ virtualStorage }) => virtualStorage).join(', ')}. The rows of a Praefect that was removed for good are ignored after a day.`,
      action: `Check that ${praefect} runs and can write to its database.`,
      since: newest(rows.map(({ lastContactAt }) => lastContactAt)),
    }),
  );
}

function repositoryProblems(situation: PraefectSituation): Problem[] {
  const { health = [], repositories } = situation.view;
  return (repositories?.virtualStorages ?? []).flatMap((each): Problem[] => {
    const { virtualStorage: name } = each;
    const own = health.find(({ virtualStorage }) => virtualStorage === name);
    if (own !== undefined && hasLostQuorum(own, situation)) return [];
    const text = { of: name, subject: name, labels: { virtual_storage: name } };
    const repositoriesText = (count: number) => counted(count, 'repository', 'repositories');
    const found: Problem[] = [];
    if ((each.unavailable ?? 0) > 0)
      found.push(
        problem('repositories_unavailable', {
          ...text,
          title: `${repositoriesText(each.unavailable ?? 0)} of ${name} unavailable`,
          detail: 'No up-to-date replica is on a healthy storage: reads and writes fail.',
          action:
            'Restore the storage that has the latest replicas. Only if it is lost: praefect dataloss, then accept-dataloss.',
        }),
      );
    if ((each.readOnly ?? 0) > 0)
      found.push(
        problem('repositories_read_only', {
          ...text,
          title: `${repositoriesText(each.readOnly ?? 0)} of ${name} read-only`,
          detail: 'After a failover the primary lacks their last writes, or there is no primary.',
          action: 'Restore the previous primary, or use praefect dataloss and accept-dataloss.',
        }),
      );
    if (each.lost > 0)
      found.push(
        problem('repositories_lost', {
          ...text,
          title: `${repositoriesText(each.lost)} of ${name} without any replica`,
          detail: 'Praefect has no record of a replica: the verifier found none where they were recorded.',
          action: 'Restore them from a backup, or find them on disk and use praefect track-repository.',
        }),
      );
    return found;
  });
}

/** Undefined: node_status does not know the storage. */
const isHealthy = ({ health = [] }: PraefectView, virtualStorage: string, storage: string) =>
  health
    .find((each) => each.virtualStorage === virtualStorage)
    ?.storages.find((each) => each.storage === storage)?.healthy;

function isUntrusted(situation: PraefectSituation, virtualStorage: string): boolean {
  const health = situation.view.health?.find((each) => each.virtualStorage === virtualStorage);
  return health !== undefined && isHealthUnknown(health, situation);
}

function stuckProblems(situation: PraefectSituation): Problem[] {
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

function queueProblems(situation: PraefectSituation): Problem[] {
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
  const isDown = isHealthy(view, virtualStorage, storage) === false;
  return [
    problem('replication_stalled', {
      of: JSON.stringify([virtualStorage, storage]),
      title: `Replication to ${storage} of ${virtualStorage} has stalled`,
      subject: `${storage} of ${virtualStorage}`,
      labels: { virtual_storage: virtualStorage, storage },
      detail: `The oldest job has waited for ${durationText((now - oldestAt) * 1000)} without progress. ${
        isDown
          ? `${storage} is unhealthy: nothing is replicated to it until it recovers.`
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
