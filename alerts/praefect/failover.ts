/** Primaries that had to leave a storage. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, praefectDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  below,
  divide,
  equals,
  increase,
  maxBy,
  maxOverTime,
  relabelled,
  select,
  subtract,
  sumBy,
  time,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { lastFailover, primaryMoves, repositories } from '../../src/sources/praefect/mirror/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import { type Alert, alert, clusterLabels, sustained } from '../alert.ts';
import { healthUnknown, highest, plannedWork, storageLabels, virtualStorageLabels } from '../conditions.ts';

/** By its timestamp, not by the counter: it needs no second sample, and an exporter's restart changes nothing. */
const lately = (thresholds: Thresholds) => {
  const shown = thresholds.failoverWindow.value;
  const at = relabelled(maxOverTime(select(lastFailover), promDuration(shown)), 'from_storage', 'storage');
  return below(subtract(time(), maxBy(storageLabels, at)), shown);
};

const movedOff = (window: number, selector = select(primaryMoves, { cause: 'unhealthy' })) =>
  sumBy(
    storageLabels,
    maxBy(
      [...storageLabels, 'to_storage'],
      relabelled(increase(selector, promDuration(window)), 'from_storage', 'storage'),
    ),
  );

export function failover(thresholds: Thresholds): Alert {
  const window = thresholds.failoverWindow.value;
  return alert({
    name: 'PraefectFailover',
    severity: 'info',
    expression: lately(thresholds),
    forSeconds: 0,
    panel: panelLink(praefectDashboard, 'primaryMoves'),
    firesWhen: `primaries moved off an unhealthy storage within the last ${durationInWords(window)}`,
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
        maxOverTime(select(lastFailover, { ...at, from_storage: storage }), promDuration(window)),
      );
      return `Last seen ${ask(last, 'moment', 'at an unknown time')}; repositories within ${durationInWords(window)}: about ${ask(count, 'count', 'unknown')}. Others on ${label('storage')} keep their primary until a request needs it.`;
    },
  });
}

export function failoverOfMany(thresholds: Thresholds): Alert {
  const { massFailoverRatio, massFailoverWindow, massFailover, keepFiring } = thresholds;
  const share = divide(
    movedOff(massFailoverWindow.value),
    highest(thresholds, ['virtual_storage'], select(repositories)),
    { on: virtualStorageLabels, group: 'left' },
  );
  const stillDown = equals(highest(thresholds, ['virtual_storage', 'storage'], select(storageHealthy)), 0);
  return alert({
    name: 'PraefectFailover',
    severity: 'critical',
    expression: unless(
      unless(
        and(above(share, massFailoverRatio.value), stillDown, { on: storageLabels }),
        healthUnknown(thresholds),
        { on: virtualStorageLabels },
      ),
      plannedWork(thresholds),
      { on: clusterLabels },
    ),
    forSeconds: sustained(thresholds, massFailover.value),
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(praefectDashboard, 'primaryMoves'),
    firesWhen: `within ${durationInWords(massFailoverWindow.value)} the primaries of over ${massFailoverRatio.value * 100} % of a virtual storage's repositories had to move off a storage that is still unhealthy ${durationInWords(massFailover.value)} later, and no planned work is going on`,
    summary: ({ label }) =>
      `${label('storage')} of ${label('virtual_storage')}: down, and its primaries had to move`,
    description: ({ label, share: asShare, since }) =>
      `Since ${since}: ${asShare} of the repositories of ${label('virtual_storage')} got a new primary, and ${label('storage')} is still unhealthy. Copies there fall behind with every write; while it is gone, those that had their newest write on it alone are unavailable.`,
  });
}
