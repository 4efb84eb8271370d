/** Pods, nodes and rollouts of Gitaly on Kubernetes, and recommendations that are no longer followed. */
import { happenedWithin } from '../../src/monitoring/ages.ts';
import { durationInWords, lastInWords, promDuration } from '../../src/monitoring/durations.ts';
import { capacityDashboard, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  changes,
  equals,
  maxBy,
  maxOverTime,
  not,
  select,
  subtract,
  unless,
} from '../../src/monitoring/promql/index.ts';
import { gaugeWindow, highest, lowest, recorded, sustained } from '../../src/monitoring/recording.ts';
import { podLabels } from '../../src/monitoring/recordings/gitaly.ts';
import { cordonedNodes } from '../../src/monitoring/recordings/platform.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { checkPassed } from '../../src/rules/checks/collector.ts';
import { hour, minute, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import {
  disruptionExpected,
  disruptionHealthy,
  disruptionsAllowed,
  nodePressure,
  nodeReady,
  podLastRotation,
  podReady,
  podRotation,
  statefulSetReadyReplicas,
  statefulSetReplicas,
  statefulSetRollingOut,
  statefulSetUpdatedReplicas,
} from '../../src/sources/kubernetes/metrics.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { withoutProblem } from '../texts.ts';

export const kubernetesThresholds = {
  rolloutStuck: seconds(
    10 * minute,
    'No further pod got the new template: longer than one rotation of a pod with a large volume. A pod that is not Ready pages before.',
  ),
  checkRegressed: seconds(hour, 'Longer than a change in several steps.'),
} satisfies ThresholdTable;

export const kubernetesAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  rotationSlow(thresholds),
  rolloutStuck(thresholds),
  drainBlocked(thresholds),
  nodeUnderPressure(thresholds),
  nodeNotReady(thresholds),
  checkRegressed(thresholds),
];

function rotationSlow(thresholds: AlertThresholds): Alert {
  const { rotationWindow, rotationSlow: slow } = thresholds;
  const window = promDuration(rotationWindow.value);
  const took = maxBy(podLabels, maxOverTime(select(podRotation, { phase: 'total' }), window));
  const ended = maxBy(podLabels, maxOverTime(select(podLastRotation), window));
  return alert({
    ...judgedWithPage('GitalyRotationSlow', thresholds),
    expression: and(above(took, slow.value), happenedWithin(thresholds, ended, rotationWindow.value), {
      on: podLabels,
    }),
    panel: { dashboard: serversDashboard, title: 'Last rotation by phase' },
    firesWhen: `within ${lastInWords(rotationWindow.value)} the rotation of a Gitaly pod, from its deletion until it was Ready again, took over ${durationInWords(slow.value)}`,
    summary: ({ label, value }) => `The rotation of Gitaly pod ${label('pod')} took ${value('duration')}`,
    description: ({ list, same }) =>
      `Its repositories were unavailable for that long. Phases that took long: ${list(
        above(
          maxBy(['phase'], select(podRotation, { ...same('namespace', 'pod'), phase: not('total') })),
          slow.value / 4,
        ),
        'phase',
        'unknown',
      )}. The next rollout or eviction takes as long; the runbook has the cause of each phase.`,
  });
}

const setLabels = ['cluster', 'namespace', 'statefulset'] as const;

function rolloutStuck(thresholds: AlertThresholds): Alert {
  const { gitalyDown, rolloutStuck: stuckFor } = thresholds;
  const on = { on: setLabels };
  // Not by the number of updated pods: one that is missing or terminating is not updated either, without any rollout.
  const rollingOut = equals(highest(thresholds, setLabels, select(statefulSetRollingOut)), 1);
  const notReady = subtract(
    lowest(thresholds, setLabels, select(statefulSetReplicas)),
    highest(thresholds, setLabels, select(statefulSetReadyReplicas)),
    on,
  );
  // A set of many pods takes hours, one pod after the other.
  const progress = above(changes(select(statefulSetUpdatedReplicas), promDuration(stuckFor.value)), 0);
  return alert({
    name: 'GitalyRolloutStuck',
    severity: 'warning',
    expression: unless(and(rollingOut, above(notReady, 0), on), progress, on),
    forSeconds: sustained(thresholds, gitalyDown.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: serversDashboard, title: 'Pod readiness' },
    firesWhen: `for ${durationInWords(gitalyDown.value)}, the rollout of a StatefulSet of Gitaly was incomplete and a pod not Ready, and within ${durationInWords(stuckFor.value)} no further pod got the new template`,
    summary: ({ label }) => `The rollout of StatefulSet ${label('statefulset')} is stuck`,
    description: ({ label }) =>
      `A pod is not Ready, so the rollout does not continue. Check that pod; kubectl -n ${label('namespace')} rollout undo statefulset ${label('statefulset')} returns to the previous template.`,
  });
}

