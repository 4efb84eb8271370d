import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import {
  type RightsSettings,
  rightsFor,
  rightText,
} from '../../../../src/sources/kubernetes/directory/rights.ts';

const cluster: RightsSettings = { role: 'cluster', namespace: undefined, scrape: true, volumeStats: false };
const texts = (settings: RightsSettings): readonly string[] => rightsFor(settings).map(rightText).sort();

test('an exporter for the cluster needs permissions in all namespaces', () => {
  expect(texts(cluster)).toEqual([
    'get configmaps in all namespaces',
    'list events in all namespaces',
    'list nodes',
    'list poddisruptionbudgets.policy in all namespaces',
    'list pods in all namespaces',
    'list statefulsets.apps in all namespaces',
    'watch events in all namespaces',
    'watch nodes',
    'watch poddisruptionbudgets.policy in all namespaces',
    'watch pods in all namespaces',
    'watch statefulsets.apps in all namespaces',
  ]);
});

test('an exporter for one namespace also needs nodes, and their events in namespace default', () => {
  expect(texts({ ...cluster, namespace: ['gitlab'] })).toEqual([
    'get configmaps in namespace gitlab',
    'list events in namespace default',
    'list events in namespace gitlab',
    'list nodes',
    'list poddisruptionbudgets.policy in namespace gitlab',
    'list pods in namespace gitlab',
    'list statefulsets.apps in namespace gitlab',
    'watch events in namespace default',
    'watch events in namespace gitlab',
    'watch nodes',
    'watch poddisruptionbudgets.policy in namespace gitlab',
    'watch pods in namespace gitlab',
    'watch statefulsets.apps in namespace gitlab',
  ]);
});

test('an agent needs pods and nodes only', () => {
  const agent = { ...cluster, role: 'agent', volumeStats: true } as const;
  expect(texts(agent)).toEqual([
    'list nodes',
    'list pods in all namespaces',
    'watch nodes',
    'watch pods in all namespaces',
  ]);
});

test('kubernetes.scrape needs ConfigMaps, kubernetes.volume-stats needs nodes/proxy', () => {
  const without = texts({ ...cluster, scrape: false, volumeStats: true });
  expect(without.filter((text) => text.startsWith('get'))).toEqual(['get nodes/proxy']);
});

interface Role {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

/** The permissions that roles of these names in a manifest grant, as `rightText` formats them. */
function granted(file: string, names: RegExp): readonly string[] {
  const text = readFileSync(join(import.meta.dirname, '../../../../deploy/kubernetes', file), 'utf8');
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Role);
  return documents
    .filter(({ kind, metadata }) => /^(Cluster)?Role$/.test(kind) && names.test(metadata.name))
    .flatMap(({ metadata, rules }) =>
      rules.flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            verbs.map((verb) =>
              rightText({
                verb: verb as 'get',
                group,
                resource,
                namespace: metadata.namespace,
                path: '',
                for: '',
              }),
            ),
          ),
        ),
      ),
    )
    .sort();
}

test.each([
  ['base', 'cluster', undefined, /^gitaly-exporter$/],
  ['base', 'agent', undefined, /^gitaly-exporter-agent$/],
  ['components/namespaced', 'cluster', ['gitlab'], /^gitaly-exporter(-nodes|-node-events)?$/],
  ['components/namespaced', 'agent', ['gitlab'], /^gitaly-exporter-(agent|nodes)$/],
] as const)(
  'rbac.yaml of %s grants role %s exactly the permissions that it needs',
  (folder, role, namespace, names) => {
    expect(granted(`${folder}/rbac.yaml`, names)).toEqual(texts({ ...cluster, role, namespace }));
  },
);
