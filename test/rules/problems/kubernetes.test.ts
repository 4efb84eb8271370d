/** Rules that no recording reaches: what never changes, what is missing, and planned work. */
import { describe, expect, test } from '@jest/globals';
import { type Samples, samplesOf } from '../../../src/metrics/samples.ts';
import { kubernetesProblems, longRotationSeconds } from '../../../src/rules/problems/kubernetes.ts';
import { readingOf } from '../../../src/rules/problems/reading.ts';
import * as metrics from '../../../src/sources/kubernetes/metrics.ts';
import type { OngoingRotation } from '../../../src/sources/kubernetes/rotation/rotation.ts';
import type { KubernetesView } from '../../../src/sources/kubernetes/view.ts';

const now = 1_800_000_000;
const nothing: KubernetesView = {
  notCurrent: [],
  pods: [],
  unready: [],
  ongoing: [],
  nodes: [],
  disruptionBudgets: [],
};
const identity = { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'n1' };

const rotation = (change: Partial<OngoingRotation> = {}): OngoingRotation => ({
  ...identity,
  ...{ statefulSet: 'gl-gitaly', startedAt: (now - 10) * 1000, phase: 'volume', cause: 'deleted' },
  ...{ missing: false, isNew: false },
  ...change,
});

interface Setup {
  readonly view?: Partial<KubernetesView>;
  readonly families?: readonly Pick<Samples<typeof metrics.podReady>, 'family'>[];
  readonly open?: readonly string[];
}

const problems = ({ view = {}, families = [], open = [] }: Setup) =>
  kubernetesProblems({
    reading: readingOf([{ families: families.map((each) => each.family()) }]),
    view: { ...nothing, ...view },
    maintenance: {
      open: open.map((name) => ({ name, open: true, endsAt: now * 1000 })),
      mistakes: [],
    },
    now,
  });

const unready = (since: number, change: Partial<KubernetesView['unready'][number]> = {}) => ({
  ...{ identity, since: since * 1000, ended: undefined, warning: undefined },
  ...change,
});

test('where all is well nothing is wrong', () => {
  expect(problems({})).toEqual([]);
});

describe('a pod', () => {
  test('that is being rotated warns, and is critical when it takes long', () => {
    const at = (seconds: number) =>
      problems({
        view: {
          unready: [unready(now - seconds)],
          ongoing: [rotation({ startedAt: (now - seconds) * 1000 })],
        },
      }).map(({ severity, title, since }) => [severity, title, since]);
    const title = 'gitlab/gl-gitaly-0 is being rotated';
    expect(at(longRotationSeconds)).toEqual([['warning', title, now - longRotationSeconds]]);
    expect(at(longRotationSeconds + 1)).toEqual([['critical', title, now - longRotationSeconds - 1]]);
  });

  test('that is not Ready for no known reason is critical at once, with the newest warning about it', () => {
    expect(
      problems({ view: { unready: [unready(now - 1, { warning: 'Unhealthy: Readiness probe failed.' })] } }),
    ).toEqual([
      {
        key: 'pod gitlab/gl-gitaly-0',
        severity: 'critical',
        title: 'gitlab/gl-gitaly-0 is not Ready',
        detail: 'Unhealthy: Readiness probe failed.',
        action: 'See what it waits for: kubectl -n gitlab describe pod gl-gitaly-0',
        since: now - 1,
      },
    ]);
  });

  test('that is not there at all says where to look', () => {
    const gone = rotation({ missing: true, node: '', phase: 'scheduling' });
    expect(problems({ view: { ongoing: [gone] } })).toMatchObject([
      {
        severity: 'warning',
        title: 'gitlab/gl-gitaly-0 is not there',
        action: 'See why it is not made: kubectl -n gitlab describe statefulset gl-gitaly',
      },
    ]);
  });

  test('that is being deleted and still Ready is told of only when that takes long', () => {
    const ongoing = (seconds: number) => [
      rotation({ phase: 'terminating', startedAt: (now - seconds) * 1000 }),
    ];
    expect(problems({ view: { ongoing: ongoing(20) } })).toEqual([]);
    expect(problems({ view: { ongoing: ongoing(900) } })).toHaveLength(1);
  });

  test.each([
    ['CrashLoopBackOff', 'crash-loops'],
    ['ImagePullBackOff', 'cannot pull its image'],
    ['CreateContainerConfigError', 'cannot create a container'],
  ] as const)('whose container waits for %s is critical at once', (reason, words) => {
    const waiting = samplesOf(metrics.podWaitingContainers).set({ ...identity, reason }, 1);
    expect(
      problems({ view: { unready: [unready(now - 1)], ongoing: [rotation()] }, families: [waiting] }),
    ).toMatchObject([{ severity: 'critical', title: `gitlab/gl-gitaly-0 ${words}` }]);
  });

  test('that waits for its node to be drained says that this is planned', () => {
    const [problem] = problems({
      view: {
        unready: [unready(now - 10)],
        ongoing: [rotation({ cause: 'node_drained', phase: 'scheduling' })],
      },
      open: ['weekly', 'annotation:Node/n1'],
    });
    expect(problem?.detail).toBe(
      'Because of its node being drained or shut down: the new pod has no node yet. Maintenance is under way: weekly, annotation:Node/n1.',
    );
  });
});

