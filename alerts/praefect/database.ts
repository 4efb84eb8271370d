/** Whether Praefect's database answers, and whether anybody says so. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, praefectDashboard } from '../../src/monitoring/links.ts';
import {
  absentOverTime,
  equals,
  maxBy,
  maxOverTime,
  or,
  select,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { up } from '../../src/sources/praefect/queries/database.ts';
import { type Alert, alert, clusterLabels, sustained } from '../alert.ts';
import { lowest } from '../conditions.ts';

export function databaseUnreachable(thresholds: Thresholds): Alert {
  const {
    databaseUnreported,
    databaseUnreachable: unreachable,
    keepFiring,
    missingSeriesLookback,
  } = thresholds;
  const remembered = promDuration(missingSeriesLookback.value);
  const failing = equals(lowest(thresholds, [], select(up)), 0);
  // The window, not `for`, holds the time: a restarted exporter must not start it anew at each attempt.
  const unheard = unless(
    maxBy(clusterLabels, maxOverTime(select(up), remembered)),
    maxBy(clusterLabels, maxOverTime(select(up), promDuration(databaseUnreported.value))),
    { on: clusterLabels },
  );
  const never = maxBy(clusterLabels, absentOverTime(select(up), remembered));
  return alert({
    name: 'PraefectDatabaseUnreachable',
    severity: 'critical',
    expression: or(or(failing, unheard), never),
    forSeconds: sustained(thresholds, unreachable.value),
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(praefectDashboard, 'database'),
    firesWhen: `no exporter reached Praefect's database for ${durationInWords(unreachable.value)}, or nobody said anything of it for ${durationInWords(databaseUnreported.value)}`,
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
