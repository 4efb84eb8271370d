/**
 * Alerts on Praefect's database: what it says of the cluster, and that it says anything. Each condition is read
 * from top to bottom as it is judged; what each means and what to do is in runbooks/.
 */
import { onReplicationBoard } from '../dashboards/panels.ts';
import {
  lastFailover,
  primaryMoves,
  replicaBehindSince,
  replicas,
  replicasStuck,
  repositories,
  repositoriesReadOnly,
  repositoriesUnavailable,
} from '../src/praefect/mirror/metrics.ts';
import { readOnly, up } from '../src/praefect/questions/database.ts';
import { heartbeatTimestamp, praefectAlive, storageHealthy } from '../src/praefect/questions/health.ts';
import { jobsRemoved, oldestJob, replicationJobs, staleJobs } from '../src/praefect/questions/queue.ts';
import {
  above,
  absentOverTime,
  and,
  below,
  countBy,
  divide,
  equals,
  increase,
  labelled,
  maxBy,
  maxOverTime,
  minBy,
  minOverTime,
  oneOf,
  or,
  relabelled,
  select,
  subtract,
  sumBy,
  time,
  unless,
} from '../src/promql/index.ts';
import {
  type Alert,
  type AlertGroup,
  alert,
  clusterLabels,
  gaugeWindow,
  type Inhibition,
  sustained,
} from './alert.ts';
import {
  healthUnknown,
  highest,
  lowest,
  quorumLost,
  storageLabels,
  virtualStorageLabels,
} from './conditions.ts';
import { duration, spoken } from './durations.ts';
import type { Thresholds } from './thresholds.ts';

export function praefectAlerts(thresholds: Thresholds): AlertGroup {
  return {
    name: 'praefect',
    file: 'praefect',
    alerts: [
      databaseUnreachable(thresholds),
      quorumOfPraefectsLost(thresholds),
      repositoriesCutOff(thresholds),
      replicationStalled(thresholds),
      replicaStuck(thresholds),
      failover(thresholds),
      failoverOfMany(thresholds),
    ],
    inhibitions,
  };
}

const inhibitions: readonly Inhibition[] = [
  {
    why: 'Nothing else is known of the cluster while its database does not answer.',
    source: { names: ['PraefectDatabaseUnreachable'] },
    target: {
      names: [
        'PraefectQuorumLost',
        'PraefectRepositoriesUnavailable',
        'PraefectReplicationStalled',
        'PraefectReplicaStuck',
        'PraefectFailover',
        'GitalyExporterCollectorFailing',
        'GitalyExporterDown',
      ],
    },
    equal: clusterLabels,
  },
  {
    why: 'Without a quorum of Praefects nothing that rests on health or on their work is to be believed.',
    source: { names: ['PraefectQuorumLost'] },
    target: {
      names: [
        'PraefectRepositoriesUnavailable',
        'PraefectReplicationStalled',
        'PraefectReplicaStuck',
        'PraefectFailover',
      ],
    },
    equal: virtualStorageLabels,
  },
  {
    why: 'To a storage that is down nothing is replicated, and its failover is known.',
    source: { names: ['PraefectFailover'], severity: 'critical' },
    target: { names: ['PraefectReplicationStalled'] },
    equal: storageLabels,
  },
  {
    why: 'The page says all that the mark on the boards says.',
    source: { names: ['PraefectFailover'], severity: 'critical' },
    target: { names: ['PraefectFailover'], severity: 'info' },
    equal: storageLabels,
  },
  {
    why: 'Where nothing is replicated, replicas stay behind.',
    source: { names: ['PraefectReplicationStalled'] },
    target: { names: ['PraefectReplicaStuck'] },
    equal: storageLabels,
  },
];

