/**
 * What every rendering of the chart must meet, checked with the exporter's own code: its configuration loader
 * accepts the arguments and variables of the containers, and roles grant what rightsFor() lists.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { doctor } from '../../src/cli/commands/doctor.ts';
import { loadSettings } from '../../src/config/load.ts';
import { resolvePraefect } from '../../src/config/praefect/resolve.ts';
import { problemText } from '../../src/config/problem.ts';
import { accessChecks } from '../../src/doctor/finding.ts';
import { checkIds } from '../../src/rules/checks/check.ts';
import { rightsFor, rightText } from '../../src/sources/kubernetes/directory/rights.ts';
import { memorySystem } from '../config/memory-system.ts';
import { type ChartCaseName, chartCaseNames, chartCases } from './cases.ts';
import { golden, type Manifest, manifests } from './chart.ts';
import { type Pod, podsOf } from './pods.ts';

const objectsOf = (name: ChartCaseName): readonly Manifest[] => manifests(golden(name));

const podOf = (objects: readonly Manifest[], kind: string): Pod => {
  const pod = podsOf(objects).find(({ owner }) => owner.kind === kind);
  if (pod === undefined) throw new Error(`no ${kind}`);
  return pod;
};

/** The files that the rendered ConfigMaps, and the pod's Secrets, mount in the container. */
function mountedFiles(
  { spec }: Pod,
  objects: readonly Manifest[],
  contents: Readonly<Record<string, string>>,
) {
  const [container] = spec.containers;
  return Object.fromEntries(
    (container?.volumeMounts ?? []).flatMap(({ name, mountPath }) => {
      const volume = spec.volumes?.find((each) => each.name === name);
      const { items } = volume?.secret ?? volume?.configMap ?? {};
      const configMap = objects.find(
        ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === volume?.configMap?.name,
      );
      return [
        ...(items ?? []).map(({ path }) => [join(mountPath, path), contents[path] ?? 'content']),
        ...Object.entries((configMap?.['data'] ?? {}) as Record<string, string>).map(([key, text]) => [
          join(mountPath, key),
          text,
        ]),
      ];
    }),
  );
}

/** The settings as the exporter loads them in this container. */
function settingsOf(pod: Pod, objects: readonly Manifest[], contents: Readonly<Record<string, string>> = {}) {
  const [container] = pod.spec.containers;
  if (container === undefined) throw new Error('no container');
  const env = Object.fromEntries(
    container.env.map(({ name, value, valueFrom }) => [name, valueFrom === undefined ? value : 'node-1']),
  );
  const system = memorySystem(mountedFiles(pod, objects, contents), env);
  const flags = container.args.filter((arg) => arg.startsWith('--') && !arg.startsWith('--only='));
  return { system, loaded: loadSettings(flags, system) };
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly ('get' | 'list' | 'watch')[];
}

/** The permissions that the roles bound to an account grant, as `rightText` formats them. */
function grantedTo(account: string, objects: readonly Manifest[]): readonly string[] {
  const bindings = objects.filter(
    ({ kind, subjects }) =>
      kind.endsWith('RoleBinding') &&
      (subjects as readonly { readonly name: string }[]).some(({ name }) => name === account),
  );
  return bindings
    .flatMap(({ metadata, roleRef }) => {
      const { kind, name } = roleRef as { readonly kind: string; readonly name: string };
      const role = objects.find(
        (object) =>
          object.kind === kind &&
          object.metadata.name === name &&
          object.metadata.namespace === metadata.namespace,
      );
      return ((role?.['rules'] ?? []) as readonly Rule[]).flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            verbs.map((verb) =>
              rightText({ verb, group, resource, namespace: metadata.namespace, path: '', for: '' }),
            ),
          ),
        ),
      );
    })
    .sort();
}

const isWithin = (
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);

