import { describe, expect, test } from '@jest/globals';
import { createKubernetesWindows } from '../../../src/sources/kubernetes/maintenance.ts';
import type { Container, Node, Pod, StatefulSet } from '../../../src/sources/kubernetes/objects/types.ts';
import { createFakeStores, listMoment, moment, stepsOf } from './support.ts';

const minute = 60_000;
const maxIdle = 30 * minute;
const now = moment('00:40:00');
const until = 'gitaly-exporter/maintenance-until';

function loaded(incident = 'rotate-delete') {
  const stores = createFakeStores();
  listMoment(stores, incident, '0-before');
  const made = createKubernetesWindows(stores, maxIdle);
  const open = (at: number) => made.windows(at).filter((window) => window.open);
  const node = (change: Partial<Node>): void => {
    const found = stores.nodes.all().find(({ name }) => name === 'lab-node-2') as Node;
    stores.nodes.put({ ...found, ...change }, now);
  };
  const set = (change: Partial<StatefulSet>): void => {
    const found = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...found, ...change }, now);
  };
  return { stores, ...made, open, node, set };
}

describe('a maintenance annotation', () => {
  test.each([
    ['annotation', { annotations: { [until]: '2026-11-23T06:00:00Z' } }],
    ['annotation in another zone', { annotations: { [until]: '2026-11-23T07:00:00+01:00' } }],
    ['label, which may not contain colons', { labels: { [until]: '20261123T060000Z' } }],
  ])('on a node, as %s, opens a window until its time', (_, change) => {
    const { node, windows } = loaded();
    node(change);
    const end = moment('06:00:00');
    const name = 'annotation:Node/lab-node-2';
    const of = (at: number) => windows(at).find((window) => window.name === name);
    expect(of(now)).toEqual({ name, open: true, endsAt: end });
    expect(of(end)).toEqual({ name, open: false, endsAt: undefined });
  });

  test('on a StatefulSet has a window with its namespace', () => {
    const { set, open } = loaded();
    set({ annotations: { [until]: '2026-11-23T06:00:00Z' } });
    expect(open(now).map(({ name }) => name)).toEqual(['annotation:StatefulSet/gitlab/gl-gitaly-default']);
  });

  test.each([
    ['tomorrow', 'is not a time with its zone'],
    ['2026-11-23T06:00:00', 'is not a time with its zone'],
    ['2026-02-30T06:00:00Z', 'is not a time with its zone'],
    ['', 'is not a time with its zone'],
    ['2062-11-23T06:00:00Z', 'is more than 7 days in the future'],
  ])('with the value %j opens no window and is reported as a mistake', (value, why) => {
    const { node, windows, mistakes } = loaded();
    node({ annotations: { [until]: value } });
    expect(windows(now).filter(({ name }) => name.startsWith('annotation:'))).toEqual([]);
    expect(mistakes(now)).toEqual([
      {
        key: 'maintenance Node lab-node-2',
        title: `${until} of Node lab-node-2 is invalid, so that it suppresses no alerts`,
        detail: expect.stringContaining(why),
        action: expect.stringContaining(`kubectl annotate node/lab-node-2 ${until}-`),
      },
    ]);
  });
});

