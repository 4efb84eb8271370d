/** The files of deploy/kubernetes that are rendered from the chart: by path, relative to the package. */
import type { ChartCaseName } from './cases.ts';
import { golden } from './chart.ts';

const header = (path: string): string =>
  `# Rendered from the Helm chart (UPDATE_GOLDEN=1 npm test -- test/deploy). Do not edit.\n${path}`;

export function kustomizeFiles(): ReadonlyMap<string, string> {
  const base = documents('defaults');
  const isRbac = (text: string): boolean =>
    /^kind: (Cluster)?Role/m.test(text) || /^kind: ServiceAccount$/m.test(text);
  const isAgent = (text: string): boolean => /app\.kubernetes\.io\/component: agent/.test(text);
  const isWorkload = (text: string): boolean =>
    /^kind: (Deployment|DaemonSet|Service|ConfigMap)$/m.test(text);
  const isMonitor = (text: string): boolean => /^kind: (Service|Pod)Monitor$/m.test(text);
  const join = (texts: readonly string[]): string => header(texts.map((text) => `---\n${text}`).join(''));
  return new Map([
    ['deploy/kubernetes/base/rbac.yaml', join(base.filter(isRbac))],
    ['deploy/kubernetes/base/cluster.yaml', join(base.filter((text) => isWorkload(text) && !isAgent(text)))],
    ['deploy/kubernetes/base/agent.yaml', join(base.filter((text) => isWorkload(text) && isAgent(text)))],
    [
      'deploy/kubernetes/components/namespaced/rbac.yaml',
      join(documents('namespaced').filter((text) => isRbac(text) && !/^kind: ServiceAccount$/m.test(text))),
    ],
    [
      'deploy/kubernetes/components/prometheus-operator/monitors.yaml',
      join(documents('operator').filter(isMonitor)),
    ],
  ]);
}

/**
 * Without Helm's own labels, its hook, and the dashboards, which deploy/kubernetes takes from their own folder.
 */
const documents = (name: ChartCaseName): readonly string[] =>
  golden(name)
    .split(/^---\n/m)
    .filter((text) => text.trim() !== '' && !/helm\.sh\/hook|-dashboard-/.test(text))
    .map((text) =>
      text.replaceAll(/^# Source: .*\n|^ *(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, ''),
    );
