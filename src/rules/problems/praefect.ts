/** Problems of Gitaly Cluster, from the typed view of Praefect's database. Pure. */
import { counted, durationText } from '../../lib/format.ts';
import type { DatabaseView, HealthSnapshot, PraefectView } from '../../sources/praefect/view.ts';
import type { Thresholds } from '../thresholds.ts';
import { clockDifference, type Problem, problem } from './problem.ts';
import {
  hasLostQuorum,
  isHealthUnknown,
  newest,
  type PraefectSituation,
  queueProblems,
  stuckProblems,
} from './replication.ts';

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
        title: database.isRejected
          ? "Praefect's database rejects the exporter"
          : "Praefect's database is unreachable",
        detail: database.isRejected
          ? 'The server responds. Gitaly Cluster serves requests unless it rejects Praefect, too. The state of replicas and jobs is unknown.'
          : 'Gitaly Cluster serves no requests without it. The state of replicas and jobs is unknown.',
        action: database.isRejected
          ? 'See the failure of collector praefect_database; check that Praefect can connect (praefect sql-ping).'
          : 'See the failure of collector praefect_database; check PostgreSQL, the network and the pooler.',
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
          ? 'Connect Praefect to the primary server; if heartbeats are current, only the exporter is connected to the standby.'
          : 'Reset default_transaction_read_only.',
    }),
  );

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
    if ((each.lost ?? 0) > 0)
      found.push(
        problem('repositories_lost', {
          ...text,
          title: `${repositoriesText(each.lost ?? 0)} of ${name} without any replica`,
          detail: 'Praefect has no record of a replica: the verifier found none where they were recorded.',
          action: 'Restore them from a backup, or find them on disk and use praefect track-repository.',
        }),
      );
    return found;
  });
}
