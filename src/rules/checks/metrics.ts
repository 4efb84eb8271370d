/** The findings as metrics. */
import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';
import { type Block, samplesOf } from '../../metrics/samples.ts';
import type { Evaluation } from './evaluate.ts';
import { checkIds } from './ids.ts';

const origin =
  'the checks of docs/checks.md, over what the Kubernetes API, the node and the configurations say';

export const checkPassed = gauge('gitaly_server_check_passed', {
  help: 'Whether a recommendation is followed: 1 it is, 0 it is not. Absent where that is not known (see gitaly_server_checks_unknown) or where it does not apply. Labels that do not apply to the check are empty; a virtual machine has node alone.',
  origin,
  labels: { check: checkIds, namespace: anyValue, pod: anyValue, node: anyValue, workload: anyValue },
});

export const checksUnknown = gauge('gitaly_server_checks_unknown', {
  help: 'Of how many pods, nodes or workloads it is not known whether they follow the recommendation, although it applies: a right is missing, or nobody reads it. The page and doctor say why.',
  origin,
  labels: { check: checkIds },
});

export const checkMetrics: readonly Metric[] = Object.freeze([checkPassed, checksUnknown]);

export function checkBlock({ checks, findings }: Evaluation): Block {
  const followed = samplesOf(checkPassed);
  const unknown = samplesOf(checksUnknown);
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
