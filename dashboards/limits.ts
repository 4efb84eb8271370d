/** Limits: who is turned away by Gitaly's concurrency limits, who waits, and what is configured. */

import { limitsDashboard } from '../src/monitoring/links.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import { type Board, board, runbookLinks } from './board.ts';
import { packObjects, rpcLimits } from './rows/limits.ts';

export const limitsBoard = (settings: MonitoringSettings): Board =>
  board('limits', {
    uid: limitsDashboard.uid,
    title: 'Gitaly: concurrency limits',
    description:
      'Who is turned away by a concurrency limit and why, who waits and how long, beside what is configured. Needs gitaly.target.',
    choices: { of: 'servers', metric: scrapeUp },
    rows: [rpcLimits(), packObjects()],
    moments: [],
    links: runbookLinks(settings),
  });
