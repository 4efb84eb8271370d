/** The exporter's own block of a scrape: the runner's families, and those that other modules add. */

import { describeThrown, stackOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Block, Family } from '../metrics/samples.ts';
import { buildFamilies, collectorFamilies } from './self-metrics.ts';
import type { CollectorStatus } from './status.ts';

/** Called at each scrape; must be quick and use memory only. */
export type ExtraFamilies = () => readonly Family[];

export interface SelfBlockOptions {
  readonly version: string;
  readonly disabled: readonly string[];
  readonly extraFamilies: readonly ExtraFamilies[];
  readonly log: Log;
}

/** A source of extra families that throws loses its own families only; each such error is logged once. */
export function createSelfBlock(options: SelfBlockOptions): (statuses: readonly CollectorStatus[]) => Block {
  const { version, disabled, extraFamilies, log } = options;
  const logged = new Set<string>();

  function familiesOf(extra: ExtraFamilies): readonly Family[] {
    try {
      return [...extra()];
    } catch (thrown) {
      const error = describeThrown(thrown);
      if (!logged.has(error))
        log.error({ error, stack: stackOf(thrown) }, 'internal error: own metrics are missing');
      logged.add(error);
      return [];
    }
  }

  return (statuses) => ({
    families: [
      ...buildFamilies(version),
      ...collectorFamilies(statuses, disabled),
      ...extraFamilies.flatMap(familiesOf),
    ],
  });
}
