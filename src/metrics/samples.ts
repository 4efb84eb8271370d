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

/** Collects the samples of one metric: `const up = samplesOf(metric); up.set({ storage }, 1)`. */
export interface Samples<M extends Metric> {
  /** Adds a series. The caller sets each label set once; lintBlock finds duplicates in tests. */
  set(labels: LabelsOf<M>, value: number): this;
  family(): ScalarFamily;
}

export function samplesOf<M extends ScalarMetric>(metric: M): Samples<M> {
  const samples: Sample[] = [];
  const names = metric.labelNames;
  return {
    set(labels, value) {
      const lookup = labels as Readonly<Record<string, string>>;
      samples.push({ labelValues: names.map((name) => lookup[name] ?? ''), value });
      return this;
    },
    family: () => ({ metric, samples }),
  };
}

/** A family of one series without labels, or none at all when the value is undefined: absent, never 0. */
export function single(
  metric: Metric<Record<never, never>, 'gauge' | 'counter'>,
  value: number | undefined,
): ScalarFamily {
  return { metric, samples: value === undefined ? [] : [{ labelValues: [], value }] };
}
