/** Checks an expression with Prometheus' own grammar, and returns the metrics that it uses. */
import { parser } from '@prometheus-io/lezer-promql';

/** The places that could not be parsed, empty for a valid expression. Grafana's variables are replaced first. */
export function promqlErrors(text: string): string[] {
  const filled = text
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__interval', '1m')
    .replaceAll('$__range', '1h');
  const errors: string[] = [];
  parser.parse(filled).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) errors.push(`${from}: ${filled.slice(from, to)}`);
    },
  });
  return errors;
}

/** A selector as it is written: `rate(jobs_total{state="ready"}[5m])` has all of these. */
export interface WrittenSelector {
  readonly metric: string;
  readonly matchers: readonly string[];
  readonly range: string | undefined;
  /** The function that takes the range. */
  readonly takenBy: string | undefined;
}

/** Placeholders for Grafana's intervals while the grammar parses them; no query has such ranges. */
const intervals = { '5m5s': '$__rate_interval', '6h6s': '$__range' } as const;

export function selectorsIn(text: string): WrittenSelector[] {
  const filled = Object.entries(intervals)
    .reduce((so, [range, name]) => so.replaceAll(name, range), text)
    .replaceAll('$__interval', '1m');
  const written = (part: { from: number; to: number } | null | undefined) =>
    part ? filled.slice(part.from, part.to) : undefined;
  const found: WrittenSelector[] = [];
  parser.parse(filled).iterate({
    enter: ({ node }) => {
      if (node.name !== 'VectorSelector') return;
      const matrix = node.parent?.name === 'MatrixSelector' ? node.parent : undefined;
      const range = written(matrix?.getChild('DurationExpr'));
      found.push({
        metric: written(node.getChild('Identifier')) ?? '',
        matchers: (node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []).map(
          (matcher) => written(matcher) ?? '',
        ),
        range: range !== undefined && range in intervals ? intervals[range as keyof typeof intervals] : range,
        takenBy: written(matrix?.parent?.parent?.getChild('FunctionIdentifier')),
      });
    },
  });
  return found;
}
