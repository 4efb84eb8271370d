/** Repositories that users cannot read or write. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { panelLink, praefectDashboard } from '../../src/monitoring/links.ts';
import { above, equals, labelled, maxBy, or, select, unless } from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import {
  repositories,
  repositoriesReadOnly,
  repositoriesUnavailable,
} from '../../src/sources/praefect/mirror/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import { type Alert, alert, sustained } from '../alert.ts';
import { highest, quorumLost, virtualStorageLabels } from '../conditions.ts';

export function repositoriesCutOff(thresholds: Thresholds): Alert {
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
    panel: panelLink(praefectDashboard, 'unavailable'),
    firesWhen: `for ${durationInWords(unavailable.value)}, repositories have no valid primary (GitLab 14.0 and later) or refuse writes after a failover that lost data (13.x), while a quorum of Praefects reports`,
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
