/** The row with which the board begins: whether what it says is there, and whether anything is wrong. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import {
  add,
  countBy,
  divide,
  increase,
  maxBy,
  multiply,
  oneOf,
  or,
  subtract,
  sumBy,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import { collectorSuccess } from '../../src/scheduler/self-metrics.ts';
import { gitLevelMetrics } from '../../src/sources/cgroup/level-metrics.ts';
import { bucketsNearLimit, oomKills } from '../../src/sources/cgroup/metrics.ts';
import { scrapeUp } from '../../src/sources/gitaly/metrics.ts';
import { podReady } from '../../src/sources/kubernetes/metrics.ts';
import { serverInfo } from '../../src/sources/server-info.ts';
import type { Row } from '../board.ts';
import { stat } from '../kit.ts';
import { counterOfServers, gaugeOfServers } from '../variables.ts';
import { ofLevels, rateBy, server, throttledShare } from './servers.ts';

const { panels: ids, rows } = serversDashboard;

/** Stands for a limit that is not set: lower than any share, so that it has a colour of its own. */
const noLimit = -2;

export function glance({ thresholds }: MonitoringSettings): Row {
  const killed = (...levels: ('bucket' | 'git' | 'container' | 'pod' | 'node')[]) =>
    sumBy(
      [],
      maxBy(
        [...server, 'level'],
        increase(counterOfServers(oomKills, { level: oneOf(...levels) }), '$__range'),
      ),
    );
  const answers = or(
    maxBy(server, gaugeOfServers(podReady)),
    maxBy(server, gaugeOfServers(scrapeUp, { component: 'gitaly' })),
  );
  const gitShare = maxBy(
    [],
    divide(
      maxBy(server, gaugeOfServers(gitLevelMetrics.memoryAnon)),
      maxBy(server, gaugeOfServers(gitLevelMetrics.memoryLimit)),
      { on: server },
    ),
  );
  const unlimited = add(
    multiply(
      maxBy(
        [],
        unless(
          maxBy(server, gaugeOfServers(gitLevelMetrics.memoryUsage)),
          maxBy(server, gaugeOfServers(gitLevelMetrics.memoryLimit)),
          { on: server },
        ),
      ),
      0,
    ),
    noLimit,
  );
  const cpuUsage = ofLevels((of, by) => rateBy(by, of.cpuUsage));
  return {
    id: rows.glance,
    title: 'At a glance',
    panels: [
      stat({
        id: ids.found,
        title: 'Gitalys watched',
        tells:
          'Gitalys whose cgroups an exporter reads. MISSING: none of them, so this board shows nothing. A pod that is not among them: GitalyUnwatched.',
        unit: 'short',
        expression: countBy([], maxBy(server, gaugeOfServers(serverInfo))),
        steps: ['red', [1, 'green']],
        width: 3,
      }),
      stat({
        id: ids.collectors,
        title: 'Failing collectors',
        tells:
          'Collectors without a good answer: their series are old or withdrawn. Alert: GitalyExporterCollectorFailing.',
        unit: 'short',
        expression: sumBy(
          [],
          subtract(1, maxBy(['cluster', 'job', 'instance', 'collector'], gaugeOfServers(collectorSuccess))),
        ),
        steps: ['green', [1, 'red']],
        width: 3,
      }),
      stat({
        id: ids.answers,
        title: 'Gitalys down',
        tells:
          'Gitalys whose pod is not Ready, or, where no Kubernetes tells of them, whose own metrics do not answer. MISSING: nobody tells; set gitaly.target or kubernetes.enabled. Alert: GitalyDown.',
        unit: 'short',
        expression: sumBy([], subtract(1, answers)),
        steps: ['green', [1, 'red']],
        width: 3,
      }),
      stat({
        id: ids.gitalyKills,
        title: 'OOM: Gitaly, pod, node',
        tells:
          'Processes killed in the chosen time because the container, the pod or the node was out of memory: Gitaly itself may have been among them. Alert: GitalyOOMKilled.',
        unit: 'short',
        expression: killed('container', 'pod', 'node'),
        steps: ['green', [1, 'red']],
        overRange: true,
        width: 3,
      }),
      stat({
        id: ids.gitKills,
        title: 'OOM: Git alone',
        tells:
          'Git processes killed in the chosen time because a bucket of repositories, or all Git processes together, were out of memory. Gitaly went on. Alert: GitalyGitOOMKilled.',
        unit: 'short',
        expression: killed('bucket', 'git'),
        steps: ['green', [1, 'orange'], [thresholds.gitOomKills.value, 'red']],
        overRange: true,
        width: 3,
      }),
      stat({
        id: ids.gitMemory,
        title: 'Git memory, fullest',
        tells:
          'Anonymous memory of all Git processes as a share of their limit, of the Gitaly where it is highest. MISSING: Git cgroups are off. Alert: GitalyMemoryNearLimit.',
        unit: 'percentunit',
        expression: or(gitShare, unlimited, { on: [] }),
        words: { [noLimit]: 'no limit' },
        steps: ['orange', [0, 'green'], [thresholds.memoryNearLimit.value, 'red']],
        width: 3,
      }),
      stat({
        id: ids.nearLimit,
        title: 'Buckets near limit',
        tells: 'Buckets of repositories whose anonymous memory is over 80 % of their limit.',
        unit: 'short',
        expression: sumBy([], maxBy(server, gaugeOfServers(bucketsNearLimit))),
        steps: ['green', [1, 'orange']],
        width: 3,
      }),
      stat({
        id: ids.throttled,
        title: 'Throttled, worst',
        tells:
          'Share of the periods in which a CPU limit held something back, of the Gitaly and level where it is highest. Alert: GitalyCPUThrottled.',
        unit: 'percentunit',
        // Where nothing ran, or nothing has a limit, nothing is held back.
        expression: or(maxBy([], throttledShare()), multiply(maxBy([], cpuUsage), 0), { on: [] }),
        steps: [
          'green',
          [thresholds.cpuThrottled.value, 'orange'],
          [thresholds.cpuThrottledGit.value, 'red'],
        ],
        width: 3,
      }),
    ],
  };
}
