/** The findings as metrics. */
import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';
import { type Block, samplesOf } from '../../metrics/samples.ts';
import type { Evaluation } from './evaluate.ts';
import { checkIds } from './ids.ts';

const origin =
  'the checks of docs/posture.md, over what the Kubernetes API, the node and the configurations say';

export const posture = gauge('gitaly_server_posture', {
  help: 'Whether a recommendation is followed: 1 it is, 0 it is not. Absent where that is not known (see gitaly_server_posture_unknown) or where it does not apply. Labels that do not apply to the check are empty; a virtual machine has node alone.',
  origin,
  labels: { check: checkIds, namespace: anyValue, pod: anyValue, node: anyValue, workload: anyValue },
});

export const postureUnknown = gauge('gitaly_server_posture_unknown', {
  help: 'Of how many pods, nodes or workloads it is not known whether they follow the recommendation, although it applies: a right is missing, or nobody reads it. The page and doctor say why.',
  origin,
  labels: { check: checkIds },
});

export const postureMetrics: readonly Metric[] = Object.freeze([posture, postureUnknown]);

export function postureBlock({ checks, findings }: Evaluation): Block {
  const followed = samplesOf(posture);
  const unknown = samplesOf(postureUnknown);
  for (const { check, subject, result } of findings)
    if (result !== 'unknown') followed.set({ check, ...subject }, result === 'pass' ? 1 : 0);
  for (const { id } of checks) {
    const open = findings.filter(
      ({ check, result, notApplicable }) => check === id && result === 'unknown' && !notApplicable,
    );
    unknown.set({ check: id }, open.length);
  }
  return { families: [followed.family(), unknown.family()] };
}