describe.each(chartCaseNames)('%s', (name) => {
  const objects = objectsOf(name);
  const pods = podsOf(objects);

  test('every container is unprivileged and cannot write', () => {
    expect(pods.length).toBeGreaterThanOrEqual(2);
    for (const { annotations, owner, spec } of pods) {
      expect(spec.hostPID ?? false).toBe(false);
      expect(spec.hostNetwork ?? false).toBe(false);
      expect(spec.hostIPC ?? false).toBe(false);
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true });
      if (name === 'kubernetes-1.16')
        expect(annotations['seccomp.security.alpha.kubernetes.io/pod']).toBe('runtime/default');
      else expect(spec.securityContext['seccompProfile']).toEqual({ type: 'RuntimeDefault' });
      for (const { securityContext, volumeMounts = [] } of spec.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          privileged: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(volumeMounts.filter(({ readOnly }) => readOnly !== true)).toEqual([]);
      }
      // Only agents mount the host's file system, and only its cgroups.
      const hostPaths = (spec.volumes ?? []).flatMap(({ hostPath }) => hostPath?.path ?? []);
      expect(hostPaths).toEqual(owner.kind === 'DaemonSet' ? ['/sys/fs/cgroup'] : []);
    }
  });

  test('every volume has a mount, and every mount a volume', () => {
    for (const { spec } of pods) {
      const mounted = spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
      expect((spec.volumes ?? []).map((volume) => volume.name).sort()).toEqual(
        mounted.map((mount) => mount.name).sort(),
      );
    }
  });

  test('the exporter accepts the variables and arguments of every container', async () => {
    for (const pod of pods) {
      const { problems } = await settingsOf(pod, objects).loaded;
      expect(problems.map(problemText)).toEqual([]);
    }
  });

  test("the roles grant exactly the permissions that the container's settings need", async () => {
    for (const pod of pods) {
      const { settings } = await settingsOf(pod, objects).loaded;
      const needed = rightsFor(settings.kubernetes).map(rightText).sort();
      expect(grantedTo(pod.spec.serviceAccountName, objects)).toEqual(name === 'minimal' ? [] : needed);
    }
  });

  test('selectors find the pods of one workload, and no selector depends on the version', () => {
    const services = objects.filter(({ kind }) => kind === 'Service');
    for (const { metadata, spec } of services) {
      const { selector } = spec as { readonly selector: Readonly<Record<string, string>> };
      const selected = pods.filter(({ labels }) => isWithin(selector, labels));
      expect(selected.map(({ owner }) => owner.metadata.name)).toEqual([metadata.name]);
    }
    for (const { kind, spec } of objects) {
      if (!/^(Deployment|DaemonSet|ServiceMonitor|PodMonitor)$/.test(kind)) continue;
      const { selector } = spec as {
        readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
      };
      const targets =
        kind === 'ServiceMonitor'
          ? services.map(({ metadata }) => metadata.labels ?? {})
          : pods.map(({ labels }) => labels);
      expect(targets.filter((labels) => isWithin(selector.matchLabels, labels))).toHaveLength(1);
      expect(Object.keys(selector.matchLabels).sort()).toEqual([
        'app.kubernetes.io/component',
        'app.kubernetes.io/instance',
        'app.kubernetes.io/name',
      ]);
    }
  });
});

test('the exporter has one replica, and never two at a time', () => {
  for (const name of chartCaseNames)
    expect(podOf(objectsOf(name), 'Deployment').owner['spec']).toMatchObject({
      replicas: 1,
      strategy: { type: 'Recreate' },
    });
});

test('agents tolerate every effect', () => {
  expect(podOf(objectsOf('defaults'), 'DaemonSet').spec.tolerations).toEqual(
    ['NoSchedule', 'PreferNoSchedule', 'NoExecute'].map((effect) => ({ operator: 'Exists', effect })),
  );
});

test('Prometheus keeps the labels of Gitaly, and the jobs are those of the alerts', () => {
  const monitors = objectsOf('operator').filter(({ kind }) => /Monitor$/.test(kind));
  expect(monitors.map(({ kind }) => kind).sort()).toEqual(['PodMonitor', 'ServiceMonitor']);
  for (const { metadata, spec } of monitors) {
    expect(metadata.labels).toMatchObject({ release: 'kube-prometheus-stack' });
    const { endpoints, podMetricsEndpoints } = spec as Readonly<
      Record<string, readonly { readonly honorLabels: boolean; readonly relabelings: readonly unknown[] }[]>
    >;
    const [endpoint] = endpoints ?? podMetricsEndpoints ?? [];
    expect(endpoint?.honorLabels).toBe(true);
    expect(endpoint?.relabelings[0]).toEqual({
      targetLabel: 'job',
      replacement: expect.stringMatching(/^gitaly-exporter(-agent)?$/),
    });
  }
  for (const { annotations } of podsOf(objectsOf('operator')))
    expect(annotations['prometheus.io/scrape']).toBeUndefined();
  for (const kind of ['Deployment', 'DaemonSet'])
    expect(podOf(objectsOf('defaults'), kind).annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': '9656',
    });
});

