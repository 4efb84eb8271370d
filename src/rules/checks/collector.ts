/** Runs the checks every minute, and keeps what they found for the API and the page. */
import type { Collector } from '../../scheduler/collector.ts';
import { type CheckChoice, checksOfRole, type Evaluation, evaluate } from './evaluate.ts';
import type { CheckInputs } from './inputs.ts';
import { checkBlock, checkMetrics } from './metrics.ts';

export const checksCollectorName = 'checks';

/** Older than this, what was found is not shown as true any more. */
export const checksMaxAgeMs = 180_000;

export interface ChecksCollectorOptions {
  /** Takes the snapshots together. Never rejects for what is expected: that is `unknown` in what it gives. */
  readonly inputs: (signal: AbortSignal) => Promise<CheckInputs>;
  /** Which checks this exporter tells: `checksOfRole`. */
  readonly chosen?: CheckChoice;
}

export interface ChecksCollector {
  readonly collector: Collector;
  /** Undefined before the first run. `at` tells its age. */
  latest(): Evaluation | undefined;
}

export function createChecksCollector({
  inputs,
  chosen = checksOfRole.all,
}: ChecksCollectorOptions): ChecksCollector {
  let latest: Evaluation | undefined;
  return {
    collector: {
      name: checksCollectorName,
      title: "Whether Gitaly's recommendations are followed",
      metrics: checkMetrics,
      schedule: { kind: 'interval', everyMs: 60_000, timeoutMs: 10_000, maxAgeMs: checksMaxAgeMs },
      async collect({ signal }) {
        const evaluation = evaluate(await inputs(signal), chosen);
        latest = evaluation;
        return { kind: 'data', block: checkBlock(evaluation), readAt: evaluation.at };
      },
    },
    latest: () => latest,
  };
}