describe('a rollout of a StatefulSet', () => {
  const name = 'rollout:gitlab/gl-gitaly-default';

  test('as recorded has an open window from the change of the template until all pods are Ready', () => {
    const { stores, windows } = loaded('rollout');
    const seen: string[] = [];
    for (const step of stepsOf('rollout')) {
      step.apply(stores);
      const state = windows(step.at).find((window) => window.name === name)?.open ? 'open' : 'shut';
      if (!seen.at(-1)?.startsWith(state))
        seen.push(`${state} ${new Date(step.at).toISOString().slice(11, 19)}`);
    }
    expect(seen).toEqual(['open 00:27:36', 'shut 00:28:08']);
  });

  test.each(['rotate-delete', 'evict-blocked', 'drain', 'evicted', 'node-notready', 'oom-crashloop'])(
    'is not detected in incident %s',
    (incident) => {
      const { stores, open } = loaded(incident);
      for (const step of stepsOf(incident)) {
        step.apply(stores);
        expect(open(step.at)).toEqual([]);
      }
    },
  );

  const started = { updateRevision: 'gl-gitaly-default-new', updatedReplicas: 1, readyReplicas: 2 };

  test('without progress loses its window, and is reported as a mistake', () => {
    const { set, windows, open, mistakes } = loaded();
    windows(now - 1);
    set(started);
    expect(open(now)).toEqual([{ name, open: true, endsAt: now + maxIdle }]);
    expect(open(now + maxIdle - 1)).toHaveLength(1);
    expect(mistakes(now + maxIdle - 1)).toEqual([]);
    expect(open(now + maxIdle)).toEqual([]);
    expect(mistakes(now + maxIdle)).toMatchObject([
      {
        title: 'The rollout of StatefulSet gitlab/gl-gitaly-default makes no progress',
        detail: expect.stringContaining('1 of 3 pods have the new template'),
      },
    ]);
  });

  function oldPod(stores: ReturnType<typeof createFakeStores>): Pod {
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    if (pod === undefined) throw new Error('the recording has changed');
    return pod;
  }

  /** A pod of the new template, created 20 minutes after the start. */
  function newPod(stores: ReturnType<typeof createFakeStores>, change: Partial<Pod>): void {
    const pod = oldPod(stores);
    const created = now + 20 * minute;
    const replacement = {
      ...{ ...pod, uid: 'new', createdAt: created, conditions: {}, containers: [] },
      labels: { ...pod.labels, 'controller-revision-hash': 'gl-gitaly-default-new' },
      ...change,
    };
    stores.pods.put(replacement, created);
  }
  const container = (pod: Pod, change: Partial<Container>): readonly Container[] =>
    pod.containers.map((each) => ({ ...each, restartCount: 0, ...change }));

  test.each<[string, number, (pod: Pod) => Partial<Pod>]>([
    ['is created', 20, () => ({})],
    [
      'is scheduled',
      22,
      () => ({ conditions: { PodScheduled: { status: 'True', reason: '', since: now + 22 * minute } } }),
    ],
    [
      'starts',
      24,
      (pod) => ({
        containers: container(pod, { state: { kind: 'running', startedAt: now + 24 * minute } }),
      }),
    ],
    [
      'becomes Ready',
      26,
      () => ({ conditions: { Ready: { status: 'True', reason: '', since: now + 26 * minute } } }),
    ],
    [
      'was Ready and is not any more, by the time it was created',
      20,
      () => ({ conditions: { Ready: { status: 'False', reason: '', since: now + 26 * minute } } }),
    ],
    [
      'restarts its container, by the time it was created',
      20,
      (pod) => ({
        containers: container(pod, {
          restartCount: 1,
          state: { kind: 'running', startedAt: now + 29 * minute },
        }),
      }),
    ],
  ])('keeps its window open when a new pod %s', (_, minutes, change) => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    set(started);
    open(now);
    newPod(stores, change(oldPod(stores)));
    expect(open(now + 29.5 * minute)).toMatchObject([{ endsAt: now + minutes * minute + maxIdle }]);
    expect(open(now + minutes * minute + maxIdle)).toEqual([]);
  });

  test('keeps its window open when an old pod is deleted', () => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    set(started);
    open(now);
    stores.pods.put(
      { ...oldPod(stores), deletion: { requestedAt: now + 25 * minute, graceSeconds: 7200 } },
      now,
    );
    expect(open(now + 26 * minute)).toMatchObject([{ endsAt: now + 25 * minute + maxIdle }]);
  });

  test.each(['ImagePullBackOff', 'CrashLoopBackOff', 'CreateContainerConfigError'])(
    'whose new pod waits with %s has no window any more, and is reported with the pod',
    (reason) => {
      const { stores, set, windows, open, mistakes } = loaded();
      windows(now - 1);
      set(started);
      open(now);
      newPod(stores, { containers: container(oldPod(stores), { state: { kind: 'waiting', reason } }) });
      const at = now + 20 * minute + 1;
      expect(open(at)).toEqual([]);
      expect(mistakes(at)).toMatchObject([
        { detail: expect.stringContaining(`gl-gitaly-default-2 cannot start (${reason}`) },
      ]);
    },
  );

  test('whose new pod waits for its image has an open window', () => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    set(started);
    open(now);
    newPod(stores, {
      containers: container(oldPod(stores), { state: { kind: 'waiting', reason: 'ContainerCreating' } }),
    });
    expect(open(now + 20 * minute + 1)).toHaveLength(1);
  });

  test('back to an old template starts when it is seen, regardless of the age of the pods with that template', () => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    const revision = pod?.labels['controller-revision-hash'] ?? '';
    set({ currentRevision: 'gl-gitaly-default-bad', updateRevision: revision, updatedReplicas: 2 });
    expect(open(now)).toMatchObject([{ endsAt: now + maxIdle }]);
  });

  test('that started before the exporter counts from its last step', () => {
    const { stores, set } = loaded();
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    const revision = pod?.labels['controller-revision-hash'] ?? '';
    set({ currentRevision: 'older', updateRevision: revision, updatedReplicas: 2 });
    // The newest pod with that template was created at 00:26:22, and Ready at 00:26:31.
    const expired = createKubernetesWindows(stores, maxIdle);
    expect(expired.windows(moment('00:56:31')).filter(({ open }) => open)).toEqual([]);
    const current = createKubernetesWindows(stores, maxIdle);
    expect(current.windows(moment('00:50:00')).filter(({ open }) => open)).toHaveLength(1);
  });

  test.each([
    ['measured', 5],
    ['measured', -5],
    ['unknown', 5],
  ])(
    'of an API server whose clock is off by a difference that is %s (%i h) ends when it makes no progress',
    (kind, hours) => {
      const { stores, set, windows, open } = loaded();
      const skewMs = hours * 60 * minute;
      if (kind === 'measured') Object.assign(stores, { clockSkewMs: () => skewMs });
      windows(now - 1);
      const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
      if (pod === undefined) throw new Error('the recording has changed');
      const revision = pod.labels['controller-revision-hash'] ?? '';
      set({ currentRevision: 'older', updateRevision: revision, updatedReplicas: 2 });
      stores.pods.list([{ ...pod, createdAt: now + skewMs }]);
      expect(open(now)).toMatchObject([{ endsAt: now + maxIdle }]);
      expect(open(now + maxIdle)).toEqual([]);
    },
  );

  test.each<[string, Partial<StatefulSet>, boolean]>([
    ['with a change that the controller has not seen', { generation: 9 }, true],
    ['with OnDelete, which replaces no pods itself', { ...started, updateStrategy: 'OnDelete' }, false],
    ['with a partition and no pod left to update', { ...started, partition: 2 }, false],
    ['with a partition and a pod left to update', { ...started, partition: 1 }, true],
    ['with the last pod not Ready yet', { ...started, updatedReplicas: 3 }, true],
    ['of a set without pods', { ...started, replicas: 0 }, false],
  ])('%s is detected correctly', (_, change, isOpen) => {
    const { set, open } = loaded();
    set(change);
    expect(open(now).map((window) => window.name)).toEqual(isOpen ? [name] : []);
  });

  test('opens no window with a maximum of 0', () => {
    const { stores, set } = loaded();
    set(started);
    const none = createKubernetesWindows(stores, 0);
    expect(none.windows(now).filter(({ open }) => open)).toEqual([]);
    expect(none.mistakes(now)).toEqual([]);
  });
});

test('data that is not current opens no window, so that it suppresses no alert', () => {
  const { stores, node, set, open, windows, mistakes } = loaded();
  node({ annotations: { [until]: '2026-11-23T06:00:00Z' } });
  set({ updateRevision: 'new', updatedReplicas: 1, annotations: { [until]: 'never' } });
  expect([open(now).length, mistakes(now).length]).toEqual([2, 1]);
  stores.nodes.setCurrent(false);
  stores.statefulSets.setCurrent(false);
  expect([windows(now), mistakes(now)]).toEqual([[], []]);
});
