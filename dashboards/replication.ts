/** Replication: what waits, whether it moves, which replicas stay behind, and what that costs. */
import { virtualStorageLabels } from '../src/monitoring/labels.ts';
import { replicationDashboard } from '../src/monitoring/links.ts';
import { maxBy, multiply } from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { lastFailover } from '../src/sources/praefect/mirror/metrics.ts';
import { type Board, board, runbookLinks } from './board.ts';
import { access } from './rows/access.ts';
import { laggards } from './rows/laggards.ts';
import { queue } from './rows/queue.ts';
import { trust } from './rows/trust.ts';
import { verification } from './rows/verification.ts';
import { gaugeOnBoard } from './variables.ts';

export const replicationBoard = (settings: MonitoringSettings): Board =>
  board('replication', {
    uid: replicationDashboard.uid,
    title: 'Praefect: replication',
    description:
      "The replication queue of Praefect's database, the replicas that are behind, and what becomes unavailable by it.",
    choices: { of: 'praefect' },
    rows: [trust(settings), queue(settings), laggards(settings), access(), verification(settings)],
    moments: [
      {
        name: 'Failovers',
        expression: multiply(
          maxBy([...virtualStorageLabels, 'from_storage'], gaugeOnBoard(lastFailover)),
          1000,
        ),
        colour: 'orange',
        title: 'Failover',
        text: '{{virtual_storage}}: primaries moved off {{from_storage}}',
      },
    ],
    links: runbookLinks(settings),
  });
