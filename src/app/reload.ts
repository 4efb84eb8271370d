/** Reading the configuration again while the exporter runs: what came of it, as a value and as metrics. */

import type { Clock } from '../lib/clock.ts';
import { gauge, type Metric } from '../metrics/metric.ts';
import { type Family, single } from '../metrics/samples.ts';

export const reloadSuccess = gauge('gitaly_exporter_config_last_reload_success', {
  help: '1 when the configuration was read without a fault the last time. At 0 the one before it is in force.',
  origin: 'the configuration',
});

export const reloadTime = gauge('gitaly_exporter_config_last_reload_timestamp_seconds', {
  help: 'When the configuration that is in force was read.',
  origin: 'the configuration',
  unit: 'seconds',
});

export const reloadMetrics: readonly Metric[] = Object.freeze([reloadSuccess, reloadTime]);

export interface ReloadRecord {
  succeeded(): void;
  failed(): void;
  families(): readonly Family[];
}

/** The configuration was read once already, or there would be no exporter. */
export function createReloadRecord(clock: Clock): ReloadRecord {
  let success = true;
  let at = clock.now();
  return {
    succeeded() {
      success = true;
      at = clock.now();
    },
    failed() {
      success = false;
    },
    families: () => [single(reloadSuccess, success ? 1 : 0), single(reloadTime, at / 1000)],
  };
}
