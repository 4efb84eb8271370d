/** The descriptions of the demo's incidents, and its schema, agree with the rest of the project. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { incidents } from '../../demo/incidents/catalog.ts';
import { demoTopology, storagesOf } from '../../demo/topology.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { praefectSchema } from '../support/praefect-fixtures.ts';

describe.each(incidents.map((incident) => [incident.name, incident] as const))('%s', (name, incident) => {
  test('has a name that fits a URL path, and complete texts', () => {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(incident.title).toMatch(/^[A-Z].*[^.]$/);
    expect(incident.description).toMatch(/^.{80,}\.$/);
    expect(incident.ends).toMatch(/\.$/);
    expect(incident.watch.length).toBeGreaterThanOrEqual(3);
  });

  test('names metrics that the exporter exposes, each once', () => {
    const watched = incident.watch.map(({ metric }) => metric.name);
    expect(everyMetric.map(({ name: known }) => known)).toEqual(expect.arrayContaining(watched));
    expect(new Set(watched).size).toBe(watched.length);
  });

  test('names alerts that exist', () => {
    const known = alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) =>
      alerts.map(({ name }) => name),
    );
    expect(known).toEqual(expect.arrayContaining([...incident.alerts]));
  });

  test('needs only resources of the cluster', () => {
    // GetArchive: the RPC whose limit the simulated Gitalys have.
    const resources = [...demoTopology.praefects, ...storagesOf(demoTopology), 'database', 'GetArchive'];
    expect(resources).toEqual(expect.arrayContaining([...incident.needs]));
  });
});

test('every paging alert of the Praefect cluster is provoked by an incident', () => {
  // Not simulated by the demo: GitLab 13.x, a server that ages for months, an operator that deletes projects, a
  // storage that flaps for an hour.
  const notSimulated = [
    'PraefectRepositoriesReadOnly',
    'PraefectDatabaseWraparound',
    'PraefectRepositoryCountDrop',
    'PraefectStorageFlapping',
    'PraefectSingleCopy',
  ];
  const provoked = new Set(incidents.flatMap(({ alerts }) => alerts));
  const pages = alertGroups(defaultMonitoringSettings)
    .filter(({ name }) => name === 'praefect')
    .flatMap(({ alerts }) => alerts.filter(({ severity }) => severity === 'critical'))
    .map(({ name }) => name);
  expect([...provoked, ...notSimulated]).toEqual(expect.arrayContaining(pages));
});

test("the demo's schema starts with that of GitLab 19.0, apart from comments", () => {
  const statements = (sql: string): string =>
    sql
      .split('\n')
      .filter((line) => !line.startsWith('--') && line.trim() !== '')
      .join('\n');
  const demoSchema = statements(
    readFileSync(new URL('../../demo/postgres/schema.sql', import.meta.url), 'utf8'),
  );
  expect(demoSchema.startsWith(statements(praefectSchema('19.0')))).toBe(true);
  expect(demoSchema.match(/^ {4}\('\d{14}_\w+'\),?$/gm)).toHaveLength(43);
});

test('the documentation lists every incident with its alerts', () => {
  const page = readFileSync(new URL('../../docs/demo.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| .+ \| (.*)\|$/gm)].map(([, name, alerts]) => [
    name,
    alerts!.trim(),
  ]);
  expect(rows).toEqual(incidents.map(({ name, alerts }) => [name, alerts.join(', ')]));
});
