/** Label selectors: as objects of the API, as text, and which labels they match. */
import { elementsOf, fieldsOf, textOf } from './fields.ts';
import type { LabelSelector, Requirement } from './types.ts';

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** Undefined where there is no selector, or one of an unknown form, which must not match anything. */
export function labelSelectorOf(raw: unknown): LabelSelector | undefined {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return undefined;
  const selector = fieldsOf(raw);
  const labels: [string, string][] = [];
  for (const [key, value] of Object.entries(fieldsOf(selector['matchLabels']))) {
    if (typeof value !== 'string') return undefined;
    labels.push([key, value]);
  }
  const expressions: Requirement[] = [];
  for (const element of elementsOf(selector['matchExpressions'])) {
    const { key, operator, values } = fieldsOf(element);
    const known = operators.find((each) => each === operator);
    if (known === undefined || typeof key !== 'string') return undefined;
    expressions.push({ key, operator: known, values: elementsOf(values).map((value) => textOf(value)) });
  }
  return { labels: Object.fromEntries(labels), expressions };
}

/** As the API server matches: all of `labels` and all of `expressions`; an empty selector matches everything. */
export const selects = (
  { labels, expressions }: LabelSelector,
  of: Readonly<Record<string, string>>,
): boolean =>
  Object.entries(labels).every(([key, value]) => Object.hasOwn(of, key) && of[key] === value) &&
  expressions.every((requirement) => meets(requirement, of));

function meets({ key, operator, values }: Requirement, of: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(of, key) ? of[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

const keyForm = '([A-Za-z0-9]([A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?)';
const valueForm = '([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?';
const equality = new RegExp(`^${keyForm}\\s*(==|=|!=)\\s*${valueForm}$`);
const membership = new RegExp(`^${keyForm}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const existence = new RegExp(`^(!?)\\s*${keyForm}$`);
const wholeValue = new RegExp(`^${valueForm}$`);

/**
 * A selector as kubectl takes it: `app=gitaly,release in (a, b),!canary`. Undefined when it is not one. The
 * grammar is that of k8s.io/apimachinery/pkg/labels, without < and >.
 */
export function parseSelector(text: string): LabelSelector | undefined {
  const expressions: Requirement[] = [];
  if (text.trim() === '') return { labels: {}, expressions };
  for (const part of text.split(/,(?![^(]*\))/)) {
    const requirement = requirementOf(part.trim());
    if (requirement === undefined) return undefined;
    expressions.push(requirement);
  }
  return { labels: {}, expressions };
}

function requirementOf(text: string): Requirement | undefined {
  const equal = equality.exec(text);
  if (equal !== null)
    return { key: equal[1] ?? '', operator: equal[3] === '!=' ? 'NotIn' : 'In', values: [equal[4] ?? ''] };
  const set = membership.exec(text);
  if (set !== null) {
    const values = (set[4] ?? '').split(',').map((each) => each.trim());
    return values.every((each) => wholeValue.test(each))
      ? { key: set[1] ?? '', operator: set[3] === 'in' ? 'In' : 'NotIn', values }
      : undefined;
  }
  const presence = existence.exec(text);
  if (presence === null) return undefined;
  return { key: presence[2] ?? '', operator: presence[1] === '!' ? 'DoesNotExist' : 'Exists', values: [] };
}

/**
 * The fewest selectors that together match what any of these matches: `app=gitaly` and `app=praefect` are merged,
 * so that the usual case needs one watch.
 */
export function mergedSelectors(texts: readonly string[]): readonly string[] {
  const distinct = [...new Set(texts.map((text) => text.trim()))];
  const simple = distinct.map((text) => /^([^\s,=!()]+)==?([^\s,=!()]+)$/.exec(text));
  const [first] = simple;
  if (first === null || first === undefined || distinct.length < 2) return distinct;
  if (!simple.every((each) => each?.[1] === first[1])) return distinct;
  return [`${first[1]} in (${simple.map((each) => each?.[2]).join(',')})`];
}
