/** Selectors as people write them: `app=gitaly,release in (a, b),!canary`. */
import type { LabelSelector, Requirement } from './types.ts';

const key = '([A-Za-z0-9]([A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?)';
const value = '([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?';
const equals = new RegExp(`^${key}\\s*(==|=|!=)\\s*${value}$`);
const among = new RegExp(`^${key}\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const exists = new RegExp(`^(!?)\\s*${key}$`);
const valueForm = new RegExp(`^${value}$`);

/** Undefined when it is none. The grammar is that of k8s.io/apimachinery/pkg/labels, without < and >. */
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
  const equal = equals.exec(text);
  if (equal !== null)
    return { key: equal[1] ?? '', operator: equal[3] === '!=' ? 'NotIn' : 'In', values: [equal[4] ?? ''] };
  const set = among.exec(text);
  if (set !== null) {
    const values = (set[4] ?? '').split(',').map((each) => each.trim());
    return values.every((each) => valueForm.test(each))
      ? { key: set[1] ?? '', operator: set[3] === 'in' ? 'In' : 'NotIn', values }
      : undefined;
  }
  const presence = exists.exec(text);
  if (presence === null) return undefined;
  return { key: presence[2] ?? '', operator: presence[1] === '!' ? 'DoesNotExist' : 'Exists', values: [] };
}

/**
 * The fewest selectors that together ask for what any of these does. `app=gitaly` and `app=praefect` become one,
 * so that the usual case is one watch.
 */
export function joinedSelectors(texts: readonly string[]): readonly string[] {
  const distinct = [...new Set(texts.map((text) => text.trim()))];
  const simple = distinct.map((text) => /^([^\s,=!()]+)==?([^\s,=!()]+)$/.exec(text));
  const [first] = simple;
  if (first === null || first === undefined || distinct.length < 2) return distinct;
  if (!simple.every((each) => each?.[1] === first[1])) return distinct;
  return [`${first[1]} in (${simple.map((each) => each?.[2]).join(',')})`];
}
