/**
 * Validates what the compiler cannot see of collectors: their declarations, before anything runs, and what their runs
 * return. A family that another collector owns would mix two sources under one name.
 */
import type { Metric } from '../metrics/metric.ts';
import type { Block } from '../metrics/samples.ts';
import type { Collector, Schedule } from './collector.ts';
import { failed, failureReasons, type Outcome } from './outcome.ts';
import { countSeries } from './series-limit.ts';

/** @throws Error that names the collectors and the contradiction, which is a programming error */
export function checkCollectors(collectors: readonly Collector[], selfMetrics: readonly Metric[]): void {
  const names = new Set<string>();
  const owners = new Map(selfMetrics.map(({ name }) => [name, 'the exporter itself']));
  for (const { metrics, name, schedule } of collectors) {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`a collector's name is snake_case, not "${name}"`);
    if (names.has(name)) throw new Error(`two collectors are named ${name}`);
    names.add(name);
    for (const metric of metrics) {
      const owner = owners.get(metric.name);
      if (owner !== undefined) throw new Error(`both ${owner} and ${name} declare the metric ${metric.name}`);
      owners.set(metric.name, name);
    }
    const fault = scheduleFault(schedule);
    if (fault !== undefined) throw new RangeError(`collector ${name}: ${fault}`);
  }
}

function scheduleFault(schedule: Schedule): string | undefined {
  if (!isDuration(schedule.timeoutMs)) return `timeoutMs is over 0 and finite, not ${schedule.timeoutMs}`;
  if (schedule.kind === 'scrape') return undefined;
  const { everyMs, maxAgeMs } = schedule;
  if (!isDuration(everyMs)) return `everyMs is over 0 and finite, not ${everyMs}`;
  if (!(isDuration(maxAgeMs) && maxAgeMs >= everyMs))
    return `maxAgeMs is at least everyMs (${everyMs}), as series would otherwise flap, not ${maxAgeMs}`;
  return undefined;
}

const isDuration = (ms: number): boolean => ms > 0 && ms < Infinity;

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
