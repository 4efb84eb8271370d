/** A part of the exporter: one room with its sources, as the settings ask for it. core.ts puts the parts together. */
import type { ResolvedPraefect } from '../../config/praefect/resolve.ts';
import type { Settings } from '../../config/sections/index.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Problem } from '../../rules/problems/praefect.ts';
import type { Reading } from '../../rules/problems/reading.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import type { Runner } from '../../scheduler/runner.ts';
import type { ExtraFamilies } from '../../scheduler/self-block.ts';

/** What every part is made from. */
export interface PartOptions {
  readonly settings: Settings;
  readonly sources: ResolvedPraefect;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventLog;
}

export interface Part {
  readonly collectors: readonly Collector[];
  /** Names of the collectors that the settings leave out. */
  readonly disabled: readonly string[];
  /** For the exporter's own block. */
  readonly families: readonly ExtraFamilies[];
  /** @param latest the typed data of a collector's newest snapshot */
  problems(reading: Reading, latest: Runner['latest']): readonly Problem[];
  stop(): Promise<void>;
}

/** A part for which the settings name nothing to watch. */
export const absentPart = (disabled: readonly string[]): Part => ({
  collectors: [],
  disabled,
  families: [],
  problems: () => [],
  stop: async () => undefined,
});
