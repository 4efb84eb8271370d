/**
 * Samples: what a collector's pure mapping makes of a snapshot, and what the exposition renders.
 *
 * A sample keeps its label values as a list in the metric's own order: half the memory of objects, and no lookups in
 * the renderer.
 */
import type { LabelsOf, Metric } from './metric.ts';

/** One series. `value` may be any float; NaN and the infinities are rendered as Prometheus writes them. */
export interface Sample {
  readonly labelValues: readonly string[];
  readonly value: number;
}

/** One histogram series. `buckets` are cumulative, in rising order of `le`, and end with +Inf = count. */
export interface HistogramSample {
  readonly labelValues: readonly string[];
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
  readonly sum: number;
  readonly count: number;
}

export interface ScalarFamily {
  readonly metric: Metric;
  readonly samples: readonly Sample[];
}

export interface HistogramFamily {
  readonly metric: Metric;
  readonly histograms: readonly HistogramSample[];
}

/** All samples of one metric. A family without samples is not rendered: what was not collected is absent. */
export type Family = ScalarFamily | HistogramFamily;

/**
 * The samples of one collector at one moment. Blocks are immutable, so their identity is their version, and the
 * renderer keeps the text of each block as long as the block.
 */
export interface Block {
  readonly families: readonly Family[];
}

export const emptyBlock: Block = Object.freeze({ families: Object.freeze([]) });

type ScalarMetric = Metric & { readonly type: 'gauge' | 'counter' };

/** The samples of several metrics: `samples.set(up, { storage }, true)`. */
export interface SampleSet {
  /**
   * Adds a series, unless the value is undefined: what is unknown is absent, never 0. True is 1, false is 0. The caller
   * sets each label set once; lintBlock finds duplicates in tests.
   */
  set<M extends ScalarMetric>(metric: M, labels: LabelsOf<M>, value: number | boolean | undefined): void;
  setHistogram<M extends Metric & { readonly type: 'histogram' }>(
    metric: M,
    labels: LabelsOf<M>,
    histogram: Omit<HistogramSample, 'labelValues'> | undefined,
  ): void;
  families(): readonly Family[];
}

/** @param order of the families, with or without samples; those of other metrics follow in the order of their first samples */
export function createSamples(order: readonly Metric[] = []): SampleSet {
  const families = new Map<Metric, { samples: Sample[]; histograms: HistogramSample[] }>();
  const familyOf = (metric: Metric) => {
    const known = families.get(metric);
    if (known !== undefined) return known;
    const added = { samples: [], histograms: [] };
    families.set(metric, added);
    return added;
  };
  for (const metric of order) familyOf(metric);
  return {
    set(metric, labels, value) {
      if (value !== undefined)
        familyOf(metric).samples.push({ labelValues: labelValuesOf(metric, labels), value: Number(value) });
    },
    setHistogram(metric, labels, histogram) {
      if (histogram !== undefined)
        familyOf(metric).histograms.push({ labelValues: labelValuesOf(metric, labels), ...histogram });
    },
    families: () =>
      [...families].map(
        ([metric, { samples, histograms }]): Family =>
          metric.type === 'histogram' ? { metric, histograms } : { metric, samples },
      ),
  };
}

function labelValuesOf<M extends Metric>({ labelNames }: M, labels: LabelsOf<M>): readonly string[] {
  const lookup = labels as Readonly<Record<string, string>>;
  return labelNames.map((name) => lookup[name] ?? '');
}

/** A family of one series without labels, or none at all when the value is undefined: absent, never 0. */
export function single(
  metric: Metric<Record<never, never>, 'gauge' | 'counter'>,
  value: number | undefined,
): ScalarFamily {
  return { metric, samples: value === undefined ? [] : [{ labelValues: [], value }] };
}