function databaseUnreachable(thresholds: Thresholds): Alert {
  const { databaseUnheard, databaseUnreachable: unreachable, keepFiring, seriesRemembered } = thresholds;
  const remembered = duration(seriesRemembered.value);
  const failing = equals(lowest(thresholds, [], select(up)), 0);
  // The window, not `for`, holds the time: a restarted exporter must not start it anew at each attempt.
  const unheard = unless(
    maxBy(clusterLabels, maxOverTime(select(up), remembered)),
    maxBy(clusterLabels, maxOverTime(select(up), duration(databaseUnheard.value))),
    { on: clusterLabels },
  );
  const never = maxBy(clusterLabels, absentOverTime(select(up), remembered));
  return alert({
    name: 'PraefectDatabaseUnreachable',
    severity: 'critical',
    expression: or(or(failing, unheard), never),
    forSeconds: sustained(thresholds, unreachable.value),
    keepFiringForSeconds: keepFiring.value,
    panel: onReplicationBoard('database'),
    firesWhen: `no exporter reached Praefect's database for ${spoken(unreachable.value)}, or nobody said anything of it for ${spoken(databaseUnheard.value)}`,
    summary: ({ when, same }) =>
      when(
        select(up, same(...clusterLabels)),
        "Praefect's database does not answer the exporter",
        "Nothing is known of Praefect's database: no exporter reports on it",
      ),
    description: ({ since, when, same }) =>
      `Since ${since}. ${when(
        select(up, same(...clusterLabels)),
        "The exporter runs, and its probe of the database fails. If Praefect cannot reach the database either, reads and writes of every repository fail now. The exporter's page and log say why the probe fails.",
        'praefect_db_up is gone: the exporter is down, is not scraped, or has no database configured. Whether Praefect works is not known, and no other alert on it can fire.',
      )}`,
  });
}

function quorumOfPraefectsLost(thresholds: Thresholds): Alert {
  const { heartbeatStale, keepFiring, quorumLost: lost, quorumShare } = thresholds;
  return alert({
    name: 'PraefectQuorumLost',
    severity: 'critical',
    expression: quorumLost(thresholds),
    forSeconds: sustained(thresholds, lost.value),
    keepFiringForSeconds: keepFiring.value,
    panel: onReplicationBoard('praefects'),
    firesWhen: `for ${spoken(lost.value)}, fewer than ${quorumShare.value * 100} % of the Praefects known within the last day are alive, or their heartbeats are too few or over ${spoken(heartbeatStale.value)} old`,
    summary: ({ ask, label, same }) => {
      const own = maxBy(['praefect'], select(praefectAlive, same(...virtualStorageLabels)));
      return `${label('virtual_storage')}: too few Praefects write heartbeats (${ask(sumBy([], own), 'count', '0')} of ${ask(countBy([], own), 'count', 'an unknown number')} did within a minute)`;
    },
    description: ({ ask, label, list, same, since, when }) => {
      const silent = equals(maxBy(['praefect'], select(praefectAlive, same(...virtualStorageLabels))), 0);
      const newest = maxBy([], select(heartbeatTimestamp, same(...virtualStorageLabels)));
      const blocked = above(maxBy(['reason'], select(readOnly, same(...clusterLabels))), 0);
      return [
        `Since ${since}.${when(silent, ` Silent: ${list(silent, 'praefect')}.`)}`,
        `Newest heartbeat: ${ask(newest, 'moment', 'none')}.${when(
          blocked,
          ` The database is read-only (${list(blocked, 'reason')}): that alone stops all heartbeats, and every write fails while the Praefects may be well.`,
        )}`,
        `What is shown of storages' health and of unavailable repositories in ${label('virtual_storage')} is not to be believed meanwhile, and alerts on it are held back.`,
      ].join(' ');
    },
  });
}

function repositoriesCutOff(thresholds: Thresholds): Alert {
  const { keepFiring, repositoriesUnavailable: unavailable } = thresholds;
  const cutOff = or(
    labelled(
      above(highest(thresholds, ['virtual_storage'], select(repositoriesUnavailable)), 0),
      'access',
      'unavailable',
    ),
    labelled(
      above(highest(thresholds, ['virtual_storage'], select(repositoriesReadOnly)), 0),
      'access',
      'read-only',
    ),
  );
  return alert({
    name: 'PraefectRepositoriesUnavailable',
    severity: 'critical',
    expression: unless(cutOff, quorumLost(thresholds), { on: virtualStorageLabels }),
    forSeconds: sustained(thresholds, unavailable.value),
    keepFiringForSeconds: keepFiring.value,
    panel: onReplicationBoard('unavailable'),
    firesWhen: `for ${spoken(unavailable.value)}, repositories have no valid primary (GitLab 14.0 and later) or refuse writes after a failover that lost data (13.x), while a quorum of Praefects reports`,
    summary: ({ counted, label }) =>
      `${label('virtual_storage')}: ${counted('repository', 'repositories')} ${label('access')}`,
    description: ({ ask, label, list, same, since, when }) => {
      const health = maxBy(['storage'], select(storageHealthy, same(...virtualStorageLabels)));
      const sick = equals(health, 0);
      const all = maxBy([], select(repositories, same(...virtualStorageLabels)));
      return [
        `Since ${since}; of ${ask(all, 'count', 'an unknown number of')} repositories in ${label('virtual_storage')}.`,
        'Reads and writes of an unavailable repository fail; one that is read-only refuses writes.',
        when(
          sick,
          `Unhealthy storages: ${list(sick, 'storage')}. The newest copies are likely there: bring them back before anything else.`,
          when(
            health,
            'Every storage is healthy: the newest copies are lost, or were never recorded.',
            'Which storages are healthy is not known.',
          ),
        ),
      ].join(' ');
    },
  });
}

