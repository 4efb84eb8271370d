import { describe, expect, test } from '@jest/globals';
import { selects } from '../../../../src/sources/kubernetes/objects/selector.ts';
import { joinedSelectors, parseSelector } from '../../../../src/sources/kubernetes/objects/selector-text.ts';

const labels = { app: 'gitaly', release: 'gl', 'app.kubernetes.io/name': 'gl', empty: '' };

describe('selectors in text', () => {
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
  ])('%s: %p', (text, expected) => {
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
  ])('%s is none', (text) => {
    expect(parseSelector(text)).toBeUndefined();
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
])('%j are asked for as %j', (texts, joined) => {
  expect(joinedSelectors(texts)).toEqual(joined);
});
