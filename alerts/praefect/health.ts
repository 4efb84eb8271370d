/** Praefects, their heartbeats, and the health of storages. */
import { happenedWithin } from '../../src/monitoring/ages.ts';
import { durationInWords, lastInWords, promDuration } from '../../src/monitoring/durations.ts';
import { clusterLabels, storageLabels, virtualStorageLabels } from '../../src/monitoring/labels.ts';
import { praefectDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  add,
  and,
  atLeast,
  avgBy,
  avgOverTime,
  below,
  changes,
  divide,
  equals,
  increase,
  maxBy,
  maxOverTime,
  minBy,
  multiply,
  select,
  subtract,
  sumBy,
} from '../../src/monitoring/promql/index.ts';
import { highest, recorded, sustained } from '../../src/monitoring/recording.ts';
import {
  healthTrusted,
  lastFailoverTime,
  praefectsAlive,
  primaryCount,
  storageHealth,
  storageUnhealthyCost,
} from '../../src/monitoring/recordings/praefect.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import {
  count,
  gaugeWindowSeconds,
  hour,
  ratio,
  seconds,
  type ThresholdTable,
} from '../../src/rules/thresholds.ts';
import { primaryMoves } from '../../src/sources/praefect/mirror/metrics.ts';
import { praefectAlive, storageSeenHealthy } from '../../src/sources/praefect/queries/health.ts';
import { storageInfo } from '../../src/sources/storages/source.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { outsideMaintenance, whileTrusted } from '../conditions.ts';
import { percent, storageName, withoutProblem } from '../texts.ts';

export const healthThresholds = {
  storageFlaps: count(6, 'Changes of health within storage-flap-window: three outages.'),
  storageFlapWindow: seconds(hour, 'Range over which changes of health are counted.'),
  failoverShare: ratio(
    0.5,
    'Primaries that moved off one storage, by all of its virtual storage. A failover of one of three storages moves a third, which is usual; over half, most writes failed, and the others take over more than they had.',
  ),
  primarySkewFor: seconds(hour, 'Primaries move only by failovers and never back: no hurry.'),
  primarySkewMinimum: count(100, 'Primaries of a virtual storage: the share of a few means nothing.'),
} satisfies ThresholdTable;

export const healthAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  quorumLost(thresholds),
  praefectDown(thresholds),
  storageUnhealthy(thresholds),
  storageFlapping(thresholds),
  healthDisagreement(thresholds),
  largeFailover(thresholds),
  failover(thresholds),
  primarySkew(thresholds),
];

function quorumLost(thresholds: AlertThresholds): Alert {
  const { heartbeatStale, keepFiring, quorumLost: lost, quorumRatio } = thresholds;
  return alert({
    ...judgedWithPage('PraefectQuorumLost', thresholds),
    // One alert for all virtual storages: they share their Praefects.
    expression: equals(minBy(clusterLabels, recorded(healthTrusted)), 0),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Praefects alive' },
    firesWhen: `for ${durationInWords(lost.value)}, fewer than ${percent(quorumRatio.value)} of the Praefects of the last day were alive, or their heartbeats were too few or over ${durationInWords(heartbeatStale.value)} old`,
    summary: () => 'Praefect has no quorum: too few Praefects write heartbeats',
    description: ({ list, same }) =>
      `Silent Praefects: ${list(
        equals(maxBy(['praefect'], select(praefectAlive, same(...clusterLabels))), 0),
        'praefect',
        'none',
      )}. They are down, or cannot write to the database: requests through them fail. The health of storages is unknown, so alerts that depend on it are suppressed. Check that Praefects run.`,
  });
}

