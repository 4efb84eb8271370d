/** Whether enough Praefects write heartbeats; what rests on health is held back by the same condition. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { panelLink, praefectDashboard } from '../../src/monitoring/links.ts';
import { above, countBy, equals, maxBy, select, sumBy } from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { readOnly } from '../../src/sources/praefect/queries/database.ts';
import { heartbeatTimestamp, praefectAlive } from '../../src/sources/praefect/queries/health.ts';
import { type Alert, alert, clusterLabels, sustained } from '../alert.ts';
import { quorumLost, virtualStorageLabels } from '../conditions.ts';

export function quorumOfPraefectsLost(thresholds: Thresholds): Alert {
  const { heartbeatStale, keepFiring, quorumLost: lost, quorumRatio } = thresholds;
  return alert({
    name: 'PraefectQuorumLost',
    severity: 'critical',
    expression: quorumLost(thresholds),
    forSeconds: sustained(thresholds, lost.value),
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(praefectDashboard, 'praefects'),
    firesWhen: `for ${durationInWords(lost.value)}, fewer than ${quorumRatio.value * 100} % of the Praefects known within the last day are alive, or their heartbeats are too few or over ${durationInWords(heartbeatStale.value)} old`,
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
