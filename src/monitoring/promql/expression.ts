/**
 * PromQL as values: an expression has its text, its precedence, the labels of its series and the metrics that it reads.
 * The other files of this folder build such values from typed metrics.
 */
import type { Metric } from '../../metrics/metric.ts';

/** The precedence of PromQL's operators, lowest first. */
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
  /** Every metric that the expression reads, each once. */
  readonly metrics: readonly Metric[];
}

/** One number without labels. */
export interface Scalar extends Expression {
  readonly kind: 'scalar';
}

/** Series with `Labels`. An expression cannot use other labels of theirs. */
export interface Vector<Labels extends string = string> extends Expression {
  readonly kind: 'vector';
  readonly labels: readonly Labels[];
}

/** The operand of arithmetic and comparisons that is not a vector. */
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

/** Longer lines are broken at their operators and arguments. */
const longestLine = 100;
/** An operand of up to this length stays on the line of the other one. */
const shortOperand = 16;

const isLong = (text: string): boolean => text.includes('\n') || text.length > longestLine;

const indented = (text: string): string => text.replace(/^/gm, '  ');

/** `(a, b, c)`; a long first argument is on its own lines, and the others, which are short, on the next. */
export const parenthesised = (first: string, ...others: readonly string[]): string => {
  const line = [first, ...others].join(', ');
  if (!isLong(line)) return `(${line})`;
  return `(\n${indented([first, ...(others.length > 0 ? [others.join(', ')] : [])].join(',\n'))}\n)`;
};

/** `left operator right`, on several lines if it is long. */
export const joined = (left: string, operator: string, right: string): string => {
  const line = `${left} ${operator} ${right}`;
  const fits = !isLong(line) || left.length <= shortOperand || right.length <= shortOperand;
  return fits ? line : `${left}\n${operator}\n${right}`;
};
