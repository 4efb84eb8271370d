/**
 * PromQL as values: an expression knows its text, how tightly it binds, the labels that its series carry and
 * the metrics that it quotes. Everything else in this folder makes such values out of typed metrics.
 */
import type { Metric } from '../../metrics/metric.ts';

/** How tightly an expression binds, PromQL's operators in rising order. */
export const binding = {
  or: 1,
  and: 2,
  comparison: 3,
  sum: 4,
  product: 5,
  atom: 6,
} as const;

interface Expression {
  readonly text: string;
  readonly binding: number;
  /** Every metric that the expression quotes, each once. */
  readonly metrics: readonly Metric[];
}

/** One number without labels. */
export interface Scalar extends Expression {
  readonly kind: 'scalar';
}

/** Series that carry `Labels`, and may carry nothing else that an expression could ask for. */
export interface Vector<Labels extends string = string> extends Expression {
  readonly kind: 'vector';
  readonly labels: readonly Labels[];
}

/** What arithmetic and comparisons take beside a vector. */
export type Operand = number | Scalar;

export const scalarOf = (text: string, metrics: readonly Metric[] = []): Scalar =>
  Object.freeze({ kind: 'scalar', text, binding: binding.atom, metrics });

export const vectorOf = <Labels extends string>(
  text: string,
  labels: readonly Labels[],
  metrics: readonly Metric[],
  boundAs: number = binding.atom,
): Vector<Labels> => Object.freeze({ kind: 'vector', text, binding: boundAs, labels, metrics });

export const union = <T>(...lists: readonly (readonly T[])[]): readonly T[] => [...new Set(lists.flat())];

/** A line of a rules file longer than this is broken at its operators and arguments. */
const longestLine = 100;
/** An operand up to this long stays on the line of the other one. */
const shortOperand = 16;

const isLong = (text: string): boolean => text.includes('\n') || text.length > longestLine;

const indented = (text: string): string => text.replace(/^/gm, '  ');

/** `(a, b, c)`; where it is long, the first on lines of its own, and the others, which are short, on the next. */
export const parenthesised = (first: string, ...others: readonly string[]): string => {
  const line = [first, ...others].join(', ');
  if (!isLong(line)) return `(${line})`;
  return `(\n${indented([first, ...(others.length > 0 ? [others.join(', ')] : [])].join(',\n'))}\n)`;
};

/** `left operator right`, over several lines where it is long. */
export const joined = (left: string, operator: string, right: string): string => {
  const line = `${left} ${operator} ${right}`;
  const fits = !isLong(line) || left.length <= shortOperand || right.length <= shortOperand;
  return fits ? line : `${left}\n${operator}\n${right}`;
};
