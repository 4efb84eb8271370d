import { describe, expect, test } from '@jest/globals';
import type { Parsed } from '../../../../src/sources/kubernetes/objects/fields.ts';
import {
  configMapOf,
  disruptionBudgetOf,
  eventOf,
  nodeOf,
  statefulSetOf,
} from '../../../../src/sources/kubernetes/objects/kinds.ts';
import { podOf } from '../../../../src/sources/kubernetes/objects/pod.ts';
import type { Meta } from '../../../../src/sources/kubernetes/objects/types.ts';
import { archive, archiveNames } from '../../../support/kubernetes-archive.ts';

const parsers: Readonly<Record<string, (raw: unknown) => Parsed<Meta>>> = {
  pods: podOf,
  statefulsets: statefulSetOf,
  poddisruptionbudgets: disruptionBudgetOf,
  nodes: nodeOf,
  events: eventOf,
  configmaps: configMapOf,
};

/** The object; the test fails with the reason when it was rejected. */
function object<T>(outcome: Parsed<T>): T {
  if (!outcome.ok) throw new Error(outcome.why);
  return outcome.object;
}

const named = (items: readonly unknown[], name: string): unknown =>
  items.find((item) => (item as { metadata: { name: string } }).metadata.name === name);

const good = archive('posture-good');
const defaults = archive('posture-chart-defaults');
const gitaly0 = () => object(podOf(named(good.items('at-rest/pods.json'), 'gl-gitaly-default-0')));

describe.each(archiveNames.filter((name) => name !== 'watch-protocol'))('%s', (name) => {
  const { paths, items, watch } = archive(name);

  test('every object of every moment is parsed', () => {
    for (const path of paths) {
      const parse = parsers[/([a-z]+)\.json$/.exec(path)?.[1] ?? ''];
      if (parse !== undefined) for (const raw of items(path)) expect(parse(raw)).toMatchObject({ ok: true });
    }
  });

  test('every object of the watch is parsed, and bookmarks are rejected', () => {
    for (const [resource, parse] of Object.entries(parsers))
      for (const line of watch(resource)) {
        const event = JSON.parse(line) as { type: string; object: unknown };
        expect(parse(event.object).ok).toBe(event.type !== 'BOOKMARK');
      }
  });
});

test('a trimmed pod has a quarter of its bytes, a trimmed StatefulSet a tenth', () => {
  const share = (path: string, parse: (raw: unknown) => Parsed<Meta>): number => {
    const items = good.items(path);
    return JSON.stringify(items.map((raw) => object(parse(raw)))).length / JSON.stringify(items).length;
  };
  expect(share('at-rest/pods.json', podOf)).toBeLessThan(0.27);
  expect(share('at-rest/statefulsets.json', statefulSetOf)).toBeLessThan(0.1);
});

interface RawPod {
  readonly spec: { readonly securityContext?: unknown; readonly containers: readonly object[] };
}

