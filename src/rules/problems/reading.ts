/** Reads values out of the blocks that a scrape would show, by metric and label: rules never see more than that. */
import type { LabelsOf, Metric } from '../../metrics/metric.ts';
import type { Block } from '../../metrics/samples.ts';

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
  // Rules look one series up for each of another metric: an index each, or that is quadratic on a large cluster.
  const indexes = new Map<string, ReadonlyMap<string, number>>();
  const indexOf = (metric: Metric): ReadonlyMap<string, number> => {
    const known = indexes.get(metric.name);
    if (known !== undefined) return known;
    const family = families.get(metric.name);
    const samples = family !== undefined && 'samples' in family ? family.samples : [];
    const made = new Map(samples.map(({ labelValues, value }) => [JSON.stringify(labelValues), value]));
    indexes.set(metric.name, made);
    return made;
  };
  return {
    series,
    value: (metric, labels) =>
      indexOf(metric).get(JSON.stringify(metric.labelNames.map((name) => Reflect.get(labels, name)))),
  };
}
