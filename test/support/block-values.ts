/** The values of blocks by metric and labels, for tests of what a scrape shows. */
import type { LabelsOf, Metric } from '../../src/metrics/metric.ts';
import type { Block } from '../../src/metrics/samples.ts';

export interface BlockValues {
  /** Every series of the metric; none when it is absent. */
  series<M extends Metric>(metric: M): readonly { readonly labels: LabelsOf<M>; readonly value: number }[];
  /** The value of the one series with these labels, or undefined. */
  value<M extends Metric>(metric: M, labels: LabelsOf<M>): number | undefined;
}

export function blockValues(blocks: readonly Block[]): BlockValues {
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
