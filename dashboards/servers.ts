/** Gitaly's servers: memory, CPU and OOM kills by level and bucket, and the pods around them. */

import { serversDashboard } from '../src/monitoring/links.ts';
import { maxBy, multiply, oneOf } from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { lastOom } from '../src/sources/cgroup/metrics.ts';
import { serverInfo } from '../src/sources/server-info.ts';
import { type Board, board, runbookLinks } from './board.ts';
import { server } from './rows/servers.ts';
import { bucketRow } from './rows/servers-buckets.ts';
import { cpu } from './rows/servers-cpu.ts';
import { glance } from './rows/servers-glance.ts';
import { memory } from './rows/servers-memory.ts';
import { oom } from './rows/servers-oom.ts';
import { checksRow, pods, rotation } from './rows/servers-pods.ts';
import { pressure } from './rows/servers-pressure.ts';
import { gaugeOfServers } from './variables.ts';

export const serversBoard = (settings: MonitoringSettings): Board =>
  board('servers', {
    uid: serversDashboard.uid,
    title: 'Gitaly: memory, CPU, OOM kills, pods',
    description:
      'How near each Gitaly and its Git processes are to their limits of memory and CPU, what was killed and whose limit ran out, and how their pods fare. Needs cgroup.enabled on each node or virtual machine with Gitaly; the rows on pods need kubernetes.enabled.',
    choices: { of: 'servers', metric: serverInfo },
    rows: [
      glance(settings),
      oom(),
      memory(settings),
      bucketRow(),
      cpu(settings),
      pressure(),
      pods(),
      rotation(settings),
      checksRow(),
    ],
    moments: [
      {
        name: 'OOM kills of Gitaly',
        expression: multiply(
          maxBy([...server, 'level'], gaugeOfServers(lastOom, { level: oneOf('container', 'pod', 'node') })),
          1000,
        ),
        colour: 'red',
        title: 'OOM kill',
        text: '{{pod}} {{node}}: the {{level}} was out of memory',
      },
    ],
    links: runbookLinks(settings),
  });
