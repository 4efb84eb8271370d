/** Every query of every panel, as Grafana sends it. */
import { generated, panelsOf } from './support.ts';

export interface NamedQuery {
  /** `dashboard: panel [column or legend]`. */
  readonly name: string;
  readonly expr: string;
}

export const everyQuery: readonly NamedQuery[] = generated().flatMap(({ dashboard, name }) =>
  panelsOf(dashboard).flatMap(({ targets = [], title }) =>
    targets.map((target) => ({
      name: `${name}: ${title} [${(target as { legendFormat?: string }).legendFormat}]`,
      expr: target.expr,
    })),
  ),
);

/** Equal on all dashboards. */
export const annotationQueries: readonly NamedQuery[] = (
  generated()[0]?.dashboard.annotations.list ?? []
).map(({ expr, name }) => ({ name: `annotation: ${name}`, expr }));

interface Filling {
  readonly cluster: string;
  /** `$__rate_interval`, for rates. */
  readonly rateInterval: string;
  /** `$__range`: the selected time. */
  readonly range: string;
  /** For subqueries. */
  readonly step: string;
}

/**
 * With every variable but the cluster at "All", and without the fallback for an empty result, which would hide
 * that the result is empty.
 */
export const filledIn = (expr: string, { cluster, range, rateInterval, step }: Filling): string =>
  expr
    .replace(/\s+or on \(\)\s+(label_replace\(\s*|\(\s*)*vector\(-1\)[\s\S]*$/, '')
    // A Prometheus of a test has no history of a day.
    .replaceAll(' offset 1d', '')
    .replaceAll('"$cluster"', JSON.stringify(cluster))
    .replaceAll(/"\$(job|instance)"/g, '".+"')
    .replaceAll(/"\$\w+"/g, '".*"')
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll(/\[\$__range:(10m|\$__interval)\]/g, `[${range}:${step}]`)
    .replaceAll('$__range', range);
