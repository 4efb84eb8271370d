/** A cgroup source on a tree of files with a manual clock, read as by a scrape. */
import { expect } from '@jest/globals';
import { expositionText } from '../../../src/metrics/exposition.ts';
import type { Run } from '../../../src/scheduler/collector.ts';
import { createEventLog, type EventLog } from '../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../src/scheduler/outcome.ts';
import { cgroupSelfMetrics } from '../../../src/sources/cgroup/metrics.ts';
import {
  type CgroupSource,
  type CgroupSourceOptions,
  createCgroupSource,
} from '../../../src/sources/cgroup/source.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { createManualClock, type ManualClock } from '../../support/manual-clock.ts';

export interface TestSource {
  readonly source: CgroupSource;
  readonly clock: ManualClock;
  readonly events: EventLog;
  /** Each line of the log, as `warn: message bucket=3`. */
  readonly logged: readonly string[];
  collect(name: 'cgroup' | 'cgroup_buckets', cause?: Run['cause']): Promise<Outcome>;
  /** What a scrape exposes, as text: the samples of both collectors and the source's own metrics. */
  text(): Promise<string>;
}

export function createTestSource(root: string, options: Partial<CgroupSourceOptions> = {}): TestSource {
  const clock = createManualClock();
  const events = createEventLog(clock);
  const logged: string[] = [];
  const log = (level: string) => (fields: object, message: string) => {
    const bucket = 'bucket' in fields ? ` bucket=${fields.bucket}` : '';
    logged.push(`${level}: ${message}${bucket}`);
  };
  const source = createCgroupSource({
    root,
    hostName: 'node-1',
    buckets: 'top',
    topBuckets: 20,
    pollIntervalMs: 500,
    clock,
    events,
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    ...options,
  });
  const { signal } = new AbortController();

  async function collect(name: string, cause: Run['cause'] = 'scrape'): Promise<Outcome> {
    const collector = source.collectors.find((each) => each.name === name);
    if (collector === undefined) throw new Error(name);
    const outcome = await collector.collect({ signal, cause });
    if ('block' in outcome && outcome.block !== undefined)
      expect(lintBlock(outcome.block, collector.metrics)).toEqual([]);
    return outcome;
  }

  return {
    source,
    clock,
    events,
    logged,
    collect,
    async text() {
      const outcomes = [await collect('cgroup'), await collect('cgroup_buckets', 'due')];
      const blocks = outcomes.flatMap((outcome) => ('block' in outcome && outcome.block) || []);
      const self = { families: source.selfFamilies() };
      expect(lintBlock(self, cgroupSelfMetrics)).toEqual([]);
      return expositionText([...blocks, self]);
    },
  };
}

/** The sample lines of a metric, or of all, without HELP and TYPE. */
export const samplesIn = (text: string, metric = ''): readonly string[] =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith('#') && line.startsWith(metric));

/** The value of the series with exactly this name and these labels. */
export function valueIn(text: string, series: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}
