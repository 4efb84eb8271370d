/**
 * Alerts on Gitaly's servers: their memory, CPU, limits and pods. What each means and what to do is in runbooks/.
 */

import type { Thresholds } from '../src/rules/thresholds.ts';
import type { AlertGroup, Inhibition } from './alert.ts';
import { cpuThrottled } from './gitaly/cpu.ts';
import { gitalyDown } from './gitaly/down.ts';
import { requestsTurnedAway } from './gitaly/limits.ts';
import { memoryNearLimit } from './gitaly/memory.ts';
import { gitOomKilled, oomKilled, oomKilledRepeatedly } from './gitaly/oom.ts';
import { rotationSlow, unwatched } from './gitaly/pods.ts';
import { serverLabels } from './gitaly/servers.ts';

export function gitalyAlerts(thresholds: Thresholds): AlertGroup {
  return {
    name: 'gitaly',
    file: 'gitaly',
    alerts: [
      gitalyDown(thresholds),
      oomKilled(thresholds),
      oomKilledRepeatedly(thresholds),
      gitOomKilled(thresholds),
      memoryNearLimit(thresholds),
      cpuThrottled(thresholds),
      requestsTurnedAway(thresholds),
      rotationSlow(thresholds),
      unwatched(thresholds),
    ],
    inhibitions,
  };
}

const inhibitions: readonly Inhibition[] = [
  {
    why: 'The page says all that the ticket says.',
    source: { names: ['GitalyOOMKilled'], severity: 'critical' },
    target: { names: ['GitalyOOMKilled'], severity: 'warning' },
    equal: serverLabels,
  },
  {
    why: 'What was about to happen has happened.',
    source: { names: ['GitalyOOMKilled'] },
    target: { names: ['GitalyMemoryNearLimit'] },
    equal: serverLabels,
  },
  {
    why: 'The same, at the limit of all Git processes.',
    source: { names: ['GitalyGitOOMKilled'] },
    target: { names: ['GitalyMemoryNearLimit'] },
    equal: [...serverLabels, 'level'],
  },
];
