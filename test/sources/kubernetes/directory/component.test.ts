/** Which pods are Gitaly's. */
import { expect, test } from '@jest/globals';
import {
  chartComponentOf,
  componentBySelectors,
  mainContainer,
} from '../../../../src/sources/kubernetes/directory/component.ts';
import type { Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { named, recordedPods } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const gitaly = named(pods, 'gl-gitaly-default-0');
const with_ = (labels: Readonly<Record<string, string>>, ...containers: readonly string[]): Pod => ({
  ...gitaly,
  labels,
  containers: containers.flatMap((name) => gitaly.containers.map((each) => ({ ...each, name }))),
});
const bySelectors = componentBySelectors({
  gitalySelector: 'role in (git, gitaly)',
  praefectSelector: 'role=router',
});

test('of the chart, by its containers, by its label, or neither', () => {
  expect(pods.map((pod) => chartComponentOf(pod))).toEqual([
    'gitaly',
    'gitaly',
    'gitaly',
    'praefect',
    'praefect',
    'praefect',
  ]);
  expect(chartComponentOf(with_({ app: 'gitaly' }, 'server'))).toBe('gitaly');
  // A sidecar does not make it something else.
  expect(chartComponentOf(with_({}, 'istio-proxy', 'gitaly'))).toBe('gitaly');
  expect(chartComponentOf(with_({ app: 'webservice' }, 'web'))).toBeUndefined();
});

test.each([
  [{ role: 'git' }, 'gitaly'],
  [{ role: 'router' }, 'praefect'],
  [{ role: 'other' }, undefined],
])('by selectors of their own: %j is %s', (labels, component) => {
  expect(bySelectors(with_(labels, 'server'))).toBe(component);
});

test('where both selectors match, or neither, the chart decides', () => {
  const both = componentBySelectors({ gitalySelector: 'release=gl', praefectSelector: 'release=gl' });
  expect(pods.map((pod) => both(pod))).toEqual(pods.map((pod) => chartComponentOf(pod)));
  const broken = componentBySelectors({ gitalySelector: '((', praefectSelector: '))' });
  expect(broken(gitaly)).toBe('gitaly');
});

test('the main container is by its name, or the only one', () => {
  expect(mainContainer(with_({}, 'istio-proxy', 'praefect'))?.name).toBe('praefect');
  expect(mainContainer(with_({}, 'server'))?.name).toBe('server');
  expect(mainContainer(with_({}, 'server', 'sidecar'))).toBeUndefined();
});
