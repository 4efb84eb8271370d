/**
 * The cap on what one collector may say: more series than Prometheus can bear would be an incident of our own
 * making. A block beyond the cap is cut, always in the same place, and what was cut is counted.
 */
import type { Block, Family, HistogramSample } from '../metrics/samples.ts';

export interface Limited {
  readonly block: Block;
  /** Series in `block`: a histogram counts one for each bucket, its sum and its count. */
  readonly series: number;
  readonly dropped: number;
}

/**
 * The block with at most `limit` series. Families keep their order; the one in which the limit falls keeps the
 * series whose label values sort first, so that the same series survive each time whatever order they came in;
 * those after it go whole. A histogram stays whole or goes.
 */
export function limitSeries(block: Block, limit: number): Limited {
  const total = block.families.reduce((sum, family) => sum + seriesIn(family), 0);
  if (total <= limit) return { block, series: total, dropped: 0 };

  const families: Family[] = [];
  let series = 0;
  for (const family of block.families) {
    const size = seriesIn(family);
    if (series + size > limit) {
      const kept = firstOf(family, limit - series);
      families.push(kept);
      series += seriesIn(kept);
      break;
    }
    families.push(family);
    series += size;
  }
  return { block: { families }, series, dropped: total - series };
}

const histogramSeries = (sample: HistogramSample): number => sample.buckets.length + 2;

function seriesIn(family: Family): number {
  return 'samples' in family
    ? family.samples.length
    : family.histograms.reduce((sum, sample) => sum + histogramSeries(sample), 0);
}

function firstOf(family: Family, room: number): Family {
  if ('samples' in family) return { ...family, samples: sorted(family.samples).slice(0, room) };
  const histograms: HistogramSample[] = [];
  let left = room;
  for (const sample of sorted(family.histograms)) {
    left -= histogramSeries(sample);
    if (left < 0) break;
    histograms.push(sample);
  }
  return { ...family, histograms };
}

function sorted<S extends { readonly labelValues: readonly string[] }>(samples: readonly S[]): S[] {
  return samples
    .map((sample) => ({ sample, key: sample.labelValues.join('\0') }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ sample }) => sample);
}