describe('a Gitaly pod', () => {
  test('has its node, owner, labels and conditions', () => {
    expect(gitaly0()).toMatchObject({
      kind: 'Pod',
      namespace: 'gitlab',
      name: 'gl-gitaly-default-0',
      uid: '21c2d48e-32b5-4e87-b5a8-fda2fba5386d',
      createdAt: Date.parse('2026-11-23T00:35:07Z'),
      deletion: undefined,
      owner: { kind: 'StatefulSet', name: 'gl-gitaly-default' },
      labels: { app: 'gitaly', release: 'gl', storage: 'default' },
      annotations: {
        'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
        'gitlab.com/prometheus_port': '9236',
        'prometheus.io/scrape': 'true',
      },
      node: 'lab-node-4',
      phase: 'Running',
      reason: '',
      qosClass: 'Guaranteed',
      priorityClass: 'gitlab-gitaly',
      fsGroupChangePolicy: 'OnRootMismatch',
      fsGroup: 1000,
      runAsUser: 1000,
      preemptionPolicy: 'PreemptLowerPriority',
      terminationGracePeriodSeconds: 6,
      antiAffinity: { required: ['kubernetes.io/hostname'], preferred: [] },
      claims: ['repo-data-gl-gitaly-default-0'],
      configMaps: ['gl-gitaly-praefect'],
      conditions: { Ready: { status: 'True' }, PodScheduled: { status: 'True' } },
    });
  });

  test('has its containers with resources in bytes and cores, probes, ports and state', () => {
    expect(gitaly0().containers).toMatchObject([
      {
        name: 'gitaly',
        image: 'registry.gitlab.com/gitlab-org/build/cng/gitaly:v18.10.0',
        resources: {
          memoryRequest: 10 * 2 ** 30,
          memoryLimit: 10 * 2 ** 30,
          cpuRequest: 4,
          cpuLimit: 4,
        },
        env: { GOMEMLIMIT: '2040109465' },
        ports: { 'grpc-gitaly': 8075, 'http-metrics': 9236 },
        startupProbe: { initialDelaySeconds: 1, periodSeconds: 1 },
        readinessProbe: { initialDelaySeconds: 0, periodSeconds: 5 },
        started: true,
        restartCount: 0,
        state: { kind: 'running' },
        lastTermination: undefined,
      },
    ]);
    expect(gitaly0().initContainers.map(({ name, state, sidecar }) => [name, state.kind, sidecar])).toEqual([
      ['init-cgroups', 'terminated', false],
      ['certificates', 'terminated', false],
      ['configure', 'terminated', false],
    ]);
    expect(gitaly0().initContainers[0]).toMatchObject({
      resources: { cpuRequest: 0.05, memoryRequest: 64 * 2 ** 20 },
      state: { kind: 'terminated', reason: 'Completed', exitCode: 0 },
    });
  });

  test('has the resources that its kubelet applied, not those that a resize in place is to reach', () => {
    const raw = structuredClone(named(good.items('at-rest/pods.json'), 'gl-gitaly-default-0')) as {
      spec: { resources?: unknown; containers: { resources: unknown }[] };
      status: { resources?: unknown; containerStatuses: { resources?: unknown }[] };
    };
    const of = (memory: string) => ({ requests: { cpu: '4', memory }, limits: { cpu: '4', memory } });
    for (const container of raw.spec.containers) container.resources = of('64Gi');
    for (const status of raw.status.containerStatuses) status.resources = of('10Gi');
    raw.spec.resources = of('70Gi');
    raw.status.resources = of('12Gi');
    const pod = object(podOf(raw));
    expect(pod.containers[0]?.resources).toMatchObject({
      memoryRequest: 10 * 2 ** 30,
      memoryLimit: 10 * 2 ** 30,
    });
    expect(pod.resources).toMatchObject({ memoryRequest: 12 * 2 ** 30, memoryLimit: 12 * 2 ** 30 });
  });

  test("with the chart's defaults has preferred anti-affinity, no limits and no PriorityClass", () => {
    const pod = object(podOf(named(defaults.items('at-rest/pods.json'), 'gl-gitaly-default-0')));
    expect(pod).toMatchObject({
      qosClass: 'Burstable',
      priorityClass: '',
      fsGroupChangePolicy: '',
      antiAffinity: { required: [], preferred: ['kubernetes.io/hostname'] },
    });
    expect(pod.containers[0]?.resources).toEqual({ cpuRequest: 0.1, memoryRequest: 200 * 2 ** 20 });
  });

  test("has its user namespace and its containers' users where they are set, otherwise undefined", () => {
    const raw = named(defaults.items('at-rest/pods.json'), 'gl-gitaly-default-0') as RawPod;
    const { securityContext: _, ...spec } = raw.spec;
    const changed = {
      ...raw,
      spec: {
        ...spec,
        hostUsers: false,
        containers: raw.spec.containers.map((each) => ({ ...each, securityContext: { runAsUser: 1001 } })),
      },
    };
    const pod = object(podOf(changed));
    expect([pod.hostUsers, pod.containers[0]?.runAsUser, pod.fsGroup]).toEqual([false, 1001, undefined]);
    expect(object(podOf(raw)).hostUsers).toBeUndefined();
  });

  test('has the time at which its deletion was requested', () => {
    const deleted = archive('rotate-delete')
      .watch('pods')
      .map((line) => object(podOf((JSON.parse(line) as { object: unknown }).object)))
      .find(({ deletion }) => deletion !== undefined);
    expect(deleted?.deletion?.graceSeconds).toBe(6);
    const raw =
      archive('rotate-delete')
        .watch('pods')
        .join('\n')
        .match(/"deletionTimestamp":"([^"]+)"/)?.[1] ?? '';
    expect(deleted?.deletion?.requestedAt).toBe(Date.parse(raw) - 6000);
  });

  test('has the last termination of an OOM-killed container', () => {
    const pods = archive('oom-container').watch('pods');
    const last = object(podOf((JSON.parse(pods.at(-1) ?? '') as { object: unknown }).object));
    expect(last.containers[0]).toMatchObject({
      restartCount: 1,
      state: { kind: 'running' },
      lastTermination: { reason: 'OOMKilled', exitCode: 137 },
    });
  });

  test('that was evicted has the reason', () => {
    const failed = archive('evicted')
      .watch('pods')
      .map((line) => object(podOf((JSON.parse(line) as { object: unknown }).object)))
      .find(({ phase }) => phase === 'Failed');
    expect(failed).toMatchObject({ reason: 'Evicted', name: 'gl-gitaly-default-0' });
  });
});

