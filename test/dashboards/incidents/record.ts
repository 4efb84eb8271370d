/**
 * Adds the moments of an incident from a Prometheus that scrapes the demo (with `honor_labels: true`) and evaluates the
 * recording rules:
 *
 *     node test/dashboards/incidents/record.ts http://127.0.0.1:9090 oom-pod 1795996000 1795996300 demo
 *
 * The times are when it began and ended; the last argument is the label `cluster` of the demo's series. Kept are the
 * series that the queries of shown.ts read.
 */
import { selectorsIn } from '../../support/promql.ts';
import { annotationQueries, everyQuery } from '../queries.ts';
import { type Moments, readMoments, writeMoments } from './moments.ts';
import { shownInIncidents } from './shown.ts';

const [prometheus = '', incident = '', began = '', ended = '', cluster = ''] = process.argv.slice(2);
const shown = (shownInIncidents[incident] ?? []).flat();
if (shown.length === 0) throw new Error(`shown.ts names no query that shows "${incident}"`);

const middle = (Number(began) + Number(ended)) / 2;
const times = [Number(began) - 15, middle - 15, middle, Number(ended) - 15, Number(ended)].map(Math.round);
const metrics = new Set(
  [...everyQuery, ...annotationQueries]
    .filter(({ name }) => shown.includes(name))
    .flatMap(({ expr }) => selectorsIn(expr).map(({ metric }) => metric)),
);

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

const series = new Map<string, (number | null)[]>();
for (const [index, time] of times.entries())
  for (const metric of metrics) {
    const parameters = new URLSearchParams({
      query: `${metric}{cluster=${JSON.stringify(cluster)}}`,
      time: String(time),
    });
    const body = (await (await fetch(`${prometheus}/api/v1/query?${parameters}`)).json()) as {
      readonly data: { readonly result: readonly Sample[] };
    };
    for (const { metric: labels, value } of body.data.result) {
      const { __name__: name, cluster: _, ...others } = labels;
      const text = Object.entries(others).map(([label, each]) => `${label}=${JSON.stringify(each)}`);
      const key = `${name}{${text.join(',')}}`;
      const values = series.get(key) ?? times.map(() => null);
      values[index] = Number(value[1]);
      series.set(key, values);
    }
  }

const others = readMoments().filter((moments) => moments.incident !== incident);
const moments: Moments = { incident, times, series: Object.fromEntries(series) };
process.stdout.write(`${incident}: ${series.size} series, all ${writeMoments([...others, moments])} bytes\n`);
