/** The arguments of problem rules next to their view: default thresholds, and a history of earlier records. */
import { createProblemHistory, type ProblemHistory } from '../../src/rules/problems/history.ts';
import type { ProblemViews } from '../../src/rules/problems/tracker.ts';
import { defaultThresholds, type Thresholds } from '../../src/rules/thresholds.ts';

type Recorded = readonly (Partial<Pick<ProblemViews, 'praefect' | 'gitaly' | 'cgroup'>> & {
  /** Seconds since 1970. */
  readonly at: number;
})[];

export function problemSituation<View>(
  view: View,
  now: number,
  recorded: Recorded = [],
): {
  readonly view: View;
  readonly history: ProblemHistory;
  readonly thresholds: Thresholds;
  readonly now: number;
} {
  const history = createProblemHistory(() => defaultThresholds);
  for (const { at, ...views } of recorded)
    history.record({ praefect: undefined, gitaly: undefined, cgroup: undefined, ...views }, at);
  return { view, history, thresholds: defaultThresholds, now };
}
