/** Gitaly or its Git processes held back by their CPU limits. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { panelLink, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  divide,
  increase,
  labelled,
  maxBy,
  or,
  select,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  podLevelMetrics,
} from '../../src/sources/cgroup/level-metrics.ts';
import { type Alert, alert } from '../alert.ts';
import { own, rateWindow, type ServerLabel, serverLabels, serverName } from './servers.ts';

type Labelled = Vector<ServerLabel | 'level'>;

export function cpuThrottled(thresholds: Thresholds): Alert {
  const { cpuThrottled: share, cpuThrottledFor, cpuThrottledGit, rateWindow: window } = thresholds;
  const range = rateWindow(thresholds);
  // There are ten periods a second while something runs: less than one is a Gitaly that does next to nothing.
  const leastPeriods = window.value;
  const perContainer = [...serverLabels, 'container'] as const;

  const held = <By extends ServerLabel | 'container'>(
    by: readonly By[],
    throttled: Vector<By>,
    periods: Vector<By>,
    over: number,
  ): Vector<By> => {
    const ratio: Vector<By> = divide(throttled, periods, { on: by });
    return and(above(ratio, over), above(periods, leastPeriods), { on: by });
  };
  const ofLevel = (
    of: typeof podLevelMetrics | typeof gitLevelMetrics,
    level: string,
    over: number,
  ): Labelled =>
    labelled(
      held<ServerLabel>(
        serverLabels,
        maxBy(serverLabels, own(increase(select(of.cpuThrottledPeriods), range))),
        maxBy(serverLabels, own(increase(select(of.cpuPeriods), range))),
        over,
      ),
      'level',
      level,
    );
  const ofContainer: Labelled = labelled(
    maxBy(
      serverLabels,
      held<ServerLabel | 'container'>(
        perContainer,
        maxBy(perContainer, own(increase(select(containerLevelMetrics.cpuThrottledPeriods), range))),
        maxBy(perContainer, own(increase(select(containerLevelMetrics.cpuPeriods), range))),
        share.value,
      ),
    ),
    'level',
    'container',
  );
  return alert({
    name: 'GitalyCPUThrottled',
    severity: 'warning',
    expression: or(
      or(ofLevel(gitLevelMetrics, 'git', cpuThrottledGit.value), ofContainer),
      ofLevel(podLevelMetrics, 'pod', share.value),
    ),
    forSeconds: cpuThrottledFor.value,
    panel: panelLink(serversDashboard, 'throttledShare'),
    firesWhen: `for ${durationInWords(cpuThrottledFor.value)}, the CPU limit of Gitaly's container or of the pod held it back in over ${share.value * 100} % of the periods of ${durationInWords(window.value)}, or that of all Git processes in over ${cpuThrottledGit.value * 100} %`,
    summary: ({ by, share: ofPeriods }) =>
      `${serverName}: held back by the CPU limit of ${by('level', { git: 'all Git processes', container: "Gitaly's container", pod: 'the pod' })} in ${ofPeriods} of the time`,
    description: ({ by, since }) =>
      `Since ${since}. ${by('level', {
        git: 'Clones, fetches and pushes are slow. Gitaly itself answers.',
        container: 'Every request waits for Gitaly, whichever repository it is for; health checks may fail.',
        pod: 'Gitaly and Git are slow together; health checks may fail.',
      })} Gitaly's own watcher does not lower its adaptive limits for this, by an error in its arithmetic.`,
  });
}
