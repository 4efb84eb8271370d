/** Limits of /metrics. */
import { integer } from '../kinds/scalars.ts';
import { type Section, setting } from '../setting.ts';

export const metricsSection = {
  title: 'Metrics',
  settings: {
    metrics: {
      maxSeries: setting(integer({ min: 100, max: 1_000_000 }), {
        default: 100_000,
        help: 'Maximum number of series per collector. Series over the limit are dropped, counted in gitaly_exporter_series_dropped_total and shown on the page.',
      }),
    },
  },
} as const satisfies Section;