describe('fields are read from', () => {
  test('a StatefulSet', () => {
    expect(
      object(statefulSetOf(named(good.items('at-rest/statefulsets.json'), 'gl-gitaly-default'))),
    ).toMatchObject({
      generation: 5,
      observedGeneration: 5,
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      updateStrategy: 'RollingUpdate',
      partition: 0,
      currentRevision: 'gl-gitaly-default-cd979d8b5',
      selector: { app: 'gitaly', release: 'gl', storage: 'default' },
      annotations: {},
    });
  });

  test('a PodDisruptionBudget', () => {
    expect(
      object(disruptionBudgetOf(named(good.items('at-rest/poddisruptionbudgets.json'), 'gl-gitaly-default'))),
    ).toMatchObject({
      disruptionsAllowed: 1,
      currentHealthy: 3,
      desiredHealthy: 2,
      expectedPods: 3,
      maxUnavailable: '1',
      minAvailable: '',
      selector: { app: 'gitaly', release: 'gl', storage: 'default' },
    });
  });

  test('a node, and a lost node', () => {
    const node = object(nodeOf(named(good.items('at-rest/nodes.json'), 'lab-node-1')));
    expect(node).toMatchObject({
      namespace: '',
      unschedulable: false,
      kubeletVersion: 'v1.35.4',
      runtimeVersion: 'containerd://2.1.5',
      kernelVersion: '6.12.57-lab',
      conditions: { Ready: { status: 'True' } },
      taints: [],
      labels: { 'kubernetes.io/hostname': 'lab-node-1', 'topology.kubernetes.io/zone': 'lab-a' },
    });
    expect(Object.keys(node.labels)).not.toContain('beta.kubernetes.io/arch');

    const lost = archive('node-notready')
      .items('1-unknown/nodes.json')
      .map((raw) => object(nodeOf(raw)))
      .filter(({ conditions }) => conditions['Ready']?.status === 'Unknown');
    expect(lost).toHaveLength(1);
    expect(lost[0]?.taints.map(({ key, effect }) => `${key}:${effect}`)).toContain(
      'node.kubernetes.io/unreachable:NoExecute',
    );
  });

  test('events of the scheduler (with eventTime only) and of nodes', () => {
    const events = archive('drain')
      .watch('events')
      .map((line) => object(eventOf((JSON.parse(line) as { object: unknown }).object)));
    const scheduled = events.find(({ reason }) => reason === 'Scheduled');
    expect(scheduled).toMatchObject({
      count: 1,
      about: { kind: 'Pod', namespace: 'gitlab' },
    });
    expect(scheduled?.firstAt).toEqual(expect.any(Number));
    expect(scheduled?.lastAt).toBe(scheduled?.firstAt);
    const oom = archive('node-system-oom')
      .watch('events')
      .map((line) => object(eventOf((JSON.parse(line) as { object: unknown }).object)));
    expect(oom.map(({ reason, about }) => [reason, about.kind])).toEqual([
      ['SystemOOM', 'Node'],
      ['OOMKilling', 'Node'],
    ]);
  });

  test('a ConfigMap: the configuration only', () => {
    const map = object(configMapOf(named(good.items('at-rest/configmaps.json'), 'gl-gitaly-praefect')));
    expect(Object.keys(map.data)).toEqual(['config.toml.tpl']);
    expect(map.data['config.toml.tpl']).toMatch(/listen_addr/);
    expect(map.annotations).toEqual({});
  });
});
