/** Which pods are Gitaly's. */
import { expect, test } from '@jest/globals';
import {
  chartComponentOf,
  componentBySelectors,
  mainContainer,
} from '../../../src/sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../../../src/sources/kubernetes/objects/types.ts';
import { named, recordedPods } from './directory/support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const gitaly = named(pods, 'gl-gitaly-default-0');
const podWith = (labels: Readonly<Record<string, string>>, ...containers: readonly string[]): Pod => ({
  ...gitaly,
  labels,
  containers: containers.flatMap((name) => gitaly.containers.map((each) => ({ ...each, name }))),
});
const bySelectors = componentBySelectors({
  gitalySelector: 'role in (git, gitaly)',
  praefectSelector: 'role=router',
});

test('the component of a pod of the chart is found by its containers, else by its label app', () => {
  expect(pods.map((pod) => chartComponentOf(pod))).toEqual([
    'gitaly',
    'gitaly',
    'gitaly',
    'praefect',
    'praefect',
    'praefect',
  ]);
  expect(chartComponentOf(podWith({ app: 'gitaly' }, 'server'))).toBe('gitaly');
  // Sidecars have no effect.
  expect(chartComponentOf(podWith({}, 'istio-proxy', 'gitaly'))).toBe('gitaly');
  expect(chartComponentOf(podWith({ app: 'webservice' }, 'web'))).toBeUndefined();
});

test.each([
  [{ role: 'git' }, 'gitaly'],
  [{ role: 'router' }, 'praefect'],
  [{ role: 'other' }, undefined],
])('with custom selectors, a pod with labels %j is %s', (labels, component) => {
  expect(bySelectors(podWith(labels, 'server'))).toBe(component);
});

test('when both selectors match, or neither, the component is found as in the chart', () => {
  const both = componentBySelectors({ gitalySelector: 'release=gl', praefectSelector: 'release=gl' });
  expect(pods.map((pod) => both(pod))).toEqual(pods.map((pod) => chartComponentOf(pod)));
  const broken = componentBySelectors({ gitalySelector: '((', praefectSelector: '))' });
  expect(broken(gitaly)).toBe('gitaly');
});

test('the main container is found by its name, or is the only one', () => {
  expect(mainContainer(podWith({}, 'istio-proxy', 'praefect'))?.name).toBe('praefect');
  expect(mainContainer(podWith({}, 'server'))?.name).toBe('server');
  expect(mainContainer(podWith({}, 'server', 'sidecar'))).toBeUndefined();
});
