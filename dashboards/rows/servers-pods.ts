/** Gitaly's pods on Kubernetes: whether they are Ready, how they rotate, what is not as recommended. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import { above, equals, increase, maxBy, not, subtract } from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import { checkPassed, checksUnknown } from '../../src/rules/checks/collector.ts';
import {
  disruptionsAllowed,
  podReady,
  podRestarts,
  podRotation,
  podRotations,
  podWaitingContainers,
} from '../../src/sources/kubernetes/metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOfServers, gaugeOfServers } from '../variables.ts';
import { perServer, range, server } from './servers.ts';

const { panels: ids, rows } = serversDashboard;

export const pods = (): Row => ({
  id: rows.pods,
  title: 'Pods (Kubernetes)',
  panels: [
    timeseries({
      id: ids.ready,
      title: 'Ready',
      tells: '1 while it serves. Alert: GitalyDown.',
      unit: 'short',
      queries: [{ expression: maxBy(server, gaugeOfServers(podReady)), legend: perServer }],
      width: 6,
    }),
    timeseries({
      id: ids.restarts,
      title: 'Restarts of containers',
      tells: 'OOMKilled: the container died. A Git process killed in its bucket is not among them.',
      unit: 'short',
      queries: [
        {
          expression: above(
            maxBy([...server, 'container', 'reason'], increase(counterOfServers(podRestarts), range)),
            0,
          ),
          legend: `{{container}} of ${perServer}: {{reason}}`,
        },
      ],
      draw: 'bars',
      width: 6,
    }),
    timeseries({
      id: ids.waiting,
      title: 'Containers that wait to be started',
      tells: 'What keeps a pod from being Ready.',
      unit: 'short',
      queries: [
        {
          expression: above(maxBy([...server, 'reason'], gaugeOfServers(podWaitingContainers)), 0),
          legend: `${perServer}: {{reason}}`,
        },
      ],
      width: 6,
    }),
    timeseries({
      id: ids.disruptions,
      title: 'Disruptions allowed',
      tells: '0 with all pods Ready: no drain of a node gets through.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            ['cluster', 'namespace', 'poddisruptionbudget'],
            gaugeOfServers(disruptionsAllowed),
          ),
          legend: '{{poddisruptionbudget}}',
        },
      ],
      width: 6,
    }),
  ],
});

export const rotation = ({ thresholds }: MonitoringSettings): Row => ({
  id: rows.rotation,
  title: 'Rotation: for the data of a pod it is an outage',
  panels: [
    timeseries({
      id: ids.rotationPhases,
      title: 'Last rotation, by phase',
      tells: `Where the time goes. In all it should stay below ${thresholds.rotationSlow.value} s. Alert: GitalyRotationSlow.`,
      unit: 's',
      queries: [
        {
          expression: maxBy(
            ['cluster', 'namespace', 'pod', 'phase'],
            gaugeOfServers(podRotation, { phase: not('total') }),
          ),
          legend: '{{pod}} {{phase}}',
        },
      ],
      draw: 'stacked',
      width: 12,
    }),
    timeseries({
      id: ids.rotations,
      title: 'Rotations, by cause',
      tells: 'Why pods went.',
      unit: 'short',
      queries: [
        {
          expression: above(maxBy([...server, 'cause'], increase(counterOfServers(podRotations), range)), 0),
          legend: `${perServer}: {{cause}}`,
        },
      ],
      draw: 'bars',
      width: 12,
    }),
  ],
});

export const checksRow = (): Row => ({
  id: rows.checks,
  title: 'Recommendations',
  panels: [
    timeseries({
      id: ids.checksFailing,
      title: 'Not followed',
      tells: 'What it costs and how to mend it: gitaly-exporter doctor, the page, docs/checks.md.',
      unit: 'short',
      queries: [
        {
          expression: subtract(
            1,
            equals(maxBy([...server, 'workload', 'check'], gaugeOfServers(checkPassed)), 0),
          ),
          legend: '{{check}}: {{pod}} {{workload}} {{node}}',
        },
      ],
      draw: 'stacked',
      width: 12,
    }),
    timeseries({
      id: ids.checksUnknown,
      title: 'Not known',
      tells: 'A right is missing, or nobody reads what would tell.',
      unit: 'short',
      queries: [
        {
          expression: above(maxBy(['cluster', 'check'], gaugeOfServers(checksUnknown)), 0),
          legend: '{{check}}',
        },
      ],
      draw: 'stacked',
      width: 12,
    }),
  ],
});
