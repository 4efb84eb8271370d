/** Repositories that are unavailable, lost or at risk. */
import { secondsSinceTimestamp } from '../../src/monitoring/ages.ts';
import { durationInWords } from '../../src/monitoring/durations.ts';
import { storageLabels, virtualStorageLabels } from '../../src/monitoring/labels.ts';
import { praefectDashboard, replicationDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  divide,
  equals,
  maxOverTime,
  minBy,
  minOverTime,
  offsetBy,
  select,
  subtract,
  unless,
} from '../../src/monitoring/promql/index.ts';
import { gaugeWindow, highest, recorded, sustained } from '../../src/monitoring/recording.ts';
import {
  atRiskCount,
  lostCount,
  readOnlyCount,
  replicasBehind,
  repositoryCount,
  singleCopyCount,
  storageHealth,
  unavailableCount,
} from '../../src/monitoring/recordings/praefect.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { count, hour, minute, ratio, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { repositoriesBelowFactor } from '../../src/sources/praefect/mirror/metrics.ts';
import { verificationOldest } from '../../src/sources/praefect/mirror/verification.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { outsideMaintenance, whileTrusted } from '../conditions.ts';
import { percent, storageName, withoutProblem } from '../texts.ts';

export const dataThresholds = {
  singleCopy: seconds(15 * minute, 'Three reconciler runs: replication did not restore the second copy.'),
  belowReplicationFactor: seconds(
    6 * hour,
    'Longer than the repair of a storage and the replication after it: a ticket about configuration, not an outage.',
  ),
  restartUnsafe: seconds(5 * minute, 'One reconciler run: replication usually restores the copy by then.'),
  repositoryCountDrop: ratio(0.01, 'Repositories that disappeared within an hour, by all.'),
  repositoryCountDropMinimum: count(
    20,
    'Repositories that disappeared within an hour: a deleted group is fewer.',
  ),
  repositoryCountDropFor: seconds(2 * minute, 'The records are deleted; what deletes them may still run.'),
} satisfies ThresholdTable;

export const dataAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  unavailable(thresholds),
  readOnly(thresholds),
  lost(thresholds),
  singleCopy(thresholds),
  belowFactor(thresholds),
  restartUnsafe(thresholds),
  countDrop(thresholds),
  verificationOverdue(thresholds),
];

function unavailable(thresholds: AlertThresholds): Alert {
  const { keepFiring, repositoriesUnavailable } = thresholds;
  return alert({
    ...judgedWithPage('PraefectRepositoriesUnavailable', thresholds),
    expression: whileTrusted(above(recorded(unavailableCount), 0)),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Unavailable' },
    firesWhen: `for ${durationInWords(repositoriesUnavailable.value)}, repositories had no up-to-date replica on a healthy storage, while a quorum of Praefects reports (GitLab 14.0 and later; in 13.x PraefectRepositoriesReadOnly fires)`,
    summary: ({ count, label }) =>
      `${count('repository', 'repositories')} of ${label('virtual_storage')} unavailable`,
    description: ({ list, same }) =>
      `Reads and writes of these repositories fail. Unhealthy storages, which likely have their newest replicas: ${list(
        equals(recorded(storageHealth, same(...virtualStorageLabels)), 0),
        'storage',
        'none',
      )}. Restore those first; do not run accept-dataloss before.`,
  });
}

function readOnly(thresholds: AlertThresholds): Alert {
  const { keepFiring, repositoriesUnavailable } = thresholds;
  return alert({
    ...judgedWithPage('PraefectRepositoriesReadOnly', thresholds),
    expression: above(recorded(readOnlyCount), 0),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Unavailable' },
    firesWhen: `for ${durationInWords(repositoriesUnavailable.value)}, repositories rejected writes after a failover that lost data (GitLab 13.x only: later versions do not have this state)`,
    summary: ({ count, label }) =>
      `${count('repository', 'repositories')} of ${label('virtual_storage')} read-only`,
    description: () =>
      'After a failover the new primary lacks writes that the old one has, so pushes are rejected and reads show the older state. Restore the old primary; the reconciler then repairs the new one.',
  });
}

function lost(thresholds: AlertThresholds): Alert {
  const { keepFiring, repositoriesLost } = thresholds;
  return alert({
    ...judgedWithPage('PraefectRepositoriesLost', thresholds),
    expression: above(recorded(lostCount), 0),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Lost' },
    firesWhen: `for ${durationInWords(repositoriesLost.value)}, repositories had no record of a replica`,
    summary: ({ count, label }) =>
      `${count('repository', 'repositories')} of ${label('virtual_storage')} without any replica`,
    description: () =>
      'Praefect knows of no storage that has these repositories: their records were deleted, as by the verifier after a wrong or unmounted storage path. Stop the verifier, check the mounts, then track or restore the repositories.',
  });
}

/** Virtual storages in which some assigned replica is behind: where all repositories have replication factor 1 there is none. */
const anyBehind = () => above(recorded(replicasBehind), 0);