function replicationStalled(thresholds: Thresholds): Alert {
  const { keepFiring, replicationIdle, replicationOldest, replicationStalled: stalled } = thresholds;
  const idle = duration(replicationIdle.value);
  // Failed jobs are taken up again like those that are ready.
  const waiting = select(oldestJob, { state: oneOf('ready', 'failed') });
  const overdue = above(
    subtract(time(), minBy(storageLabels, minOverTime(waiting, gaugeWindow(thresholds)))),
    replicationOldest.value,
  );
  const underWay = above(
    maxBy(storageLabels, maxOverTime(select(replicationJobs, { state: 'in_progress' }), idle)),
    0,
  );
  const nothingLeaves = equals(maxBy(clusterLabels, increase(select(jobsRemoved), idle)), 0);
  // To a storage that no Praefect knows any more nothing is ever replicated: leftovers, not a stall.
  const abandoned = above(
    highest(thresholds, ['virtual_storage', 'storage'], select(staleJobs, { reason: 'storage_unknown' })),
    0,
  );
  const stalls = or(
    unless(overdue, underWay, { on: storageLabels }),
    and(overdue, nothingLeaves, { on: clusterLabels }),
  );
  return alert({
    name: 'PraefectReplicationStalled',
    severity: 'critical',
    expression: unless(unless(stalls, abandoned, { on: storageLabels }), healthUnknown(thresholds), {
      on: virtualStorageLabels,
    }),
    forSeconds: sustained(thresholds, stalled.value),
    keepFiringForSeconds: keepFiring.value,
    panel: onReplicationBoard('oldestJob'),
    firesWhen: `the oldest job that waits for a storage is over ${spoken(replicationOldest.value)} old, and for ${spoken(replicationIdle.value)} no job to it was under way or none at all left the queue`,
    summary: ({ ask, label, same }) => {
      const jobs = sumBy(
        [],
        maxBy(
          ['state', 'change'],
          select(replicationJobs, { ...same(...storageLabels), state: oneOf('ready', 'failed') }),
        ),
      );
      return `${label('storage')} of ${label('virtual_storage')}: replication to it stands still (jobs that wait: ${ask(jobs, 'count', 'unknown')})`;
    },
    description: ({ ask, label, same, when }) => {
      const oldest = minBy(
        [],
        select(oldestJob, { ...same(...storageLabels), state: oneOf('ready', 'failed') }),
      );
      const health = maxBy([], select(storageHealthy, same(...storageLabels)));
      return [
        `The oldest has waited since ${ask(oldest, 'moment', 'an unknown time')}.`,
        when(
          equals(health, 0),
          `${label('storage')} is unhealthy: nothing is replicated to it before it is back.`,
          when(
            health,
            `${label('storage')} is healthy, and its jobs are not taken up all the same.`,
            `Whether ${label('storage')} is healthy is not known.`,
          ),
        ),
        'Each further failure of a storage can make repositories unavailable whose newest writes are on it alone.',
      ].join(' ');
    },
  });
}

