/**
 * One value in the two text formats: escaping and floats.
 *
 * Sources: "Exposition formats" of Prometheus' documentation (text 0.0.4) and the ABNF of OpenMetrics 1.0.0.
 */

/** `text`: Prometheus text 0.0.4. `openmetrics`: OpenMetrics 1.0.0. */
export type Format = 'text' | 'openmetrics';

/** Whether a label value, or any of several in one string, needs escaping. */
export const needsEscaping = (values: string): boolean => /["\\\n]/.test(values);

/**
 * A label value between its quotes, the same in both formats. Lone surrogates pass here and become U+FFFD where
 * the text becomes UTF-8 bytes: Prometheus refuses a whole scrape for one byte that is not UTF-8.
 */
export const escapeLabelValue = (value: string): string => String(value).replace(/["\\\n]/g, escaped);

/** Text after `# HELP name `: only OpenMetrics escapes the double quote there. */
export const escapeHelp = (help: string, format: Format): string =>
  help.replace(format === 'openmetrics' ? /["\\\n]/g : /[\\\n]/g, escaped);

const escaped = (character: string): string => (character === '\n' ? '\\n' : `\\${character}`);

/**
 * A sample's value. A value that is not a number, which only a programming error can cause, becomes NaN: one word
 * that the parser does not know would fail the whole scrape.
 */
export function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : 'NaN';
}

/**
 * The value of `le` exactly as Go formats it, because a label is compared as text: the shortest digits, exponents
 * below -4 and from 6 on, with at least two digits. OpenMetrics ("Canonical Numbers")
 * marks whole numbers as floats: `1.0`.
 */
export function formatBound(bound: number, format: Format): string {
  if (!Number.isFinite(bound)) return formatValue(bound);
  const [digits = '0', exponent = '0'] = bound.toExponential().split('e');
  if (Number(exponent) < -4 || Number(exponent) >= 6)
    return `${digits}e${exponent.replace(/^([+-])(\d)$/, '$10$2')}`;
  const plain = String(bound);
  return format === 'openmetrics' && !plain.includes('.') ? `${plain}.0` : plain;
}
