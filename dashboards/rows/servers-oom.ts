/** OOM kills, as they happen: by the level whose limit ran out, and by bucket. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import { above, increase, maxBy, sumBy } from '../../src/monitoring/promql/index.ts';
import { bucketOomKills, oomKills } from '../../src/sources/cgroup/metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOfServers } from '../variables.ts';
import { range, server } from './servers.ts';

const { panels: ids, rows } = serversDashboard;

export const oom = (): Row => ({
  id: rows.oom,
  title: 'OOM kills',
  panels: [
    timeseries({
      id: ids.oomKills,
      title: 'Processes killed, by the level that ran out',
      tells:
        'bucket: the repositories of one bucket. git: all Git processes together. container, pod, node: Gitaly itself may have been killed. Alert: GitalyOOMKilled.',
      unit: 'short',
      queries: [
        {
          expression: above(
            sumBy(
              ['pod', 'node', 'level'],
              maxBy([...server, 'level'], increase(counterOfServers(oomKills), range)),
            ),
            0,
          ),
          legend: '{{level}} of {{pod}} {{node}}',
        },
      ],
      draw: 'bars',
      width: 12,
    }),
    timeseries({
      id: ids.oomByBucket,
      title: 'Processes killed, by bucket',
      tells:
        'gitaly-exporter bucket, or the link of the bucket on its page, says which repositories share it. Alert: GitalyGitOOMKilled.',
      unit: 'short',
      queries: [
        {
          expression: above(
            maxBy([...server, 'bucket'], increase(counterOfServers(bucketOomKills), range)),
            0,
          ),
          legend: 'repos-{{bucket}} of {{pod}} {{node}}',
        },
      ],
      draw: 'bars',
      width: 12,
    }),
  ],
});
