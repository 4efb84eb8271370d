/**
 * PromQL's operators. Two vectors are always matched `on` named labels that both have: a match by all common labels
 * breaks with the first relabeling.
 */
import {
  binding,
  joined,
  type Operand,
  parenthesised,
  type Scalar,
  scalarOf,
  union,
  type Vector,
  vectorOf,
} from './expression.ts';

/** `group: 'left'`: many series on the left match one on the right, and keep their labels. */
export interface Matching<On extends string> {
  readonly on: readonly On[];
  readonly group?: 'left';
}

/** Of two vectors: by labels of both, or many series on the left with one on the right. */
interface Comparison {
  <Labels extends string>(left: Vector<Labels>, right: Operand): Vector<Labels>;
  <Left extends string, On extends Left>(
    left: Vector<Left>,
    right: Vector<On>,
    matching: { readonly on: readonly On[]; readonly group: 'left' },
  ): Vector<Left>;
  <Left extends string, Right extends string, On extends Left & Right>(
    left: Vector<Left>,
    right: Vector<Right>,
    matching: { readonly on: readonly On[] },
  ): Vector<On>;
}

interface Arithmetic extends Comparison {
  (left: Operand, right: Operand): Scalar;
  <Labels extends string>(left: Operand, right: Vector<Labels>): Vector<Labels>;
}

type Term = Operand | Vector;

function operator(name: string, boundAs: number): Arithmetic {
  const apply = (left: Term, right: Term, matching?: Matching<string>): Scalar | Vector => {
    const text = binary(left, operatorText(name, matching), right, boundAs);
    const metrics = metricsOf(left, right);
    const vectors = [left, right].filter(isVector);
    const [first] = vectors;
    if (first === undefined) return { ...scalarOf(text, metrics), binding: boundAs };
    const labels = matching === undefined || matching.group === 'left' ? first.labels : matching.on;
    return vectorOf(text, labels, metrics, boundAs);
  };
  return apply as Arithmetic;
}

export const add = operator('+', binding.sum);
export const subtract = operator('-', binding.sum);
export const multiply = operator('*', binding.product);
export const divide = operator('/', binding.product);

const comparison = (name: string): Comparison => operator(name, binding.comparison);

/** Keeps the series of the left side for which the comparison holds, with their values. */
export const above = comparison('>');
export const atLeast = comparison('>=');
export const below = comparison('<');
export const atMost = comparison('<=');
export const equals = comparison('==');
export const differs = comparison('!=');

type Indicator = <Labels extends string>(left: Vector<Labels>, right: Operand) => Vector<Labels>;

/** 1 where the comparison holds, 0 where it does not; keeps every series. */
export const isAtMost: Indicator = comparison('<= bool');
export const isAtLeast: Indicator = comparison('>= bool');

type Filter = <Left extends string, Right extends string, On extends Left & Right>(
  left: Vector<Left>,
  right: Vector<Right>,
  matching: { readonly on: readonly On[] },
) => Vector<Left>;

const filter =
  (name: string): Filter =>
  (left, right, matching) =>
    vectorOf(
      binary(left, operatorText(name, matching), right, binding.and),
      left.labels,
      metricsOf(left, right),
      binding.and,
    );

/** Series of the left side that have a match on the right. */
export const and = filter('and');
/** Series of the left side that have no match on the right. */
export const unless = filter('unless');

/**
 * All series of the left side, and those of the right that have no match there; with `on: []` the right side only if the
 * left is empty. Only the labels of both sides are certain.
 */
export function or<Left extends string, Right extends string>(
  left: Vector<Left>,
  right: Vector<Right>,
  matching?: { readonly on: readonly (Left & Right)[] },
): Vector<Left & Right> {
  const labels = left.labels.filter((label): label is Left & Right =>
    (right.labels as readonly string[]).includes(label),
  );
  const text = binary(left, operatorText('or', matching), right, binding.or);
  return vectorOf(text, labels, metricsOf(left, right), binding.or);
}

const operatorText = (name: string, matching?: Matching<string>): string =>
  matching === undefined
    ? name
    : `${name} on (${matching.on.join(', ')})${matching.group === 'left' ? ' group_left ()' : ''}`;

/**
 * All operators here associate to the left, so an equal binding needs parentheses on the right alone. `and` and
 * `unless` inside `or` get them too: PromQL does not ask for them, readers do.
 */
function binary(left: Term, name: string, right: Term, boundAs: number): string {
  const side = (term: Term, least: number): string => {
    if (typeof term === 'number') return String(term);
    const unclear = boundAs === binding.or && term.binding === binding.and;
    return term.binding < least || unclear ? parenthesised(term.text) : term.text;
  };
  return joined(side(left, boundAs), name, side(right, boundAs + 1));
}

const isVector = (term: Term): term is Vector => typeof term !== 'number' && term.kind === 'vector';

const metricsOf = (...terms: readonly Term[]) =>
  union(...terms.map((term) => (typeof term === 'number' ? [] : term.metrics)));