function replicaStuck(thresholds: Thresholds): Alert {
  const { replicaStuck: stuckFor, replicaStuckAfter, replicaStuckRemembered } = thresholds;
  const stuck = above(highest(thresholds, ['virtual_storage', 'storage'], select(replicasStuck)), 0);
  // A restarted exporter calls nothing stuck at first: what the last one knew counts, while nothing caught up.
  const wasStuck = above(
    maxBy(storageLabels, maxOverTime(select(replicasStuck), duration(replicaStuckRemembered.value))),
    0,
  );
  const behind = select(replicas, { state: oneOf('outdated', 'missing') });
  const neverCaughtUp = above(
    sumBy(
      storageLabels,
      maxBy([...storageLabels, 'state'], minOverTime(behind, duration(replicaStuckAfter.value))),
    ),
    0,
  );
  const down = equals(highest(thresholds, ['virtual_storage', 'storage'], select(storageHealthy)), 0);
  return alert({
    name: 'PraefectReplicaStuck',
    severity: 'warning',
    expression: unless(
      unless(or(stuck, and(neverCaughtUp, wasStuck, { on: storageLabels })), down, { on: storageLabels }),
      healthUnknown(thresholds),
      { on: virtualStorageLabels },
    ),
    forSeconds: sustained(thresholds, stuckFor.value),
    panel: onReplicationBoard('stuck'),
    firesWhen: `replicas on a healthy storage have been behind for over ${spoken(replicaStuckAfter.value)} without getting any further, and ${spoken(stuckFor.value)} more`,
    summary: ({ counted, label }) =>
      `${label('storage')} of ${label('virtual_storage')}: ${counted('replica', 'replicas')} stuck behind`,
    description: ({ ask, label, same }) => {
      const behindSince = minBy([], select(replicaBehindSince, same(...storageLabels)));
      return [
        `The first has been behind since ${ask(behindSince, 'moment', 'an unknown time')}, by the looks of this exporter.`,
        `${label('storage')} was healthy all the time: replication of these repositories fails, and the queue does not show it, because a job that fails three times is deleted.`,
        'Until it is mended these repositories have a copy less than they should.',
      ].join(' ');
    },
  });
}

/** By its timestamp, not by the counter: it needs no second sample, and an exporter's restart changes nothing. */
const lately = (thresholds: Thresholds) => {
  const shown = thresholds.failoverShown.value;
  const at = relabelled(maxOverTime(select(lastFailover), duration(shown)), 'from_storage', 'storage');
  return below(subtract(time(), maxBy(storageLabels, at)), shown);
};

const movedOff = (window: number, selector = select(primaryMoves, { cause: 'unhealthy' })) =>
  sumBy(
    storageLabels,
    maxBy(
      [...storageLabels, 'to_storage'],
      relabelled(increase(selector, duration(window)), 'from_storage', 'storage'),
    ),
  );

function failover(thresholds: Thresholds): Alert {
  const window = thresholds.failoverShown.value;
  return alert({
    name: 'PraefectFailover',
    severity: 'info',
    expression: lately(thresholds),
    forSeconds: 0,
    panel: onReplicationBoard('primaryMoves'),
    firesWhen: `primaries moved off an unhealthy storage within the last ${spoken(window)}`,
    summary: ({ label }) =>
      `${label('storage')} of ${label('virtual_storage')}: primaries moved off it, as it was unhealthy`,
    description: ({ ask, label, same }) => {
      const at = same(...virtualStorageLabels);
      const storage = same('storage').storage;
      const count = movedOff(
        window,
        select(primaryMoves, { ...at, from_storage: storage, cause: 'unhealthy' }),
      );
      const last = maxBy(
        [],
        maxOverTime(select(lastFailover, { ...at, from_storage: storage }), duration(window)),
      );
      return `Last seen ${ask(last, 'moment', 'at an unknown time')}; repositories within ${spoken(window)}: about ${ask(count, 'count', 'unknown')}. Others on ${label('storage')} keep their primary until a request needs it.`;
    },
  });
}

function failoverOfMany(thresholds: Thresholds): Alert {
  const { failoverManyShare, failoverManyWindow, failoverUnplanned, keepFiring } = thresholds;
  const share = divide(
    movedOff(failoverManyWindow.value),
    highest(thresholds, ['virtual_storage'], select(repositories)),
    { on: virtualStorageLabels, group: 'left' },
  );
  const stillDown = equals(highest(thresholds, ['virtual_storage', 'storage'], select(storageHealthy)), 0);
  return alert({
    name: 'PraefectFailover',
    severity: 'critical',
    expression: unless(
      and(above(share, failoverManyShare.value), stillDown, { on: storageLabels }),
      healthUnknown(thresholds),
      { on: virtualStorageLabels },
    ),
    forSeconds: sustained(thresholds, failoverUnplanned.value),
    keepFiringForSeconds: keepFiring.value,
    panel: onReplicationBoard('primaryMoves'),
    firesWhen: `within ${spoken(failoverManyWindow.value)} the primaries of over ${failoverManyShare.value * 100} % of a virtual storage's repositories had to move off a storage that is still unhealthy ${spoken(failoverUnplanned.value)} later`,
    summary: ({ label }) =>
      `${label('storage')} of ${label('virtual_storage')}: down, and its primaries had to move`,
    description: ({ label, share: asShare, since }) =>
      `Since ${since}: ${asShare} of the repositories of ${label('virtual_storage')} got a new primary, and ${label('storage')} is still unhealthy. Copies there fall behind with every write; while it is gone, those that had their newest write on it alone are unavailable.`,
  });
}
