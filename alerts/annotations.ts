/**
 * The texts of an alert, in Prometheus' template language, built from typed parts: a label must be one that the
 * alert carries, and what a text asks of Prometheus is an expression over declared metrics, limited to the
 * series that share the alert's labels.
 */

import type { Vector } from '../src/monitoring/promql/index.ts';
import { quoted } from '../src/monitoring/promql/selector.ts';

export type AnnotationText = string;

export interface TemplateParts<Labels extends string> {
  /** The value of one of the alert's labels. */
  readonly label: (name: Labels) => string;
  /** The alert's value, with the word for one or for several. */
  readonly counted: (one: string, several: string) => string;
  /** Since when the condition holds, from the series that Prometheus keeps for pending and firing alerts. */
  readonly since: string;
  /** The first value that the expression gives, or `otherwise`. */
  readonly ask: (expression: Vector, format: Format, otherwise: string) => string;
  /** One label of every series that the expression gives, comma-separated. */
  readonly list: <Own extends string>(expression: Vector<Own>, name: Own) => string;
  /** The alert's value as a share. */
  readonly share: string;
  /** The text when the expression gives anything, else the other one. */
  readonly when: (expression: Vector, text: string, otherwise?: string) => string;
  /** A text for each value of a label; nothing for any other value. */
  readonly by: (name: Labels, texts: Readonly<Record<string, string>>) => string;
  /** Matchers that limit a selector to the alert's own labels. */
  readonly same: <Own extends Labels>(...names: readonly Own[]) => { readonly [Name in Own]: string };
}

export type Template<Labels extends string> = (parts: TemplateParts<Labels>) => AnnotationText;

/** How a value is written: as a whole number, as a size, as a duration, as a moment, as a share. */
export type Format = 'count' | 'bytes' | 'duration' | 'moment' | 'share';

const formats: Readonly<Record<Format, string>> = {
  count: 'printf "%.0f"',
  bytes: 'humanize1024 | printf "%sB"',
  duration: 'humanizeDuration',
  moment: 'humanizeTimestamp',
  share: 'humanizePercentage',
};

export const formatted = (value: string, format: Format): string => `{{ ${value} | ${formats[format]} }}`;

export function templateOf<Labels extends string>(
  alertName: string,
  severity: string,
  labels: readonly Labels[],
): TemplateParts<Labels> {
  const own = labels.map((label) => `${label}=${quoted(marked(label))}`).join(',');
  // Two rules of one name may hold at once, each since a time of its own.
  const pending = `ALERTS_FOR_STATE{alertname=${quoted(alertName)},severity=${quoted(severity)},${own}}`;
  return {
    label: (name) => `{{ $labels.${name} }}`,
    counted: (one, several) =>
      `${formatted('$value', 'count')} {{ if eq $value 1.0 }}${one}{{ else }}${several}{{ end }}`,
    since: asked(pending, 'moment', 'this moment'),
    ask: (expression, format, otherwise) => asked(expression.text, format, otherwise),
    list: (expression, name) =>
      `{{ range $i, $found := ${query(expression.text)} | sortByLabel ${quoted(name)} }}{{ if $i }}, {{ end }}{{ $found.Labels.${name} }}{{ end }}`,
    share: formatted('$value', 'share'),
    when: (expression, text, otherwise) =>
      `{{ if ${query(expression.text)} }}${text}${otherwise === undefined ? '' : `{{ else }}${otherwise}`}{{ end }}`,
    by: (name, texts) =>
      `${Object.entries(texts)
        .map(
          ([value, text], index) =>
            `{{ ${index === 0 ? 'if' : 'else if'} eq $labels.${name} ${quoted(value)} }}${text}`,
        )
        .join('')}{{ end }}`,
    same: <Own extends Labels>(...names: readonly Own[]) =>
      Object.fromEntries(names.map((name) => [name, marked(name)])) as { readonly [Name in Own]: string },
  };
}

const asked = (text: string, format: Format, otherwise: string): string =>
  `{{ with ${query(text)} }}${formatted('. | first | value', format)}{{ else }}${otherwise}{{ end }}`;

/** A placeholder that `query` finds again; not a value that a label could have by accident. */
const marked = (label: string): string => `<<${label}>>`;

/** `printf` puts the alert's label values in, quoted as PromQL wants them. */
function query(text: string): string {
  const used: string[] = [];
  const pattern = text
    .replaceAll(/(?<=\()\s+|\s+(?=\))/g, '')
    .replaceAll(/\s+/g, ' ')
    .replaceAll('%', '%%')
    .replaceAll(/"<<(\w+)>>"/g, (_, label: string) => {
      used.push(`$labels.${label}`);
      return '%q';
    });
  if (used.length === 0) return `query \`${pattern}\``;
  return `printf \`${pattern}\` ${used.join(' ')} | query`;
}
