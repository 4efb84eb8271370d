/** deploy/kubernetes: what its comments say holds. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';

interface PodSpec {
  readonly tolerations?: readonly object[];
  readonly containers: readonly {
    readonly env: readonly { readonly name: string }[];
    readonly volumeMounts?: readonly { readonly name: string }[];
  }[];
  readonly volumes?: readonly { readonly name: string; readonly secret?: { readonly optional?: boolean } }[];
}

function podSpecOf(file: string): PodSpec {
  const text = readFileSync(join(import.meta.dirname, '../../../deploy/kubernetes', file), 'utf8');
  const [first] = parseAllDocuments(text).map(
    (each) => each.toJS() as { spec: { template: { spec: PodSpec } } },
  );
  if (first === undefined) throw new Error(`${file} is empty`);
  return first.spec.template.spec;
}

test('the agent runs on nodes with a taint of any effect, as Gitaly may', () => {
  const effects = ['NoSchedule', 'NoExecute'];
  expect(podSpecOf('agent.yaml').tolerations).toEqual(
    effects.map((effect) => ({ operator: 'Exists', effect })),
  );
});

test('the exporter of the cluster starts without Praefect when the two variables are removed', () => {
  const { containers, volumes = [] } = podSpecOf('cluster.yaml');
  const database = containers.flatMap(({ env }) => env).filter(({ name }) => name.includes('PRAEFECT'));
  expect(database).toHaveLength(2);
  for (const { name } of database) expect(name).toContain('PRAEFECT_DATABASE_');
  // Every volume that is left mounted exists, and no Secret is required.
  const mounted = containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name));
  expect(volumes.map(({ name }) => name)).toEqual(mounted);
  expect(volumes.every(({ secret }) => secret?.optional === true)).toBe(true);
});
