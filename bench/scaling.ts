/**
 * Draws the curves of scaling.json (see scaling-measure.ts) into docs/benchmarks.md, as text. `node bench/scaling.ts`
 *
 * Bars are on a logarithmic scale. The order is the slope of a line fitted to the logarithms of sizes and costs: 1 is
 * linear, and less means that a constant part prevails.
 */
import { readFileSync, writeFileSync } from 'node:fs';

export interface Point {
  readonly size: number;
  readonly cost: number;
}

export interface Curve {
  readonly what: string;
  /** What `size` counts. */
  readonly of: string;
  readonly unit: 'ms' | 'MiB';
  readonly points: readonly Point[];
}

const barWidth = 40;
const markers = { start: '<!-- scaling: node bench/scaling.ts -->', end: '<!-- end of scaling -->' };

/** The slope of the least-squares line through the logarithms. */
function orderOf(points: readonly Point[]): number {
  const logs = points.map(({ size, cost }) => ({ x: Math.log(size), y: Math.log(cost) }));
  const mean = (of: 'x' | 'y'): number => logs.reduce((sum, log) => sum + log[of], 0) / logs.length;
  const [x, y] = [mean('x'), mean('y')];
  const covariance = logs.reduce((sum, log) => sum + (log.x - x) * (log.y - y), 0);
  return covariance / logs.reduce((sum, log) => sum + (log.x - x) ** 2, 0);
}

function costText(cost: number, unit: Curve['unit']): string {
  if (unit === 'MiB') return `${cost.toFixed(0)} MiB`;
  return cost >= 1000 ? `${(cost / 1000).toFixed(1)} s` : `${cost.toFixed(cost < 10 ? 1 : 0)} ms`;
}

function plot({ what, of, unit, points }: Curve): string {
  const failed = points.find(({ cost }) => !(cost > 0));
  if (failed !== undefined) throw new Error(`${what}: no cost for ${failed.size} ${of}`);
  const logs = points.map(({ cost }) => Math.log10(Math.max(cost, 0.01)));
  const lowest = Math.floor(Math.min(...logs));
  const width = Math.ceil(Math.max(...logs)) - lowest || 1;
  const bars = points.map(({ size, cost }, index) => {
    const length = Math.max(1, Math.round((((logs[index] ?? lowest) - lowest) / width) * barWidth));
    return `${size.toLocaleString('en').padStart(10)} ${'█'.repeat(length).padEnd(barWidth)} ${costText(cost, unit).padStart(8)}`;
  });
  return [`${what}: order ${orderOf(points).toFixed(2)} in ${of}`, ...bars].join('\n');
}

const curves = JSON.parse(readFileSync(new URL('scaling.json', import.meta.url), 'utf8')) as readonly Curve[];
const page = new URL('../docs/benchmarks.md', import.meta.url);
const text = readFileSync(page, 'utf8');
const [before, rest] = text.split(markers.start);
const [, after] = rest?.split(markers.end) ?? [];
if (before === undefined || after === undefined) throw new Error(`docs/benchmarks.md lacks ${markers.start}`);
const plots = curves.map(plot).join('\n\n');
writeFileSync(page, `${before}${markers.start}\n\n\`\`\`text\n${plots}\n\`\`\`\n\n${markers.end}${after}`);
