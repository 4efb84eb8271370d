/** Memory that nobody can take back, near the limit at which the kernel begins to kill. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { panelLink, serversDashboard } from '../../src/monitoring/links.ts';
import { above, divide, labelled, maxBy, or, select } from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  podLevelMetrics,
} from '../../src/sources/cgroup/level-metrics.ts';
import { type Alert, alert, sustained } from '../alert.ts';
import { highest, lowest, matched, serverLabels, serverName } from './servers.ts';

export function memoryNearLimit(thresholds: Thresholds): Alert {
  const { memoryNearLimit: nearLimit, memoryNearLimitFor } = thresholds;
  const near = <const Level extends string>(
    of: typeof podLevelMetrics | typeof gitLevelMetrics,
    level: Level,
  ) =>
    labelled(
      above(
        divide(
          highest(thresholds, serverLabels, select(of.memoryAnon)),
          lowest(thresholds, serverLabels, select(of.memoryLimit)),
          { on: serverLabels },
        ),
        nearLimit.value,
      ),
      'level',
      level,
    );
  const perContainer = [...serverLabels, 'container'] as const;
  const ofContainer = labelled(
    maxBy(
      serverLabels,
      above(
        divide(
          highest(thresholds, perContainer, select(containerLevelMetrics.memoryAnon)),
          lowest(thresholds, perContainer, select(containerLevelMetrics.memoryLimit)),
          { on: perContainer },
        ),
        nearLimit.value,
      ),
    ),
    'level',
    'container',
  );
  return alert({
    name: 'GitalyMemoryNearLimit',
    severity: 'warning',
    expression: or(or(near(gitLevelMetrics, 'git'), ofContainer), near(podLevelMetrics, 'pod')),
    forSeconds: sustained(thresholds, memoryNearLimitFor.value),
    panel: panelLink(serversDashboard, 'memoryShare'),
    firesWhen: `for ${durationInWords(memoryNearLimitFor.value)}, anonymous memory was over ${nearLimit.value * 100} % of the limit of all Git processes, of Gitaly's container or of the pod`,
    summary: ({ by, share }) =>
      `${serverName}: ${by('level', { git: 'all Git processes together hold', container: "Gitaly's container holds", pod: 'the pod holds' })} ${share} of the memory they may use`,
    description: ({ ask, by, same, since }) => {
      const matchers = same(...matched);
      const held = (
        of: typeof podLevelMetrics | typeof gitLevelMetrics | typeof containerLevelMetrics,
      ): string => {
        const anon = ask(maxBy([], select(of.memoryAnon, matchers)), 'bytes', 'an unknown part');
        return `${anon} of ${ask(maxBy([], select(of.memoryLimit, matchers)), 'bytes', 'an unknown limit')}`;
      };
      return [
        `Since ${since}: ${by('level', { git: held(gitLevelMetrics), container: held(containerLevelMetrics), pod: held(podLevelMetrics) })}, page cache not counted.`,
        by('level', {
          git: 'The next large Git process is killed, or another one in its place, of whatever repository.',
          container:
            'The next to be killed is likely Gitaly itself, and its repositories are out of reach until it is back.',
          pod: 'The next to be killed is a Git process or Gitaly itself: whichever is largest.',
        }),
      ].join(' ');
    },
  });
}