function praefectDown(thresholds: AlertThresholds): Alert {
  const { missingSeriesLookback, praefectDown: downFor } = thresholds;
  const alive = recorded(praefectsAlive);
  return alert({
    ...judgedWithPage('PraefectInstanceDown', thresholds),
    expression: outsideMaintenance(
      // The average, not the maximum: in a rollout a new Praefect and the one that it replaces are both alive for a minute.
      below(alive, subtract(avgOverTime(alive, promDuration(missingSeriesLookback.value)), 0.5), {
        on: virtualStorageLabels,
      }),
    ),
    panel: { dashboard: praefectDashboard, title: 'Praefects alive' },
    firesWhen: `for ${durationInWords(downFor.value)}, fewer Praefects were alive than on average within the last day, outside of maintenance windows`,
    summary: ({ count, label }) =>
      `Only ${count('Praefect', 'Praefects')} of ${label('virtual_storage')} alive`,
    description: ({ list, same }) =>
      `Without a heartbeat for a minute: ${list(
        equals(maxBy(['praefect'], select(praefectAlive, same(...virtualStorageLabels))), 0),
        'praefect',
        'unknown',
      )}. The others serve all requests; one more failure may cost the quorum. Check that process and its access to the database.`,
  });
}

function storageUnhealthy(thresholds: AlertThresholds): Alert {
  const { keepFiring, storageUnhealthy: unhealthyFor } = thresholds;
  return alert({
    ...judgedWithPage('PraefectStorageUnhealthy', thresholds),
    // Its value is what it costs: the repositories that no other storage serves, -1 while they are not known.
    expression: outsideMaintenance(whileTrusted(recorded(storageUnhealthyCost))),
    // Longer than GitalyDown, which it inhibits, and which notices a recovery later.
    keepFiringForSeconds: 2 * keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Storage health by consensus' },
    firesWhen: `for ${durationInWords(unhealthyFor.value)}, fewer than half of the Praefects could reach the storage, outside of maintenance windows`,
    summary: () => `Praefect storage ${storageName} is unhealthy`,
    description: ({ labelOf, same, value }) =>
      `{{ if lt $value 0.0 }}Whether failover worked is unknown{{ else if lt $value 1.0 }}Failover worked: other storages serve its repositories{{ else }}Repositories that no other storage can serve: ${value('count')}{{ end }}. Restore its Gitaly: ${labelOf(
        maxBy(['server'], select(storageInfo, same('cluster', 'virtual_storage', 'storage'))),
        'server',
        'unknown',
      )}.`,
  });
}

function storageFlapping(thresholds: AlertThresholds): Alert {
  const { keepFiring, storageFlapWindow, storageFlaps } = thresholds;
  return alert({
    name: 'PraefectStorageFlapping',
    severity: 'critical',
    expression: outsideMaintenance(
      whileTrusted(
        atLeast(changes(recorded(storageHealth), promDuration(storageFlapWindow.value)), storageFlaps.value),
      ),
      storageFlapWindow.value,
    ),
    forSeconds: 0,
    noProblem: withoutProblem.overTime,
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: praefectDashboard, title: 'Storage health by consensus' },
    firesWhen: `the health of a storage changed ${storageFlaps.value} times or more within ${durationInWords(storageFlapWindow.value)}, outside of maintenance windows`,
    summary: () => `Praefect storage ${storageName} flaps`,
    description: ({ count, label }) =>
      `${count('change', 'changes')} of health within ${durationInWords(storageFlapWindow.value)}. Each outage fails the requests in flight and moves primaries off ${label('storage')}. Check its Gitaly for restarts, memory and disk, and the network to Praefect.`,
  });
}

function healthDisagreement(thresholds: AlertThresholds): Alert {
  const { healthDisagreement: disagreesFor } = thresholds;
  const unseen = equals(highest(thresholds, [...storageLabels, 'praefect'], select(storageSeenHealthy)), 0);
  return alert({
    ...judgedWithPage('PraefectHealthDisagreement', thresholds),
    expression: outsideMaintenance(
      whileTrusted(and(unseen, equals(recorded(storageHealth), 1), { on: storageLabels })),
    ),
    panel: { dashboard: praefectDashboard, title: 'Storage health as seen by each Praefect' },
    firesWhen: `for ${durationInWords(disagreesFor.value)}, one Praefect could not reach a storage that half of the Praefects can reach, outside of maintenance windows`,
    summary: ({ label }) => `Praefect ${label('praefect')} cannot reach storage ${label('storage')}`,
    description: ({ label }) =>
      `The other Praefects reach ${label('storage')}, so it keeps its primaries. Requests through ${label('praefect')} for those repositories fail. Check the network and TLS between the two.`,
  });
}

