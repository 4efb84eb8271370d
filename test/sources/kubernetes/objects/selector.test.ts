import { describe, expect, test } from '@jest/globals';
import {
  labelSelectorOf,
  mergedSelectors,
  parseSelector,
  selects,
} from '../../../../src/sources/kubernetes/objects/selector.ts';

const labels = { app: 'gitaly', release: 'gl', 'app.kubernetes.io/name': 'gl', empty: '' };

describe('a selector as text', () => {
  test.each([
    ['', true],
    ['app=gitaly', true],
    ['app==gitaly', true],
    [' app = gitaly , release=gl ', true],
    ['app=praefect', false],
    ['app!=praefect', true],
    ['app!=gitaly', false],
    ['tier!=x', true],
    ['app in (gitaly,praefect)', true],
    ['app in ( praefect )', false],
    ['app notin (praefect), release in (gl, other)', true],
    ['app.kubernetes.io/name', true],
    ['!app', false],
    ['! canary', true],
    ['empty=', true],
    ['app=', false],
  ])('%j matches: %p', (text, expected) => {
    const selector = parseSelector(text);
    expect(selector && selects(selector, labels)).toBe(expected);
  });

  test.each([
    '=',
    'app=a=b',
    'app in gitaly',
    'app in (a',
    'a b',
    ',',
    'app=gitaly,',
    'app=x y',
    'a in (b,c d)',
  ])('%j is rejected', (text) => {
    expect(parseSelector(text)).toBeUndefined();
  });
});

describe('a selector of an object', () => {
  const labels = { app: 'gitaly', release: 'gl' };
  test.each<[object, boolean]>([
    [{}, true],
    [{ matchLabels: { app: 'gitaly' } }, true],
    [{ matchLabels: { app: 'gitaly', storage: 'default' } }, false],
    [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['gitaly', 'praefect'] }] }, true],
    [{ matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['gitaly'] }] }, false],
    [{ matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['x'] }] }, true],
    [{ matchExpressions: [{ key: 'release', operator: 'Exists' }] }, true],
    [{ matchExpressions: [{ key: 'release', operator: 'DoesNotExist' }] }, false],
    [{ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
  ])('%j matches: %p', (raw, expected) => {
    const selector = labelSelectorOf(raw);
    expect(selector !== undefined && selects(selector, labels)).toBe(expected);
  });

  test.each([
    undefined,
    null,
    [],
    { matchExpressions: [{ key: 'a', operator: 'Near' }] },
    { matchLabels: { a: 1 } },
  ])('%j is rejected', (raw: unknown) => {
    expect(labelSelectorOf(raw)).toBeUndefined();
  });
});

test.each([
  [['app=gitaly', 'app=praefect'], ['app in (gitaly,praefect)']],
  [['app=gitaly', 'app=gitaly'], ['app=gitaly']],
  [
    ['app=gitaly', 'role=praefect'],
    ['app=gitaly', 'role=praefect'],
  ],
  [
    ['app=gitaly,release=a', 'app=praefect'],
    ['app=gitaly,release=a', 'app=praefect'],
  ],
  [
    ['app!=redis', 'app=praefect'],
    ['app!=redis', 'app=praefect'],
  ],
])('the selectors %j are merged into %j', (texts, merged) => {
  expect(mergedSelectors(texts)).toEqual(merged);
});
