/** Planned work that Kubernetes tells of. */
import { describe, expect, test } from '@jest/globals';
import { createKubernetesWindows } from '../../../../src/sources/kubernetes/maintenance/windows.ts';
import type { Node, StatefulSet } from '../../../../src/sources/kubernetes/objects/types.ts';
import { createFakeStores, listMoment, moment, stepsOf } from '../support.ts';

const minute = 60_000;
const hold = 30 * minute;
const now = moment('00:40:00');
const until = 'gitaly-exporter/maintenance-until';

function loaded(incident = 'rotate-delete') {
  const stores = createFakeStores();
  listMoment(stores, incident, '0-before');
  const made = createKubernetesWindows(stores, hold);
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

describe('an annotation', () => {
  test.each([
    ['annotation', { annotations: { [until]: '2026-11-23T06:00:00Z' } }],
    ['annotation in another zone', { annotations: { [until]: '2026-11-23T07:00:00+01:00' } }],
    ['label, in which no colon may stand', { labels: { [until]: '20261123T060000Z' } }],
  ])('on a node, as %s, holds until its time', (_, change) => {
    const { node, windows } = loaded();
    node(change);
    const end = moment('06:00:00');
    const name = 'annotation:Node/lab-node-2';
    const of = (at: number) => windows(at).find((window) => window.name === name);
    expect(of(now)).toEqual({ name, open: true, endsAt: end });
    expect(of(end)).toEqual({ name, open: false, endsAt: undefined });
  });

  test('on a StatefulSet names its namespace', () => {
    const { set, open } = loaded();
    set({ annotations: { [until]: '2026-11-23T06:00:00Z' } });
    expect(open(now).map(({ name }) => name)).toEqual(['annotation:StatefulSet/gitlab/gl-gitaly-default']);
  });

  test.each([
    ['tomorrow', 'it is no time with its zone'],
    ['2026-11-23T06:00:00', 'it is no time with its zone'],
    ['2026-02-30T06:00:00Z', 'it is no time with its zone'],
    ['', 'it is no time with its zone'],
    ['2062-11-23T06:00:00Z', 'it is more than 7 days off'],
  ])('that says %j holds nothing and is a visible problem', (value, why) => {
    const { node, windows, mistakes } = loaded();
    node({ annotations: { [until]: value } });
    expect(windows(now).filter(({ name }) => name.startsWith('annotation:'))).toEqual([]);
    expect(mistakes(now)).toEqual([
      {
        key: 'maintenance Node lab-node-2',
        title: `${until} of Node lab-node-2 is not understood, so no alert is held`,
        detail: expect.stringContaining(why),
        action: expect.stringContaining(`kubectl annotate node/lab-node-2 ${until}-`),
      },
    ]);
  });
});

describe('a roll-out', () => {
  const name = 'rollout:gitlab/gl-gitaly-default';

  test('as recorded is open from the change of the template until all pods are Ready', () => {
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
    'is not what %s is',
    (incident) => {
      const { stores, open } = loaded(incident);
      for (const step of stepsOf(incident)) {
        step.apply(stores);
        expect(open(step.at)).toEqual([]);
      }
    },
  );

  const begun = { updateRevision: 'gl-gitaly-default-new', updatedReplicas: 1, readyReplicas: 2 };

  test('that stands still holds no longer, and is a visible problem', () => {
    const { set, windows, open, mistakes } = loaded();
    windows(now - 1);
    set(begun);
    expect(open(now)).toEqual([{ name, open: true, endsAt: now + hold }]);
    expect(open(now + hold - 1)).toHaveLength(1);
    expect(mistakes(now + hold - 1)).toEqual([]);
    expect(open(now + hold)).toEqual([]);
    expect(mistakes(now + hold)).toMatchObject([
      {
        title: 'The roll-out of StatefulSet gitlab/gl-gitaly-default stands still',
        detail: expect.stringContaining('1 of 3 pods are of the new template'),
      },
    ]);
  });

  test('holds on with each pod that it renews', () => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    set(begun);
    open(now);
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    if (pod === undefined) throw new Error('the recording has changed');
    const renewed = {
      ...{ ...pod, uid: 'new', createdAt: now + 20 * minute },
      labels: { ...pod.labels, 'controller-revision-hash': 'gl-gitaly-default-new' },
    };
    stores.pods.put(renewed, now + 20 * minute);
    expect(open(now + 45 * minute)).toMatchObject([{ endsAt: now + 20 * minute + hold }]);
    expect(open(now + 50 * minute)).toEqual([]);
  });

  test('that goes back to an old template begins when it is seen, however old the pods of that are', () => {
    const { stores, set, windows, open } = loaded();
    windows(now - 1);
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    const revision = pod?.labels['controller-revision-hash'] ?? '';
    set({ currentRevision: 'gl-gitaly-default-bad', updateRevision: revision, updatedReplicas: 2 });
    expect(open(now)).toMatchObject([{ endsAt: now + hold }]);
  });

  test('that was under way before the exporter came is judged by its last renewal', () => {
    const { stores, set } = loaded();
    const [pod] = stores.pods.all().filter(({ name: pod }) => pod === 'gl-gitaly-default-2');
    const revision = pod?.labels['controller-revision-hash'] ?? '';
    set({ currentRevision: 'older', updateRevision: revision, updatedReplicas: 2 });
    // The newest pod of that template is from 00:26:22.
    const later = createKubernetesWindows(stores, hold);
    expect(later.windows(moment('00:56:30')).filter(({ open }) => open)).toEqual([]);
    const sooner = createKubernetesWindows(stores, hold);
    expect(sooner.windows(moment('00:50:00')).filter(({ open }) => open)).toHaveLength(1);
  });

  test.each<[string, Partial<StatefulSet>, boolean]>([
    ['a change that the controller has not seen', { generation: 9 }, true],
    ['one of OnDelete, which waits for somebody', { ...begun, updateStrategy: 'OnDelete' }, false],
    ['one below whose partition nothing is left to do', { ...begun, partition: 2 }, false],
    ['one with a partition and something left to do', { ...begun, partition: 1 }, true],
    ['one whose last pod is not Ready yet', { ...begun, updatedReplicas: 3 }, true],
    ['one of a set without pods', { ...begun, replicas: 0 }, false],
  ])('%s', (_, change, isOpen) => {
    const { set, open } = loaded();
    set(change);
    expect(open(now).map((window) => window.name)).toEqual(isOpen ? [name] : []);
  });

  test('holds nothing where it is not to', () => {
    const { stores, set } = loaded();
    set(begun);
    const none = createKubernetesWindows(stores, 0);
    expect(none.windows(now).filter(({ open }) => open)).toEqual([]);
    expect(none.mistakes(now)).toEqual([]);
  });
});

test('what is not current is no window, so that it holds no alert', () => {
  const { stores, node, set, open, windows, mistakes } = loaded();
  node({ annotations: { [until]: '2026-11-23T06:00:00Z' } });
  set({ updateRevision: 'new', updatedReplicas: 1, annotations: { [until]: 'never' } });
  expect([open(now).length, mistakes(now).length]).toEqual([2, 1]);
  stores.nodes.setCurrent(false);
  stores.statefulSets.setCurrent(false);
  expect([windows(now), mistakes(now)]).toEqual([[], []]);
});
