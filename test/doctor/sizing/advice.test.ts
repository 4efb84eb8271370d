/** Proposals that depend on where Git runs: its memory is not Gitaly's own. */
import { expect, test } from '@jest/globals';
import { adviceOf } from '../../../src/doctor/sizing/advice.ts';
import type { DailySeries, ServerHistory } from '../../../src/doctor/sizing/history.ts';
import type { SizingGroup } from '../../../src/doctor/sizing/report.ts';

const days = 14;
const gibibyte = 2 ** 30;

/** A pod with a container of 12 GiB at its peak, and Git in it (`none`), or next to it with 4 GiB (`sibling`). */
function adviceFor(layout: 'none' | 'sibling'): SizingGroup | undefined {
  const all = (value: number, detail = ''): DailySeries[] => [
    { rpc: '', detail, days: Array<number>(days).fill(value) },
  ];
  const series: Readonly<Record<string, readonly DailySeries[]>> = {
    cgroupSteps: all(96),
    gitalyPeak: all(12 * gibibyte),
    oomKills: all(0, 'container'),
    cpuPeak: all(1),
    layout: all(1, layout),
    ...(layout === 'sibling' && { gitPeak: all(4 * gibibyte), bucketPeak: all(gibibyte) }),
  };
  const server: ServerHistory = {
    cluster: '',
    identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'n1' },
    series: (query) => series[query] ?? [],
  };
  return adviceOf({ servers: [server], problems: [] })[0];
}

test('where Git runs in the container, its peak is not that of Gitaly: no GOMEMLIMIT is proposed from it', () => {
  const none = adviceFor('none');
  expect(none?.sizes.map(({ id }) => id)).toEqual(['cpu_cores']);
  expect(none?.helm).not.toContain('GOMEMLIMIT');
  expect(none?.caveats.join()).toContain("Git runs in the container's own cgroup");
  expect(adviceFor('sibling')?.helm).toContain('GOMEMLIMIT');
});
