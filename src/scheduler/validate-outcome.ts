/**
 * Validates what a collector returned. The compiler rejects most wrong outcomes; this covers what it cannot see. A
 * family that another collector owns would mix two sources under one name: the block is dropped, and only its own
 * collector fails.
 */
import type { Block } from '../metrics/samples.ts';
import type { Collector } from './collector.ts';
import { failed, failureReasons, type Outcome } from './outcome.ts';
import { countSeries } from './series-limit.ts';

/** The outcome itself, or a failed one (`internal`) that names the fault. Throws what its getters throw. */
export function validateOutcome(outcome: Outcome, collector: Collector): Outcome {
  const fault = faultOf(outcome, collector);
  return fault === undefined ? outcome : failed('internal', `internal error in ${collector.name}: ${fault}`);
}

function faultOf(outcome: Outcome, collector: Collector): string | undefined {
  switch (outcome?.kind) {
    case 'data':
      return blockFault(outcome.block, collector);
    case 'empty':
      return undefined;
    case 'failed':
      if (!failureReasons.includes(outcome.reason)) return `there is no failure reason ${outcome.reason}`;
      return outcome.block === undefined ? undefined : blockFault(outcome.block, collector);
    default:
      return 'its outcome is neither data, nor empty, nor failed';
  }
}

function blockFault(block: Block, collector: Collector): string | undefined {
  const declared = new Set(collector.metrics.map(({ name }) => name));
  const stray = block.families.find(({ metric }) => !declared.has(metric.name));
  if (stray !== undefined) return `its block holds ${stray.metric.name}, which it does not declare`;
  return Number.isInteger(countSeries(block)) ? undefined : 'its block holds a family without samples';
}
