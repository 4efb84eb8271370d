/** The exporter's own block of a scrape: the runner's families, and what other parts hand in. */

import type { Log } from '../lib/log.ts';
import { describeThrown, stackOf } from '../lib/thrown.ts';
import type { Block, Family } from '../metrics/samples.ts';
import { type BuildInfo, buildFamilies, collectorFamilies } from './self-metrics.ts';
import type { CollectorStatus } from './status.ts';

/** Called at each scrape; must be quick and answer from memory. */
export type ExtraFamilies = () => readonly Family[];

export interface SelfBlockOptions {
  readonly build: BuildInfo;
  readonly disabled: readonly string[];
  readonly extraFamilies: readonly ExtraFamilies[];
  readonly log: Log;
}

/** A source of extra families that throws costs its own families alone; each such fault is logged once. */
export function createSelfBlock(options: SelfBlockOptions): (statuses: readonly CollectorStatus[]) => Block {
  const { build, disabled, extraFamilies, log } = options;
  const told = new Set<string>();

  function familiesOf(extra: ExtraFamilies): readonly Family[] {
    try {
      return [...extra()];
    } catch (thrown) {
      const fault = `a bug: metrics of the exporter itself are missing: ${describeThrown(thrown)}`;
      if (!told.has(fault)) log.error({ stack: stackOf(thrown) }, fault);
      told.add(fault);
      return [];
    }
  }

  return (statuses) => ({
    families: [
      ...buildFamilies(build),
      ...collectorFamilies(statuses, disabled),
      ...extraFamilies.flatMap(familiesOf),
    ],
  });
}
