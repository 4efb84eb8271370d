/** What replication that does not keep up costs users, or would. */
import { storageLabels, virtualStorageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import { above, increase, maxBy } from '../../src/monitoring/promql/index.ts';
import {
  primaries,
  primaryMoves,
  repositoriesAtRisk,
  repositoriesLost,
  repositoriesReadOnly,
  repositoriesUnavailable,
} from '../../src/sources/praefect/mirror/metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOnBoard, gaugeOnBoard } from '../variables.ts';
import { perStorage } from './shared.ts';

const { panels: ids, rows } = replicationDashboard;

export const access = (): Row => ({
  id: rows.access,
  title: 'What it costs',
  panels: [
    timeseries({
      id: ids.unavailable,
      title: 'Repositories out of reach',
      tells: 'What users cannot read or write. Alert: PraefectRepositoriesUnavailable.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesUnavailable)),
          legend: '{{virtual_storage}} unavailable',
        },
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesReadOnly)),
          legend: '{{virtual_storage}} read-only',
        },
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesLost)),
          legend: '{{virtual_storage}} lost',
        },
      ],
      limit: 1,
      width: 6,
    }),
    timeseries({
      id: ids.atRisk,
      title: 'At risk',
      tells: 'Repositories that the loss of this storage, and of it alone, would put out of reach.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, gaugeOnBoard(repositoriesAtRisk)), legend: perStorage }],
      width: 6,
    }),
    timeseries({
      id: ids.primaries,
      title: 'Primaries',
      tells: 'Where primaries are. They never move back by themselves, so a roll-out leaves them skewed.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, gaugeOnBoard(primaries)), legend: perStorage }],
      draw: 'stacked',
      width: 6,
    }),
    timeseries({
      id: ids.primaryMoves,
      title: 'Primaries that moved',
      tells:
        'From where, to where, and whether the storage that they left was unhealthy. Alert: PraefectFailover.',
      unit: 'short',
      queries: [
        {
          expression: above(
            maxBy(
              [...virtualStorageLabels, 'from_storage', 'to_storage', 'cause'],
              increase(counterOnBoard(primaryMoves), '$__rate_interval'),
            ),
            0,
          ),
          legend: '{{virtual_storage}}: {{from_storage}} to {{to_storage}} ({{cause}})',
        },
      ],
      draw: 'bars',
      width: 6,
    }),
  ],
});