describe('a PodDisruptionBudget', () => {
  const budget = (allowed: number, healthy: number, desired: number, expected: number) => {
    const labels = { namespace: 'gitlab', poddisruptionbudget: 'gl-gitaly' };
    return problems({
      families: [
        samplesOf(metrics.disruptionsAllowed).set(labels, allowed),
        samplesOf(metrics.disruptionHealthy).set(labels, healthy),
        samplesOf(metrics.disruptionDesired).set(labels, desired),
        samplesOf(metrics.disruptionExpected).set(labels, expected),
      ],
    }).map(({ title }) => title);
  };

  test('that allows none while one pod is away is what it is for', () => {
    expect(budget(0, 2, 2, 3)).toEqual([]);
  });

  test('that allows none for the moment of an eviction is no problem either', () => {
    expect(budget(0, 3, 2, 3)).toEqual([]);
  });

  test('that can never allow one blocks every drain', () => {
    expect(budget(0, 3, 3, 3)).toEqual(['PodDisruptionBudget gitlab/gl-gitaly lets no pod be evicted, ever']);
  });

  test('of no pods blocks nothing', () => {
    expect(budget(0, 0, 1, 0)).toEqual([]);
  });
});

describe('a node with pods of Gitaly', () => {
  const ready = samplesOf(metrics.podReady).set(identity, 0);
  test('that is not Ready is critical, and its pods are named', () => {
    expect(
      problems({ families: [ready, samplesOf(metrics.nodeReady).set({ node: 'n1' }, 0)] }),
    ).toMatchObject([
      { key: 'node n1', severity: 'critical', detail: expect.stringContaining('On it: gitlab/gl-gitaly-0.') },
    ]);
  });

  test('that is short of memory warns', () => {
    const pressure = samplesOf(metrics.nodePressure)
      .set({ node: 'n1', resource: 'memory' }, 1)
      .set({ node: 'n1', resource: 'disk' }, 0);
    expect(problems({ families: [ready, pressure] }).map(({ title }) => title)).toEqual([
      'Node n1, which has pods of Gitaly, is short of memory',
    ]);
  });
});

test('a container that was killed for want of memory is recalled for an hour', () => {
  const at = (ago: number) =>
    problems({
      families: [
        samplesOf(metrics.podLastRestart)
          .set({ ...identity, container: 'gitaly', reason: 'OOMKilled' }, now - ago)
          .set({ ...identity, container: 'logger', reason: 'Error' }, now - ago),
      ],
    }).map(({ title, since }) => [title, since]);
  expect(at(60)).toEqual([
    ['Container gitaly of gitlab/gl-gitaly-0 was killed for want of memory', now - 60],
  ]);
  expect(at(3600)).toEqual([]);
});

test('what somebody wrote that is no window is a warning', () => {
  const mistake = { key: 'k', title: 't', detail: 'd', action: 'a' };
  expect(
    kubernetesProblems({
      reading: readingOf([]),
      view: nothing,
      maintenance: { open: [], mistakes: [mistake] },
      now,
    }),
  ).toEqual([{ ...mistake, severity: 'warning' }]);
});