test("next to the GitLab chart, the name of the database's Secret is enough", async () => {
  const objects = objectsOf('gitlab-chart');
  const template = readFileSync(
    join(import.meta.dirname, '../config/praefect/fixtures/chart-template.toml'),
    'utf8',
  ).replace(/^ssl(cert|key|rootcert) = .*\n/gm, '');
  for (const kind of ['Deployment', 'Pod']) {
    const pod = podOf(objects, kind);
    expect(pod.spec.volumes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          secret: { secretName: 'gl-praefect-dbsecret', items: [{ key: 'secret', path: 'password' }] },
        }),
        expect.objectContaining({ configMap: expect.objectContaining({ name: 'gl-praefect' }) }),
      ]),
    );
    const { system, loaded } = settingsOf(pod, objects, {
      'config.toml.tpl': template.replace("'verify-ca'", "'require'"),
    });
    const { settings, origins } = await loaded;
    const resolved = await resolvePraefect(settings, origins, system);
    expect(resolved.ok && resolved.value).toMatchObject({
      database: { host: 'gl-postgresql.gitlab.svc', user: 'praefect', ssl: { mode: 'require' } },
      configuredStorages: [{ name: 'default', storages: ['gl-gitaly-default-0', 'gl-gitaly-default-1'] }],
    });
  }
});

test('the CA and the client certificate of the database are those that the exporter uses', async () => {
  const objects = objectsOf('database-tls');
  const { system, loaded } = settingsOf(podOf(objects, 'Deployment'), objects);
  const { settings, origins } = await loaded;
  const resolved = await resolvePraefect(settings, origins, system);
  expect(resolved.ok && resolved.value.database).toMatchObject({
    user: 'gitaly_exporter',
    ssl: {
      mode: 'verify-full',
      rootCert: '/etc/postgresql/ssl/server-ca.pem',
      cert: '/etc/postgresql/ssl/client-certificate.pem',
      key: '/etc/postgresql/ssl/client-key.pem',
    },
  });
});

test('without Praefect there are no database settings, and no Praefect rules and dashboards', () => {
  const text = golden('praefect-off');
  expect(text).not.toMatch(
    /PRAEFECT_(DATABASE|CONFIG)|PGSSL|dbsecret|postgres|dashboard-(praefect|replication)/,
  );
  expect(text).not.toMatch(/^ {2}name: gitaly-exporter-praefect$/m);
  expect(golden('operator')).toMatch(/^ {2}name: gitaly-exporter-praefect$/m);
});

test('without agents there is no host path, and no object for them', () => {
  expect(golden('without-agents')).not.toMatch(/hostPath|DaemonSet|component: agent|gitaly-exporter-agent/);
});

test('Kubernetes 1.16 gets only API versions that it serves', () => {
  const served = new Set(['v1', 'apps/v1', 'policy/v1beta1', 'rbac.authorization.k8s.io/v1']);
  for (const { apiVersion } of objectsOf('kubernetes-1.16')) expect(served).toContain(apiVersion);
  expect(golden('kubernetes-1.16')).not.toContain('seccompProfile');
  const budget = objectsOf('everything').find(({ kind }) => kind === 'PodDisruptionBudget');
  expect(budget?.apiVersion).toBe('policy/v1');
});

test('helm test runs doctor as the exporter of the cluster, with known checks', () => {
  const test = podOf(objectsOf('praefect'), 'Pod');
  const cluster = podOf(objectsOf('praefect'), 'Deployment');
  expect(test.owner.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'test' });
  expect(test.spec.serviceAccountName).toBe(cluster.spec.serviceAccountName);
  expect(test.spec.containers[0]?.env).toEqual(cluster.spec.containers[0]?.env);
  expect(test.spec.volumes).toEqual(cluster.spec.volumes);
  const [command, only = ''] = test.spec.containers[0]?.args ?? [];
  expect(command).toBe(doctor.name);
  const known = [...Object.values(accessChecks).map(({ id }) => id), ...checkIds];
  for (const check of only.replace('--only=', '').split(',')) expect(known).toContain(check);
  expect(only).toContain('api_pods');
});

test('each namespace with Gitaly is in the settings and has its roles', () => {
  const namespaces = chartCases.everything.values.gitalyNamespaces;
  const objects = objectsOf('everything');
  for (const kind of ['Deployment', 'DaemonSet'])
    expect(podOf(objects, kind).spec.containers[0]?.env).toContainEqual({
      name: 'GITALY_EXPORTER_KUBERNETES_NAMESPACE',
      value: namespaces.join(','),
    });
  const roles = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata.namespace);
  expect(new Set(roles)).toEqual(new Set(namespaces));
});
