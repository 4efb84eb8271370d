/** Puts histograms together again from the samples of a page, and adds up those that differ in a label alone. */
import type { HistogramSample } from '../../metrics/samples.ts';
import { readValue } from './parser/sample-line.ts';

type Histogram = Omit<HistogramSample, 'labelValues'>;

export interface Histograms {
  add(part: 'bucket' | 'sum' | 'count', labels: ReadonlyMap<string, string>, value: number): void;
  /** Undefined when there was none, when one of them contradicts itself, or when their buckets differ. */
  sum(): Histogram | undefined;
}

interface Parts {
  readonly buckets: Map<number, number>;
  sum: number | undefined;
  count: number | undefined;
}

export function createHistograms(): Histograms {
  const series = new Map<string, Parts>();
  return {
    add(part, labels, value) {
      const others = [...labels].filter(([name]) => name !== 'le').sort(([a], [b]) => (a < b ? -1 : 1));
      const key = JSON.stringify(others);
      const parts = series.get(key) ?? { buckets: new Map(), sum: undefined, count: undefined };
      series.set(key, parts);
      if (part !== 'bucket') parts[part] = value;
      else parts.buckets.set(readValue(labels.get('le') ?? '') ?? Number.NaN, value);
    },
    sum() {
      const whole = [...series.values()].map(wholeOf);
      return whole.reduce(
        (total, next) => (total === undefined || next === undefined ? undefined : plus(total, next)),
        whole[0] === undefined ? undefined : zeroLike(whole[0]),
      );
    },
  };
}

/** A histogram whose buckets rise and end at +Inf with its count, or undefined. */
function wholeOf({ buckets, sum, count }: Parts): Histogram | undefined {
  if (sum === undefined || count === undefined || !Number.isFinite(count)) return undefined;
  const rising = [...buckets].sort(([a], [b]) => a - b).map(([le, inBucket]) => ({ le, count: inBucket }));
  const last = rising.at(-1);
  if (last?.le !== Number.POSITIVE_INFINITY || last.count !== count) return undefined;
  const sound = rising.every(
    (bucket, index) => !Number.isNaN(bucket.le) && bucket.count >= (rising[index - 1]?.count ?? 0),
  );
  return sound ? { buckets: rising, sum, count } : undefined;
}

const zeroLike = ({ buckets }: Histogram): Histogram => ({
  buckets: buckets.map(({ le }) => ({ le, count: 0 })),
  sum: 0,
  count: 0,
});

function plus(a: Histogram, b: Histogram): Histogram | undefined {
  if (a.buckets.length !== b.buckets.length || a.buckets.some(({ le }, i) => le !== b.buckets[i]?.le))
    return undefined;
  return {
    buckets: a.buckets.map(({ le, count }, index) => ({ le, count: count + (b.buckets[index]?.count ?? 0) })),
    sum: a.sum + b.sum,
    count: a.count + b.count,
  };
}
