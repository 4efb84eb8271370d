/** Reads values out of the blocks that a scrape would show, by metric and label: rules never see more than that. */
import type { LabelsOf, Metric } from '../metrics/metric.ts';
import type { Block } from '../metrics/samples.ts';

export interface Reading {
  /** Every series of the metric; none when it is absent. */
  series<M extends Metric>(metric: M): readonly { readonly labels: LabelsOf<M>; readonly value: number }[];
  /** The value of the one series with these labels, or undefined. */
  value<M extends Metric>(metric: M, labels: LabelsOf<M>): number | undefined;
}

export function readingOf(blocks: readonly Block[]): Reading {
  const families = new Map(
    blocks.flatMap(({ families: own }) => own).map((family) => [family.metric.name, family] as const),
  );
  const series = <M extends Metric>(metric: M) => {
    const family = families.get(metric.name);
    if (family === undefined || !('samples' in family)) return [];
    return family.samples.map(({ labelValues, value }) => ({
      labels: Object.fromEntries(
        metric.labelNames.map((name, index) => [name, labelValues[index] ?? '']),
      ) as LabelsOf<M>,
      value,
    }));
  };
  return {
    series,
    value(metric, labels) {
      const wanted = JSON.stringify(metric.labelNames.map((name) => Reflect.get(labels, name)));
      const found = series(metric).find(
        (each) => JSON.stringify(metric.labelNames.map((name) => Reflect.get(each.labels, name))) === wanted,
      );
      return found?.value;
    },
  };
}
