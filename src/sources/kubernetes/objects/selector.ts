/** Label selectors: which labels they match. */

import { fields, members, text } from './reading.ts';
import type { LabelSelector, Requirement } from './types.ts';

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/** Undefined where there is none, or one in a form that is not known: it matches nothing that could be said. */
export function labelSelectorOf(raw: unknown): LabelSelector | undefined {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return undefined;
  const selector = fields(raw);
  const labels: [string, string][] = [];
  for (const [key, value] of Object.entries(fields(selector['matchLabels']))) {
    if (typeof value !== 'string') return undefined;
    labels.push([key, value]);
  }
  const expressions: Requirement[] = [];
  for (const member of members(selector['matchExpressions'])) {
    const { key, operator, values } = fields(member);
    const known = operators.find((each) => each === operator);
    if (known === undefined || typeof key !== 'string') return undefined;
    expressions.push({ key, operator: known, values: members(values).map((value) => text(value)) });
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
