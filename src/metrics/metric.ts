/**
 * What a metric is: declared once, as a typed value next to the query that fills it.
 *
 * Everything else (renderer, reference, dashboards, alerts, tests) quotes that value, so that a label which
 * does not exist does not compile, and neither does a label value outside a closed set.
 */

export type MetricType = 'gauge' | 'counter' | 'histogram';

/** Base units only (Prometheus' naming guidelines). */
const units = ['seconds', 'bytes', 'ratio', 'cores'] as const;
/** `none` for counts and states. */
type Unit = (typeof units)[number] | 'none';

/** The one that a name ends in: `gitaly_server_pod_cpu_usage_seconds_total`. */
const unitOf = (name: string): Unit =>
  units.find((unit) => name.replace(/_total$/, '').endsWith(`_${unit}`)) ?? 'none';

/** An open label: any string (a virtual storage, a pod's name). */
export const anyValue = 'any value';

/** Name of a label -> its closed set of values, or `anyValue`. */
export type LabelSpec = { readonly [label: string]: typeof anyValue | readonly string[] };

export interface Metric<Labels extends LabelSpec = LabelSpec, Type extends MetricType = MetricType> {
  readonly name: string;
  readonly type: Type;
  readonly unit: Unit;
  /** One sentence of at most 120 characters that defines the value: the HELP of /metrics. */
  readonly help: string;
  /** Caveats, versions, when it is absent: for docs/metrics.md only. Empty when there is nothing to add. */
  readonly details: string;
  /** Where it comes from: table and column, file, RPC. For docs/metrics.md only. */
  readonly origin: string;
  readonly labels: Labels;
  /** The labels' names in the order in which samples carry their values. */
  readonly labelNames: readonly string[];
}

/** The labels of a sample of the metric: closed sets as unions, open labels as strings. */
export type LabelsOf<M extends Metric> = {
  readonly [Name in keyof M['labels']]: M['labels'][Name] extends readonly (infer Value)[] ? Value : string;
};

/** The names of a metric's labels, as a union. */
export type LabelName<M extends Metric> = keyof M['labels'] & string;

export interface MetricDefinition<Labels extends LabelSpec> {
  readonly help: string;
  readonly details?: string;
  readonly origin: string;
  readonly labels?: Labels;
}

export const gauge = <const Labels extends LabelSpec = Record<never, never>>(
  name: string,
  definition: MetricDefinition<Labels>,
): Metric<Labels, 'gauge'> => metric('gauge', name, definition);

/** A counter; its name ends in `_total`. */
export const counter = <const Labels extends LabelSpec = Record<never, never>>(
  name: `${string}_total`,
  definition: MetricDefinition<Labels>,
): Metric<Labels, 'counter'> => metric('counter', name, definition);

export const histogram = <const Labels extends LabelSpec = Record<never, never>>(
  name: string,
  definition: MetricDefinition<Labels>,
): Metric<Labels, 'histogram'> => metric('histogram', name, definition);

/** Declares metrics that belong together, such as those of one collector, and lists them in the order of declaration. */
export interface MetricGroup {
  readonly metrics: readonly Metric[];
  readonly gauge: typeof gauge;
  readonly counter: typeof counter;
  readonly histogram: typeof histogram;
}

export function metricGroup(): MetricGroup {
  const metrics: Metric[] = [];
  const listed = <M extends Metric>(declared: M): M => {
    metrics.push(declared);
    return declared;
  };
  return {
    metrics,
    gauge: (name, definition) => listed(gauge(name, definition)),
    counter: (name, definition) => listed(counter(name, definition)),
    histogram: (name, definition) => listed(histogram(name, definition)),
  };
}

function metric<Labels extends LabelSpec, Type extends MetricType>(
  type: Type,
  name: string,
  definition: MetricDefinition<Labels>,
): Metric<Labels, Type> {
  const labels = definition.labels ?? ({} as Labels);
  return Object.freeze({
    name,
    type,
    unit: unitOf(name),
    help: definition.help,
    details: definition.details ?? '',
    origin: definition.origin,
    labels,
    labelNames: Object.freeze(Object.keys(labels)),
  });
}
