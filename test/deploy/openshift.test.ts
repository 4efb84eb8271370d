/**
 * Whether OpenShift admits the chart's pods: the checks of its admission against a SecurityContextConstraints, for the
 * default restricted-v2 and for the one that the chart creates for agents.
 * https://github.com/openshift/cluster-kube-apiserver-operator/tree/master/bindata/bootkube/scc-manifests
 */
import { expect, test } from '@jest/globals';
import { type ChartCaseName, chartCaseNames } from './cases.ts';
import { golden, type Manifest, manifests } from './chart.ts';
import { type Pod, podsOf } from './pods.ts';

/** The fields that the chart's pods can conflict with. Users and groups are those that OpenShift assigns to the namespace. */
interface Constraints {
  readonly allowHostDirVolumePlugin: boolean;
  readonly allowPrivilegedContainer: boolean;
  readonly allowPrivilegeEscalation: boolean;
  readonly requiredDropCapabilities: readonly string[];
  readonly seccompProfiles: readonly string[];
  readonly volumes: readonly string[];
}

const restrictedV2: Constraints = {
  allowHostDirVolumePlugin: false,
  allowPrivilegedContainer: false,
  allowPrivilegeEscalation: false,
  requiredDropCapabilities: ['ALL'],
  seccompProfiles: ['runtime/default'],
  volumes: [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'image',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ],
};

interface ContainerContext {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly runAsUser?: number;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
}

/** What the admission would reject. */
function violations({ spec }: Pod, constraints: Constraints): readonly string[] {
  const found: string[] = [];
  const { seccompProfile, ...context } = spec.securityContext as {
    readonly seccompProfile?: { readonly type: string };
  } & Readonly<Record<string, unknown>>;
  for (const field of ['runAsUser', 'runAsGroup', 'fsGroup', 'supplementalGroups', 'seLinuxOptions'])
    if (field in context) found.push(`${field} is set`);
  const profile = seccompProfile?.type === 'RuntimeDefault' ? 'runtime/default' : seccompProfile?.type;
  if (profile !== undefined && !constraints.seccompProfiles.includes(profile))
    found.push(`seccomp ${profile}`);
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC'] as const)
    if (spec[field] === true) found.push(field);
  for (const { name, ...source } of spec.volumes ?? []) {
    const [kind = ''] = Object.keys(source);
    if (!constraints.volumes.includes(kind)) found.push(`volume ${name} of kind ${kind}`);
    if (kind === 'hostPath' && !constraints.allowHostDirVolumePlugin) found.push(`host path ${name}`);
  }
  for (const { securityContext } of spec.containers) {
    const { allowPrivilegeEscalation, capabilities, privileged, runAsUser } =
      securityContext as ContainerContext;
    if (privileged === true && !constraints.allowPrivilegedContainer) found.push('privileged');
    if (allowPrivilegeEscalation !== false && !constraints.allowPrivilegeEscalation) found.push('escalation');
    if (runAsUser !== undefined) found.push('runAsUser of a container is set');
    const missing = constraints.requiredDropCapabilities.filter(
      (name) => !capabilities?.drop?.includes(name),
    );
    if (missing.length > 0) found.push(`keeps ${missing}`);
    if ((capabilities?.add ?? []).length > 0) found.push(`adds ${capabilities?.add}`);
  }
  return found;
}

const podsOfCase = (name: ChartCaseName): readonly Pod[] => podsOf(manifests(golden(name)));
const isAgent = ({ owner }: Pod): boolean => owner.kind === 'DaemonSet';

test('restricted-v2 admits all pods on OpenShift but agents, which mount a folder of the host', () => {
  for (const pod of podsOfCase('openshift'))
    expect(violations(pod, restrictedV2)).toEqual(
      isAgent(pod) ? ['volume cgroup of kind hostPath', 'host path cgroup'] : [],
    );
});

test('the SCC of the chart admits the agents, and grants no more than restricted-v2 and that mount', () => {
  const objects = manifests(golden('openshift'));
  const scc = objects.find(({ kind }) => kind === 'SecurityContextConstraints') as Manifest & Constraints;
  const agent = podsOf(objects).find(isAgent);
  expect(violations(agent!, scc)).toEqual([]);
  expect(scc['users']).toEqual([
    `system:serviceaccount:${agent!.owner.metadata.namespace}:${agent!.spec.serviceAccountName}`,
  ]);
  expect({ ...scc, allowHostDirVolumePlugin: false }).toMatchObject({
    ...restrictedV2,
    volumes: scc.volumes,
  });
  expect(scc.volumes.filter((kind) => !restrictedV2.volumes.includes(kind))).toEqual(['hostPath']);
  for (const field of ['allowHostIPC', 'allowHostNetwork', 'allowHostPID', 'allowHostPorts'])
    expect(scc[field]).toBe(false);
});

test('without openshift.enabled, restricted-v2 rejects the fixed user and group, and nothing else of the cluster pods', () => {
  for (const name of chartCaseNames.filter((each) => each !== 'openshift'))
    for (const pod of podsOfCase(name).filter((each) => !isAgent(each)))
      expect(violations(pod, restrictedV2)).toEqual(['runAsUser is set', 'runAsGroup is set']);
});