function singleCopy(thresholds: AlertThresholds): Alert {
  const { keepFiring, singleCopy: singleFor } = thresholds;
  // PraefectStorageUnhealthy pages for an outage; afterwards replication needs some time to catch up.
  const recentOutage = equals(minOverTime(recorded(storageHealth), '30m'), 0);
  return alert({
    name: 'PraefectSingleCopy',
    severity: 'critical',
    expression: outsideMaintenance(
      whileTrusted(
        unless(
          and(above(recorded(singleCopyCount), 0), anyBehind(), { on: virtualStorageLabels }),
          recentOutage,
          { on: virtualStorageLabels },
        ),
      ),
    ),
    forSeconds: sustained(thresholds, singleFor.value),
    noProblem: withoutProblem.overTime,
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'One healthy replica' },
    firesWhen: `for ${durationInWords(singleFor.value)}, repositories that are assigned to several storages had one up-to-date replica on a healthy storage while other replicas were behind and no storage was unhealthy within the last 30 minutes, outside of maintenance windows`,
    summary: ({ count, label }) =>
      `${count('repository', 'repositories')} of ${label('virtual_storage')} with a single up-to-date replica`,
    description: ({ list, same }) =>
      `If its storage fails, their newest data is lost. Storages with replicas that are behind: ${list(
        above(recorded(replicasBehind, same(...virtualStorageLabels)), 0),
        'storage',
        'unknown',
      )}. Check why replication to them does not catch up.`,
  });
}

function belowFactor(thresholds: AlertThresholds): Alert {
  const { belowReplicationFactor: belowFor } = thresholds;
  return alert({
    name: 'PraefectBelowReplicationFactor',
    severity: 'warning',
    expression: outsideMaintenance(
      whileTrusted(above(highest(thresholds, virtualStorageLabels, select(repositoriesBelowFactor)), 0)),
    ),
    forSeconds: sustained(thresholds, belowFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Repositories by healthy replicas' },
    firesWhen: `for ${durationInWords(belowFor.value)}, repositories had fewer up-to-date replicas on healthy storages than default_replication_factor, outside of maintenance windows. Needs praefect.config-file with a factor; without it the alert cannot fire`,
    summary: ({ count, label }) =>
      `${count('repository', 'repositories')} of ${label('virtual_storage')} below the replication factor`,
    description: () =>
      'They have fewer copies than default_replication_factor, so they survive fewer failures. Either replicas are behind, or the repositories are older than the factor, which Praefect does not apply afterwards: praefect set-replication-factor.',
  });
}

function restartUnsafe(thresholds: AlertThresholds): Alert {
  const { restartUnsafe: unsafeFor } = thresholds;
  // Those with replication factor 1 are at risk permanently, and no replication ends that.
  const singleCopies = above(recorded(singleCopyCount), 0);
  const temporary = and(above(recorded(atRiskCount), 0), singleCopies, { on: virtualStorageLabels });
  return alert({
    name: 'PraefectRestartUnsafe',
    severity: 'warning',
    expression: outsideMaintenance(whileTrusted(and(temporary, anyBehind(), { on: virtualStorageLabels }))),
    forSeconds: sustained(thresholds, unsafeFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: praefectDashboard, title: 'Repositories at risk by storage' },
    firesWhen: `for ${durationInWords(unsafeFor.value)}, repositories would have become unavailable by a restart of the storage, because their other replicas were behind or on unhealthy storages, outside of maintenance windows`,
    summary: ({ count }) =>
      `A restart of ${storageName} would make ${count('repository', 'repositories')} unavailable`,
    description: ({ label }) =>
      `These repositories have no other up-to-date replica on a healthy storage; those with replication factor 1 count, too. Do not restart, drain or upgrade ${label('storage')} before replication has caught up (panel "Outdated and missing replicas").`,
  });
}

function countDrop(thresholds: AlertThresholds): Alert {
  const { repositoryCountDrop, repositoryCountDropFor, repositoryCountDropMinimum } = thresholds;
  const before = offsetBy(recorded(repositoryCount), '1h');
  const removed = subtract(before, recorded(repositoryCount), { on: virtualStorageLabels });
  return alert({
    name: 'PraefectRepositoryCountDrop',
    severity: 'critical',
    expression: outsideMaintenance(
      above(
        divide(above(removed, repositoryCountDropMinimum.value), before, { on: virtualStorageLabels }),
        repositoryCountDrop.value,
      ),
      hour,
    ),
    forSeconds: sustained(thresholds, repositoryCountDropFor.value),
    noProblem: withoutProblem.overTime,
    keepFiringForSeconds: thresholds.keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Repositories by healthy replicas' },
    firesWhen: `for ${durationInWords(repositoryCountDropFor.value)}, over ${percent(repositoryCountDrop.value)} and over ${repositoryCountDropMinimum.value} of the repositories of a virtual storage that were in the database an hour before were not, outside of maintenance windows`,
    summary: ({ label, value }) =>
      `${value('percent')} of the repositories of ${label('virtual_storage')} disappeared within an hour`,
    description: ({ label, query, same }) =>
      `${label('virtual_storage')} has ${query(recorded(repositoryCount, same(...virtualStorageLabels)), 'count', 'an unknown number of')} repositories now. Their records were deleted: by users, by a restored database, or by a script. If no one deleted them on purpose, stop the cause before housekeeping removes their data.`,
  });
}

function verificationOverdue(thresholds: AlertThresholds): Alert {
  const { verificationOverdue: overdue } = thresholds;
  const oldest = minBy(storageLabels, maxOverTime(select(verificationOldest), gaugeWindow(thresholds)));
  return alert({
    name: 'PraefectVerificationOverdue',
    severity: 'warning',
    expression: above(secondsSinceTimestamp(oldest), overdue.value),
    forSeconds: 0,
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: replicationDashboard, title: 'Age of the oldest verification' },
    firesWhen: `a replica was last verified over ${durationInWords(overdue.value)} ago (GitLab 14.10 and later; earlier versions do not verify)`,
    summary: () => `Verification of replicas on ${storageName} is overdue`,
    description: ({ value }) =>
      `Some replica was last verified ${value('duration')} ago. A replica whose data is lost is not noticed. Check that background_verification is on and that Praefect's log has no errors of the verifier.`,
  });
}
