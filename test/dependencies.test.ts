/** Who may import whom: the arrows between the rooms, as docs/architecture.md draws them. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = join(import.meta.dirname, '..');

/** Room -> rooms that it may know, types included. What is not listed knows nobody. */
const mayKnow: Readonly<Record<string, readonly string[]>> = {
  'src/metrics': [],
  'src/runtime': ['src/metrics'],
  'src/events': ['src/metrics', 'src/runtime'],
  'src/config': [],
  'src/praefect': [
    'src/metrics',
    'src/runtime',
    'src/events',
    'src/config/database-connection.ts',
    'src/config/secret.ts',
  ],
  'src/cgroup': ['src/bytes-text.ts', 'src/metrics', 'src/runtime', 'src/events', 'src/identity.ts'],
  'src/kubernetes': ['src/metrics', 'src/runtime', 'src/events', 'src/identity.ts', 'src/config/secret.ts'],
  // Pure: it knows the shapes of what the other rooms found, and asks nobody.
  'src/posture': [
    'src/metrics',
    'src/runtime',
    'src/identity.ts',
    'src/kubernetes/objects/types.ts',
    'src/cgroup/tree.ts',
    'src/config/gitaly',
  ],
  'src/gitaly': [
    'src/identity.ts',
    'src/metrics',
    'src/runtime',
    'src/events',
    'src/config/gitaly',
    'src/config/kinds/metrics-target.ts',
    'src/config/problem.ts',
    'src/config/secret.ts',
  ],
  'src/problems': [
    'src/bytes-text.ts',
    'src/metrics',
    'src/runtime',
    'src/identity.ts',
    'src/praefect',
    'src/gitaly',
    'src/cgroup',
    'src/kubernetes',
    'src/posture',
    'src/maintenance',
  ],
  'src/maintenance': ['src/metrics', 'src/runtime', 'src/events', 'src/config/kinds/maintenance-window.ts'],
  'src/server': ['src/bytes-text.ts', 'src/metrics', 'src/runtime', 'src/config/secret.ts'],
  'src/promql': ['src/metrics'],
  dashboards: [
    'src/promql',
    'src/metrics',
    'src/catalog.ts',
    'src/praefect',
    'src/gitaly',
    'src/cgroup',
    'src/kubernetes',
    'src/posture',
    'src/maintenance',
    'src/runtime',
    'src/events',
    'alerts',
  ],
  // Alerts link to panels, panels draw the alerts' thresholds.
  alerts: [
    'dashboards',
    'src/promql',
    'src/metrics',
    'src/catalog.ts',
    'src/praefect',
    'src/gitaly',
    'src/cgroup',
    'src/kubernetes',
    'src/posture',
    'src/maintenance',
    'src/runtime',
    'src/events',
  ],
};

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, target]) =>
    relative(root, resolve(root, dirname(file), target ?? '')),
  );
}

test.each(Object.entries(mayKnow))('%s imports only what it may know', (room, allowed) => {
  const foreign = filesBelow(room).flatMap((file) =>
    importsOf(file)
      .filter(
        (target) => ![room, ...allowed].some((each) => target === each || target.startsWith(`${each}/`)),
      )
      .map((target) => `${file} -> ${target}`),
  );
  expect(foreign).toEqual([]);
});

test('nothing that production code imports is imported back from the demo', () => {
  const importers = filesBelow('src')
    .filter((file) => !file.startsWith('src/demo/'))
    .filter((file) => importsOf(file).some((target) => target.startsWith('src/demo/')));
  expect(importers).toEqual([]);
});
