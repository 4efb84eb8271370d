/** The dashboards as files: provisioning and ConfigMaps with the folder, and the settings that the JSON depends on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { dashboardFiles } from '../../dashboards/files.ts';
import { dashboards } from '../../dashboards/index.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { type DashboardJson, generated, type Panel, panelsOf } from './support.ts';

const all = dashboards({
  ...defaultMonitoringSettings,
  tags: ['git', 'production'],
  datasource: 'prometheus-production',
});
const files = new Map(
  dashboardFiles(all, { folder: 'Git: storage' }).map(({ content, path }) => [path, content]),
);

interface ConfigMap {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly data: Readonly<Record<string, string>>;
}

const configMaps = parseAllDocuments(files.get('dashboards/configmaps.yaml')!).map(
  (document) => document.toJS() as ConfigMap,
);

test('each dashboard has a ConfigMap with the label of the sidecar and the folder', () => {
  expect(configMaps.flatMap(({ data }) => Object.values(data).map((json) => JSON.parse(json)))).toEqual(
    all.map(({ json }) => JSON.parse(json)),
  );
  for (const { metadata } of configMaps) {
    expect(metadata.labels).toMatchObject({ grafana_dashboard: '1' });
    expect(metadata.annotations).toEqual({ grafana_folder: 'Git: storage' });
  }
});

test('kubectl apply can keep its copy of each ConfigMap in an annotation', () => {
  for (const configMap of configMaps) expect(JSON.stringify(configMap).length).toBeLessThan(256 * 1024);
});

test('the provider names the folder', () => {
  expect(parse(files.get('dashboards/provisioning.yaml')!)).toMatchObject({
    apiVersion: 1,
    providers: [{ folder: 'Git: storage', type: 'file' }],
  });
});

test('every dashboard has the configured tags in addition to its own, and selects the data source by default', () => {
  for (const { json } of all) {
    const dashboard = JSON.parse(json) as DashboardJson & { readonly tags: readonly string[] };
    expect(dashboard.tags).toEqual(['gitaly-exporter', 'git', 'production']);
    expect(dashboard.templating.list[0]).toMatchObject({
      name: 'datasource',
      current: { value: 'prometheus-production' },
    });
  }
});

test('no dashboard is larger, or has more queries, than docs/dashboards.md says', () => {
  const documented = readFileSync(join(import.meta.dirname, '../../docs/dashboards.md'), 'utf8');
  const [, kilobytes, all, atFirst] =
    /at most (\d+) KB and (\d+) queries, (\d+) of them/.exec(documented) ?? [];
  for (const { dashboard, json } of generated()) {
    const queries = (panels: readonly Panel[]) => panels.flatMap(({ targets = [] }) => targets).length;
    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(Number(kilobytes) * 1000);
    expect(queries(panelsOf(dashboard))).toBeLessThanOrEqual(Number(all));
    expect(queries(dashboard.panels)).toBeLessThanOrEqual(Number(atFirst));
  }
});
