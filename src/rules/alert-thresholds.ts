/**
 * The thresholds that an operator can set: those that alerts share with the page, checks and panels (thresholds.ts), and
 * those of single alerts, which are declared in alerts/. Settings are made of them and do not import alerts/, so
 * `npm run generate` lists them in alert-list.ts.
 */
import { ruleNames, thresholdsOfAlerts } from './alert-list.ts';
import { defaultThresholds, type Threshold } from './thresholds.ts';

export { ruleNames };

/** Settings and inhibitions that name another alert are rejected. */
export type RuleName = (typeof ruleNames)[number];

export const alertThresholds = Object.freeze({ ...defaultThresholds, ...thresholdsOfAlerts });

export type AlertThresholdName = keyof typeof alertThresholds;
export type AlertThresholds = Readonly<Record<AlertThresholdName, Threshold>>;
export type ThresholdOverrides = { readonly [Name in AlertThresholdName]?: number };

export const thresholdNames = Object.keys(alertThresholds) as readonly AlertThresholdName[];

/** Two thresholds of which one must be lower: `factor` times the lower one is at most the higher one. */
interface ThresholdOrder {
  readonly lower: AlertThresholdName;
  readonly higher: AlertThresholdName;
  readonly factor?: number;
  /** What breaks otherwise. Completes "because ...". */
  readonly why: string;
}

const thresholdOrders: readonly ThresholdOrder[] = [
  {
    lower: 'wraparoundCritical',
    higher: 'wraparoundWarning',
    why: 'the ticket must come before the page',
  },
  {
    lower: 'storageUnhealthy',
    higher: 'gitalyDown',
    why: 'PraefectStorageUnhealthy must fire before GitalyDown of the same server, which it inhibits',
  },
  {
    lower: 'volumeAvailable',
    higher: 'volumeForecastBelow',
    why: 'the forecast must come before GitalyVolumeFilling',
  },
  {
    lower: 'scrapeInterval',
    higher: 'rateWindow',
    factor: 4,
    why: 'a rate needs several samples within its window',
  },
];

/** The first two thresholds that are out of order. */
export const firstConflict = (of: (name: AlertThresholdName) => number): ThresholdOrder | undefined =>
  thresholdOrders.find(({ factor, lower, higher }) =>
    factor === undefined ? of(lower) >= of(higher) : of(lower) * factor > of(higher),
  );

/**
 * The defaults with an operator's values, in each default's unit. Throws RangeError for a value out of range, and for
 * two that are out of order.
 */
export function withOverrides(overrides: ThresholdOverrides): AlertThresholds {
  const merged: Record<AlertThresholdName, Threshold> = { ...alertThresholds };
  for (const name of thresholdNames) {
    const threshold = alertThresholds[name];
    const value = overrides[name];
    if (value === undefined) continue;
    const { min, max } = threshold.range;
    if (!(value >= min && value <= max && (threshold.unit === 'ratio' || Number.isInteger(value))))
      throw new RangeError(
        `threshold ${name}: found ${value}, expected ${expectation(threshold)} (default ${threshold.value})`,
      );
    merged[name] = { ...threshold, value };
  }
  const conflict = firstConflict((name) => merged[name].value);
  if (conflict !== undefined) {
    const { factor, lower, higher, why } = conflict;
    throw new RangeError(
      `threshold ${lower} (${merged[lower].value}) must be ${factor === undefined ? 'lower than' : `at most 1/${factor} of`} ${higher} (${merged[higher].value}), because ${why}`,
    );
  }
  return Object.freeze(merged);
}

const expectation = ({ unit, range }: Threshold): string =>
  unit === 'ratio'
    ? 'a ratio greater than 0 and at most 1'
    : `a whole number of ${unit} from ${range.min} to ${range.max}`;
