/** The values for which the chart is rendered. Each case is a file in `golden`. */

export interface ChartCase {
  readonly values: Readonly<Record<string, unknown>>;
  /** Default: 1.35.0. */
  readonly kubeVersion?: string;
  /** Served in addition to those of Kubernetes. */
  readonly apiVersions?: readonly string[];
  /** The name of the release; default: gitaly-exporter. */
  readonly namespace?: string;
}

const operator = ['monitoring.coreos.com/v1'];

export const chartCases = {
  /** Rendered to deploy/kubernetes/base. */
  defaults: { values: {} },
  /** deploy/kubernetes/components/namespaced */
  namespaced: { values: { gitalyNamespaces: ['gitlab'] } },
  /** deploy/kubernetes/components/praefect */
  praefect: {
    values: {
      praefect: {
        database: {
          url: 'postgres://gitaly_exporter@praefect-db.example.com:5432/praefect?sslmode=require',
          secret: { name: 'gitaly-exporter-database', key: 'password' },
        },
      },
    },
  },
  /** deploy/kubernetes/components/without-agents: GKE Autopilot, Fargate. */
  'without-agents': { values: { agent: { enabled: false } } },
  /** deploy/kubernetes/components/prometheus-operator: next to kube-prometheus-stack. */
  operator: { values: {}, apiVersions: operator },
  'gitlab-chart': {
    namespace: 'gitlab',
    values: {
      gitalyNamespaces: ['gitlab'],
      praefect: { database: { secret: { name: 'gl-praefect-dbsecret' } } },
    },
  },
  'praefect-off': {
    apiVersions: operator,
    values: {
      praefect: {
        enabled: false,
        database: { secret: { name: 'gl-praefect-dbsecret' }, tls: { secretName: 'gl-postgres-tls' } },
      },
    },
  },
  'database-tls': {
    values: {
      praefect: {
        database: {
          url: 'postgres://db.example.com/praefect?sslmode=verify-full',
          user: 'gitaly_exporter',
          tls: { secretName: 'rds-ca', caKey: 'ca.crt', certKey: 'tls.crt', keyKey: 'tls.key' },
        },
      },
    },
  },
  openshift: { values: {}, apiVersions: ['security.openshift.io/v1', ...operator] },
  'kubernetes-1.16': {
    kubeVersion: '1.16.15',
    values: { podDisruptionBudget: { enabled: true }, metrics: { mode: 'none' } },
  },
  everything: {
    namespace: 'monitoring',
    apiVersions: operator,
    values: {
      fullnameOverride: 'storage-gitaly-exporter',
      commonLabels: { team: 'git' },
      image: {
        repository: 'registry.example.com/gitaly-exporter',
        digest: `sha256:${'0'.repeat(64)}`,
        pullSecrets: [{ name: 'registry' }],
      },
      gitalyNamespaces: ['gitlab', 'gitlab-system', 'default'],
      gitalySelector: 'app=gitaly,release=gl',
      volumeStats: true,
      cluster: {
        config: { maintenance: { window: ['upgrade=2026-12-01T02:00:00Z/2026-12-01T04:00:00Z'] } },
        extraArgs: ['--web.max-requests=20'],
        extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/etc/company/ca.crt' }],
        extraVolumes: [{ name: 'company', configMap: { name: 'company-ca' } }],
        extraVolumeMounts: [{ name: 'company', mountPath: '/etc/company', readOnly: true }],
        podAnnotations: { 'example.com/owner': 'git' },
        serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/exporter' } },
        tolerations: [{ key: 'monitoring', operator: 'Exists' }],
        priorityClassName: 'monitoring',
      },
      agent: {
        config: { cgroup: { buckets: 'all' } },
        nodeSelector: { 'example.com/gitaly': 'true' },
        priorityClassName: 'system-node-critical',
      },
      metrics: {
        interval: '30s',
        labels: { release: 'monitoring' },
        namespace: 'prometheus',
        endpoint: { scheme: 'https', relabelings: [{ targetLabel: 'cluster', replacement: 'production' }] },
      },
      dashboards: { namespace: 'grafana' },
      networkPolicy: {
        enabled: true,
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'prometheus' } } }],
      },
      podDisruptionBudget: { enabled: true },
    },
  },
  minimal: {
    values: {
      scrapePods: false,
      rbac: { create: false },
      metrics: { mode: 'none' },
      dashboards: { enabled: false },
      cluster: { serviceAccount: { create: false, name: 'existing' } },
      agent: { serviceAccount: { create: false, name: 'existing-agent' } },
    },
  },
} as const satisfies Readonly<Record<string, ChartCase>>;

export type ChartCaseName = keyof typeof chartCases;
export const chartCaseNames = Object.keys(chartCases) as ChartCaseName[];
