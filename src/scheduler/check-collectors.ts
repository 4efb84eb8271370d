/** The collectors' declarations, checked once before anything runs: a contradiction is a programming error. */
import type { Collector, Schedule } from './collector.ts';
import { selfMetrics } from './self-metrics.ts';

/** @throws Error that names the collectors and the contradiction */
export function checkCollectors(collectors: readonly Collector[]): void {
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
