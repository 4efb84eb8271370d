/** The dashboards as the files that Grafana reads: JSON, a provider for file provisioning, ConfigMaps for the sidecar. */
import { type Artifact, generatedYaml } from '../src/monitoring/artifact.ts';
import type { Dashboard } from './dashboard.ts';

/** @param folder Grafana's folder, which classic JSON cannot name */
export const dashboardFiles = (
  dashboards: readonly Dashboard[],
  { folder }: { readonly folder: string },
): readonly Artifact[] => [
  ...dashboards.map(({ json, name }) => ({ path: `dashboards/${name}.json`, content: json })),
  { path: 'dashboards/provisioning.yaml', content: provisioning(folder) },
  { path: 'dashboards/configmaps.yaml', content: configMaps(dashboards, folder) },
];

const provisioning = (folder: string): string =>
  generatedYaml('A provider for the folder provisioning/dashboards of Grafana; path is where the JSON is.', {
    apiVersion: 1,
    providers: [
      {
        name: 'gitaly-exporter',
        folder,
        type: 'file',
        options: { path: '/etc/grafana/dashboards/gitaly-exporter' },
      },
    ],
  });

/**
 * One for each dashboard: `kubectl apply` keeps a copy of the object in an annotation of at most 256 KiB, which all of
 * them in one would exceed, and some with their indentation.
 */
const configMaps = (dashboards: readonly Dashboard[], folder: string): string =>
  generatedYaml(
    'ConfigMaps for the sidecar of the Grafana Helm charts (label grafana_dashboard, folderAnnotation grafana_folder).',
    ...dashboards.map(({ json, name }) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: `gitaly-exporter-dashboard-${name}`,
        labels: { 'app.kubernetes.io/name': 'gitaly-exporter', grafana_dashboard: '1' },
        annotations: { grafana_folder: folder },
      },
      data: { [`gitaly-exporter-${name}.json`]: JSON.stringify(JSON.parse(json)) },
    })),
  );