function largeFailover(thresholds: AlertThresholds): Alert {
  const { failoverShare, primarySkewMinimum, storageUnhealthy: unhealthyFor } = thresholds;
  // PraefectStorageUnhealthy, which inhibits it, fires before, and keeps firing for longer than this after the recovery.
  const window = 2 * unhealthyFor.value + gaugeWindowSeconds(thresholds);
  const primaries = recorded(primaryCount);
  const moved = subtract(maxOverTime(primaries, promDuration(window)), primaries, { on: storageLabels });
  const all = above(sumBy(virtualStorageLabels, primaries), primarySkewMinimum.value);
  const most = above(moved, multiply(failoverShare.value, all), { on: virtualStorageLabels, group: 'left' });
  return alert({
    name: 'PraefectFailover',
    severity: 'critical',
    expression: outsideMaintenance(
      and(most, happenedWithin(thresholds, recorded(lastFailoverTime), window), { on: storageLabels }),
      window,
    ),
    forSeconds: sustained(thresholds, unhealthyFor.value),
    noProblem: withoutProblem.overTime,
    panel: { dashboard: praefectDashboard, title: 'Moved primaries' },
    firesWhen: `within ${durationInWords(window)}, a failover moved over ${percent(failoverShare.value)} of the primaries of a virtual storage with more than ${primarySkewMinimum.value} off one storage, outside of maintenance windows, and that storage was healthy again too soon for PraefectStorageUnhealthy`,
    summary: ({ count }) =>
      `Failover moved ${count('primary', 'primaries')} off storage ${storageName}, over ${percent(failoverShare.value)} of all`,
    description: ({ label }) =>
      `${label('storage')} was unhealthy for a short time. Writes to these repositories failed until their primary moved, and the other storages of ${label('virtual_storage')} now serve them. Find why it was unhealthy, and check the load of the others.`,
  });
}

function failover(thresholds: AlertThresholds): Alert {
  const window = thresholds.failoverWindow.value;
  return alert({
    name: 'PraefectFailover',
    severity: 'info',
    expression: happenedWithin(thresholds, recorded(lastFailoverTime), window),
    forSeconds: 0,
    noProblem: 'an annotation of dashboards; the page lists failovers as events',
    panel: { dashboard: praefectDashboard, title: 'Moved primaries' },
    firesWhen: `primaries moved off an unhealthy storage within ${lastInWords(window)}`,
    summary: () => `Primaries moved off storage ${storageName}`,
    description: ({ label, query, same }) => {
      const moved = increase(
        select(primaryMoves, {
          ...same(...virtualStorageLabels),
          from_storage: same('storage').storage,
          cause: 'unhealthy',
        }),
        promDuration(window),
      );
      return `${query(sumBy([], maxBy(['to_storage'], moved)), 'count', 'An unknown number of')} repositories got another primary because ${label('storage')} was unhealthy. Others move at their next request; none moves back by itself.`;
    },
  });
}

function primarySkew(thresholds: AlertThresholds): Alert {
  const { primarySkewFor, primarySkewMinimum } = thresholds;
  const primaries = recorded(primaryCount);
  const all = sumBy(virtualStorageLabels, primaries);
  const halfway = divide(
    add(above(all, primarySkewMinimum.value), avgBy(virtualStorageLabels, primaries), {
      on: virtualStorageLabels,
    }),
    2,
  );
  return alert({
    name: 'PraefectPrimarySkew',
    severity: 'warning',
    expression: above(divide(primaries, halfway, { on: virtualStorageLabels, group: 'left' }), 1),
    forSeconds: primarySkewFor.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: praefectDashboard, title: 'Primaries over time' },
    firesWhen: `for ${durationInWords(primarySkewFor.value)}, the primaries of one storage were more than halfway between an even share and all of them (two thirds of three storages)`,
    summary: () => `Storage ${storageName} has far more than its share of primaries`,
    description: ({ label, query, same }) =>
      `${query(recorded(primaryCount, same(...storageLabels)), 'count', 'Most')} primaries of ${label('virtual_storage')} are on ${label('storage')}, which then serves all writes. This is usual after a failover, because primaries do not move back. Rebalance in a quiet hour.`,
  });
}
