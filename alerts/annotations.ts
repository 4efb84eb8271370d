/**
 * The texts of an alert in Prometheus' template language, built from typed parts: a text can only use labels that the
 * alert carries, and a query only declared metrics, limited to the alert's own series.
 */

import type { Vector } from '../src/monitoring/promql/index.ts';
import { quoted } from '../src/monitoring/promql/selector.ts';

export type AnnotationText = string;

export type ValueFormat = 'count' | 'bytes' | 'duration' | 'percent' | 'moment';

export interface TemplateParts<Labels extends string> {
  /** The value of one of the alert's labels. */
  readonly label: (name: Labels) => string;
  /** The alert's value. */
  readonly value: (format: ValueFormat) => string;
  /** The alert's value with a noun: `1 repository`, `2 repositories`. */
  readonly count: (one: string, several: string) => string;
  /** A text for each value of a label. */
  readonly by: (name: Labels, texts: Readonly<Record<string, string>>) => string;
  /** The first value of a query, or `otherwise`. */
  readonly query: (expression: Vector, format: ValueFormat, otherwise: string) => string;
  /** One label of the first series of a query, or `otherwise`. */
  readonly labelOf: <Own extends string>(expression: Vector<Own>, name: Own, otherwise: string) => string;
  /** One label of every series of a query, in order, separated by commas; `otherwise` without a series. */
  readonly list: <Own extends string>(expression: Vector<Own>, name: Own, otherwise: string) => string;
  /** Matchers that limit a query to the alert's own series. */
  readonly same: <Own extends Labels>(...names: readonly Own[]) => { readonly [Name in Own]: string };
}

export type Template<Labels extends string> = (parts: TemplateParts<Labels>) => AnnotationText;

const formats: Readonly<Record<ValueFormat, string>> = {
  count: 'printf "%.0f"',
  bytes: 'humanize1024 | printf "%sB"',
  duration: 'humanizeDuration',
  percent: 'humanizePercentage',
  moment: 'humanizeTimestamp',
};

const formatted = (value: string, format: ValueFormat): string => `{{ ${value} | ${formats[format]} }}`;

export const templateParts = <Labels extends string>(): TemplateParts<Labels> => ({
  label: (name) => `{{ $labels.${name} }}`,
  value: (format) => formatted('$value', format),
  count: (one, several) =>
    `${formatted('$value', 'count')} {{ if lt $value 1.5 }}${one}{{ else }}${several}{{ end }}`,
  by: (name, texts) =>
    `${Object.entries(texts)
      .map(
        ([value, text], index) =>
          `{{ ${index === 0 ? 'if' : 'else if'} eq $labels.${name} ${quoted(value)} }}${text}`,
      )
      .join('')}{{ end }}`,
  query: (expression, format, otherwise) =>
    `{{ with ${queryOf(expression)} }}${formatted('. | first | value', format)}{{ else }}${otherwise}{{ end }}`,
  labelOf: (expression, name, otherwise) =>
    `{{ with ${queryOf(expression)} }}{{ . | first | label ${quoted(name)} }}{{ else }}${otherwise}{{ end }}`,
  list: (expression, name, otherwise) =>
    `{{ range $i, $s := ${queryOf(expression)} | sortByLabel ${quoted(name)} }}{{ if $i }}, {{ end }}{{ $s.Labels.${name} }}{{ else }}${otherwise}{{ end }}`,
  same: <Own extends Labels>(...names: readonly Own[]) =>
    Object.fromEntries(names.map((name) => [name, marked(name)])) as { readonly [Name in Own]: string },
});

/** A placeholder for the value of a label; no label value has this form by accident. */
const marked = (label: string): string => `<<${label}>>`;

/** Go's `printf` puts the alert's label values in, quoted as PromQL needs them. */
function queryOf({ text }: Vector): string {
  const used: string[] = [];
  const pattern = text
    .replaceAll(/(?<=\()\s+|\s+(?=\))/g, '')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('%', '%%')
    .replaceAll(/"<<(\w+)>>"/g, (_, label: string) => {
      used.push(`$labels.${label}`);
      return '%q';
    });
  return used.length === 0 ? `query \`${pattern}\`` : `printf \`${pattern}\` ${used.join(' ')} | query`;
}
