/** Replication: what waits, whether it moves, which replicas stay behind, and what that costs. */
import { virtualStorageLabels } from '../alerts/conditions.ts';
import type { AlertSettings } from '../alerts/settings.ts';
import { maxBy, multiply } from '../src/monitoring/promql/index.ts';
import { lastFailover } from '../src/sources/praefect/mirror/metrics.ts';
import { type Board, board } from './board.ts';
import { replication } from './panels.ts';
import { access } from './rows/access.ts';
import { laggards } from './rows/laggards.ts';
import { queue } from './rows/queue.ts';
import { trust } from './rows/trust.ts';
import { verification } from './rows/verification.ts';
import { gaugeOnBoard } from './variables.ts';

export const replicationBoard = (settings: AlertSettings): Board =>
  board('replication', {
    uid: replication.uid,
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
    links: [{ title: 'Runbooks', url: settings.runbookUrl }],
  });
