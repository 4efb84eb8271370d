/** Runs the checks every minute: their metrics, and the latest evaluation for the API and the page. */

import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';
import { type Block, createSamples } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { ownFailureReasons } from '../../scheduler/outcome.ts';
import { checkIds } from './check.ts';
import { type CheckFilter, checksOfRole, type Evaluation, evaluate } from './evaluate.ts';
import type { CheckInputs } from './inputs.ts';

const origin = 'the checks of docs/checks.md, on the Kubernetes API, files of the node and configurations';

export const checkPassed = gauge('gitaly_server_check_passed', {
  help: 'Whether the subject passes the check of a recommendation (1) or fails it (0).',
  details:
    'Absent where the result is unknown (gitaly_server_checks_unknown counts those) or where the check does not apply. Labels that do not apply to the check are empty; a virtual machine has only node.',
  origin,
  labels: { check: checkIds, namespace: anyValue, pod: anyValue, node: anyValue, workload: anyValue },
});

export const checksUnknown = gauge('gitaly_server_checks_unknown', {
  help: 'Pods, nodes and workloads for which the result of the check is unknown although it applies.',
  details: 'A permission is missing, or no exporter reads the source. The page and doctor show the reason.',
  origin,
  labels: { check: checkIds },
});

export const checkMetrics: readonly Metric[] = Object.freeze([checkPassed, checksUnknown]);

export function checkBlock({ checks, findings }: Evaluation): Block {
  const samples = createSamples();
  for (const { id, labels, result } of findings)
    samples.set(checkPassed, { check: id, ...labels }, result === 'unknown' ? undefined : result === 'pass');
  for (const { id } of checks) {
    const open = findings.filter(
      (finding) => finding.id === id && finding.result === 'unknown' && !finding.notApplicable,
    );
    samples.set(checksUnknown, { check: id }, open.length);
  }
  return { families: samples.families() };
}

export const checksCollectorName = 'checks';

/** An older evaluation is stale, and not shown. */
export const checksMaxAgeMs = 180_000;

export interface ChecksCollectorOptions {
  /** Reads the facts. Never rejects for an expected failure: that fact is unknown. */
  readonly inputs: (signal: AbortSignal) => Promise<CheckInputs>;
  /** The checks of this exporter's role: `checksOfRole`. */
  readonly filter?: CheckFilter;
}

export interface ChecksCollector {
  readonly collector: Collector;
  /** Undefined before the first run. */
  latest(): Evaluation | undefined;
}

export function createChecksCollector({
  inputs,
  filter = checksOfRole.all,
}: ChecksCollectorOptions): ChecksCollector {
  let latest: Evaluation | undefined;
  return {
    collector: {
      name: checksCollectorName,
      title: 'Checks of the recommendations for Gitaly and Praefect',
      metrics: checkMetrics,
      failureReasons: ownFailureReasons,
      schedule: { kind: 'interval', everyMs: 60_000, timeoutMs: 10_000, maxAgeMs: checksMaxAgeMs },
      async collect({ signal }) {
        const evaluation = evaluate(await inputs(signal), filter);
        latest = evaluation;
        return { kind: 'data', block: checkBlock(evaluation), readAt: evaluation.at };
      },
    },
    latest: () => latest,
  };
}