const budgetLabels = ['cluster', 'namespace', 'poddisruptionbudget'] as const;

function drainBlocked(thresholds: AlertThresholds): Alert {
  const { drainBlocked: blockedFor } = thresholds;
  const none = equals(highest(thresholds, budgetLabels, select(disruptionsAllowed)), 0);
  // A budget of a set without pods allows no disruption either, and blocks nothing.
  const missing = subtract(
    above(highest(thresholds, budgetLabels, select(disruptionExpected)), 0),
    lowest(thresholds, budgetLabels, select(disruptionHealthy)),
    { on: budgetLabels },
  );
  return alert({
    ...judgedWithPage('GitalyDrainBlocked', thresholds),
    expression: and(and(none, equals(missing, 0), { on: budgetLabels }), recorded(cordonedNodes), {
      on: ['cluster', 'namespace'],
    }),
    panel: { dashboard: serversDashboard, title: 'Disruption budgets' },
    firesWhen: `for ${durationInWords(blockedFor.value)}, a node with Gitaly pods was cordoned, all pods of a PodDisruptionBudget were healthy, and it allowed no eviction`,
    summary: ({ label }) => `PodDisruptionBudget ${label('poddisruptionbudget')} blocks the drain of a node`,
    description: ({ list, same }) =>
      `Cordoned nodes with Gitaly pods: ${list(
        recorded(cordonedNodes, same('namespace')),
        'node',
        'unknown',
      )}. The budget never allows an eviction, so the drain waits forever. Delete the pod in a quiet moment, or change the budget for the drain.`,
  });
}

function nodeUnderPressure(thresholds: AlertThresholds): Alert {
  const { nodePressure: pressureFor } = thresholds;
  return alert({
    ...judgedWithPage('GitalyNodePressure', thresholds),
    expression: equals(lowest(thresholds, ['cluster', 'node', 'resource'], select(nodePressure)), 1),
    panel: { dashboard: serversDashboard, title: 'Pod readiness' },
    firesWhen: `for ${durationInWords(pressureFor.value)}, a node with Gitaly pods reported MemoryPressure, DiskPressure or PIDPressure`,
    summary: ({ label }) => `Node ${label('node')} with Gitaly pods is under ${label('resource')} pressure`,
    description: () =>
      'The kubelet evicts pods from the node, those that exceed their requests first. A Gitaly that is evicted is unavailable until it runs on another node. Free the resource; give Gitaly requests equal to its limits.',
  });
}

function nodeNotReady(thresholds: AlertThresholds): Alert {
  const { gitalyDown } = thresholds;
  return alert({
    ...judgedWithPage('GitalyNodeNotReady', thresholds),
    expression: equals(highest(thresholds, ['cluster', 'node'], select(nodeReady)), 0),
    panel: { dashboard: serversDashboard, title: 'Pod readiness' },
    firesWhen: `for ${durationInWords(gitalyDown.value)}, a node with Gitaly pods was not Ready`,
    summary: ({ label }) => `Node ${label('node')} with Gitaly pods is not Ready`,
    description: ({ list, same }) =>
      `Pods of Gitaly on it: ${list(maxBy(['pod'], select(podReady, same('node'))), 'pod', 'unknown')}. A StatefulSet does not replace them while the node may still run them. If the node is lost for good, delete it or taint it node.kubernetes.io/out-of-service.`,
  });
}

function checkRegressed(thresholds: AlertThresholds): Alert {
  const { checkRegressed: failsFor } = thresholds;
  const labels = ['cluster', 'check', 'namespace', 'pod', 'node', 'workload'] as const;
  const yesterday = maxOverTime(select(checkPassed), gaugeWindow(thresholds), '1d');
  return alert({
    name: 'GitalyCheckRegressed',
    severity: 'warning',
    expression: and(equals(highest(thresholds, labels, select(checkPassed)), 0), equals(yesterday, 1), {
      on: labels,
    }),
    forSeconds: failsFor.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: capacityDashboard, title: 'Failing checks by object' },
    firesWhen: `a check of a recommendation that passed a day ago has failed for ${durationInWords(failsFor.value)}`,
    summary: ({ label }) => `Check ${label('check')} fails, which passed a day ago`,
    description: () =>
      'A recommendation that was followed yesterday is not followed any more (object: {{ or $labels.workload $labels.pod $labels.node "the cluster" }}). What it prevents and how to fix it is in docs/checks.md; gitaly-exporter doctor shows what was found.',
  });
}
