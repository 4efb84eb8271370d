/** Runs the checks every minute, and keeps what they found for the API and the page. */
import type { Collector } from '../../scheduler/collector.ts';
import { type CheckChoice, checksOfRole, type Evaluation, evaluate } from './evaluate.ts';
import type { PostureInputs } from './inputs.ts';
import { postureBlock, postureMetrics } from './metrics.ts';

export const postureCollectorName = 'posture';

/** Older than this, what was found is not shown as true any more. */
export const postureMaxAgeMs = 180_000;

export interface PostureOptions {
  /** Takes the snapshots together. Never rejects for what is expected: that is `unknown` in what it gives. */
  readonly inputs: (signal: AbortSignal) => Promise<PostureInputs>;
  /** Which checks this exporter tells: `checksOfRole`. */
  readonly chosen?: CheckChoice;
}

export interface PostureRoom {
  readonly collector: Collector;
  /** Undefined before the first run. `at` tells its age. */
  latest(): Evaluation | undefined;
}

export function createPosture({ inputs, chosen = checksOfRole.all }: PostureOptions): PostureRoom {
  let latest: Evaluation | undefined;
  return {
    collector: {
      name: postureCollectorName,
      title: "Whether Gitaly's recommendations are followed",
      metrics: postureMetrics,
      schedule: { kind: 'interval', everyMs: 60_000, timeoutMs: 10_000, maxAgeMs: postureMaxAgeMs },
      async collect({ signal }) {
        const evaluation = evaluate(await inputs(signal), chosen);
        latest = evaluation;
        return { kind: 'data', block: postureBlock(evaluation), readAt: evaluation.at };
      },
    },
    latest: () => latest,
  };
}
