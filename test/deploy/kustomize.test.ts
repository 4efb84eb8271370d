/**
 * deploy/kubernetes is the chart for operators who do not use Helm: the base is the chart with its defaults,
 * and each component is one of its options.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { hasTool } from '../support/tools.ts';
import type { ChartCaseName } from './cases.ts';
import { golden, type Manifest, manifests, root } from './chart.ts';
import { kustomizeFiles } from './kustomize-files.ts';

const folder = join(root, 'deploy/kubernetes');

test.each([...kustomizeFiles()])('%s is rendered from the current chart', (path, text) => {
  expect(readFileSync(join(root, path), 'utf8')).toBe(text);
});

test('the example names the image of the current version', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const [overlay] = manifests(readFileSync(join(folder, 'overlays/gitlab/kustomization.yaml'), 'utf8'));
  expect(overlay?.['images']).toEqual([expect.objectContaining({ newTag: version })]);
});

/** Components need kustomize 3.7, which kubectl has since 1.21. */
const [withKubectl, needsKubectl] = hasTool('kubectl') ? [test, ''] : [test.skip, ' (needs kubectl)'];

const kustomize = (path: string): readonly Manifest[] =>
  manifests(execFileSync('kubectl', ['kustomize', path], { encoding: 'utf8', maxBuffer: 1e8 }));

let work: string;
beforeAll(() => {
  // Without symbolic links: kustomize accepts relative paths only.
  work = mkdtempSync(join(realpathSync(tmpdir()), 'kustomize-'));
});
afterAll(() => rmSync(work, { recursive: true }));

/** By kind, namespace and name, without what only one of the two sets has. */
function comparable(objects: readonly Manifest[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    objects
      .filter(
        ({ kind, metadata }) =>
          kind !== 'Namespace' &&
          kind !== 'PrometheusRule' &&
          metadata.annotations?.['helm.sh/hook'] === undefined &&
          metadata.labels?.['grafana_dashboard'] === undefined,
      )
      .map(({ metadata, ...rest }): [string, unknown] => {
        const labels = Object.fromEntries(
          Object.entries(metadata.labels ?? {}).filter(
            ([label]) => !['helm.sh/chart', 'app.kubernetes.io/managed-by'].includes(label),
          ),
        );
        return [
          `${rest.kind} ${metadata.namespace ?? ''}/${metadata.name}`,
          sorted({ ...rest, metadata: { ...metadata, labels } }),
        ];
      }),
  );
}

/** Variables, mounts and volumes in the order of their names: patches prepend. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    const all = value.map(sorted);
    const isNamed = all.every((each) => typeof each === 'object' && each !== null && 'name' in each);
    return isNamed ? all.sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1)) : all;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => !(typeof each === 'object' && each !== null && Object.keys(each).length === 0))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

describe(`kustomize${needsKubectl}`, () => {
  withKubectl.each<[ChartCaseName, readonly string[]]>([
    ['defaults', []],
    ['namespaced', ['namespaced']],
    ['praefect', ['praefect']],
    ['without-agents', ['without-agents']],
    ['operator', ['prometheus-operator']],
  ])('of the base with components for %s is what the chart renders', (name, components) => {
    const path = (...parts: readonly string[]) => relative(work, join(folder, ...parts));
    writeFileSync(
      join(work, 'kustomization.yaml'),
      JSON.stringify({
        resources: [path('base')],
        components: components.map((component) => path('components', component)),
      }),
    );
    expect(comparable(kustomize(work))).toEqual(comparable(manifests(golden(name))));
  });

  withKubectl('of the component for the operator has all rules and dashboards', () => {
    const objects = kustomize(join(folder, 'overlays/gitlab'));
    const files = (part: string, end: string) =>
      readdirSync(join(root, part)).filter((file) => file.endsWith(end));
    expect(objects.filter(({ kind }) => kind === 'PrometheusRule')).toHaveLength(
      files('alerts', '.prometheusrule.yaml').length,
    );
    const dashboards = objects.filter(({ metadata }) => metadata.labels?.['grafana_dashboard'] === '1');
    expect(dashboards.flatMap(({ data }) => Object.keys(data as object)).sort()).toEqual(
      files('dashboards', '.json')
        .map((file) => `gitaly-exporter-${file}`)
        .sort(),
    );
    for (const { kind, metadata } of objects) {
      if (/^(PrometheusRule|ServiceMonitor|PodMonitor)$/.test(kind))
        expect(metadata.labels).toMatchObject({ release: 'kube-prometheus-stack' });
    }
  });
});
