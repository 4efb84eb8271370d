/** Limits: who is turned away by Gitaly's concurrency limits, who waits, and what is configured. */
import type { AlertSettings } from '../alerts/settings.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import { type Board, board } from './board.ts';
import { limits } from './panels.ts';
import { packObjects, rpcLimits } from './rows/limits.ts';

export const limitsBoard = (settings: AlertSettings): Board =>
  board('limits', {
    uid: limits.uid,
    title: 'Gitaly: concurrency limits',
    description:
      'Who is turned away by a concurrency limit and why, who waits and how long, beside what is configured. Needs gitaly.target.',
    choices: { of: 'servers', metric: scrapeUp },
    rows: [rpcLimits(), packObjects()],
    moments: [],
    links: [{ title: 'Runbooks', url: settings.runbookUrl }],
  });
