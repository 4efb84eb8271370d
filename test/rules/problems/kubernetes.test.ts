/** Problems that no recording has: values that never change, missing objects, and thresholds. */
import { describe, expect, test } from '@jest/globals';
import { kubernetesProblems } from '../../../src/rules/problems/kubernetes.ts';
import { defaultThresholds } from '../../../src/rules/thresholds.ts';
import type { WaitingReason } from '../../../src/sources/kubernetes/metrics.ts';
import type { PodDisruptionBudget } from '../../../src/sources/kubernetes/objects/types.ts';
import type { OngoingRotation } from '../../../src/sources/kubernetes/rotation/rotation.ts';
import type { KubernetesView, PodView } from '../../../src/sources/kubernetes/view.ts';

const now = 1_800_000_000;
const nothing: KubernetesView = {
  ...{ unavailable: [], clockSkewSeconds: 0, missing: [], deletedSets: [], emptyNamespaces: [] },
  ...{ notCurrent: [], pods: [], ongoing: [], lastRotations: [], nodes: [], disruptionBudgets: [] },
};
const identity = { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'n1' };

const rotation = (change: Partial<OngoingRotation> = {}): OngoingRotation => ({
  ...identity,
  ...{ statefulSet: 'gl-gitaly', startedAt: (now - 10) * 1000, phase: 'volume', cause: 'deleted' },
  ...{ missing: false, isNew: false },
  ...change,
});

const problems = (
  view: Partial<KubernetesView>,
  watchedOnNode: readonly (typeof identity)[] = [],
  behindPraefect: readonly (typeof identity)[] = [identity],
) =>
  kubernetesProblems({
    view: { ...nothing, ...view },
    ...{ watchedOnNode, behindPraefect },
    thresholds: defaultThresholds,
    now,
  });

const pod = (change: Partial<PodView> = {}): PodView => ({
  ...{ identity, isReady: true, since: (now - 3600) * 1000, waitingReasons: [], lastTerminations: [] },
  ...{ terminated: undefined, warning: undefined },
  ...change,
});
const unready = (seconds: number, change: Partial<PodView> = {}): PodView =>
  pod({ isReady: false, since: (now - seconds) * 1000, ...change });

test('a healthy cluster has no problems', () => {
  expect(problems({ pods: [pod()] })).toEqual([]);
});

describe('a pod', () => {
  test('that is being replaced is a GitalyDown problem from the start of its rotation', () => {
    expect(
      problems({ pods: [unready(5)], ongoing: [rotation({ startedAt: (now - 12) * 1000 })] }),
    ).toMatchObject([
      {
        severity: 'critical',
        alert: 'GitalyDown',
        title: 'gitlab/gl-gitaly-0 is being replaced',
        since: now - 12,
        heldSince: now - 12,
      },
    ]);
  });

  test('that is not Ready for an unknown reason has its latest warning event as the detail', () => {
    expect(problems({ pods: [unready(1, { warning: 'Unhealthy: Readiness probe failed.' })] })).toMatchObject(
      [
        {
          key: 'pod_not_ready gitlab/gl-gitaly-0',
          severity: 'critical',
          title: 'gitlab/gl-gitaly-0 is not Ready',
          detail: 'Unhealthy: Readiness probe failed.',
          fixes: [{ text: 'See what it waits for: kubectl -n gitlab describe pod gl-gitaly-0' }],
          since: now - 1,
        },
      ],
    );
  });

  test('that does not exist is a problem with its StatefulSet as the first step', () => {
    const missing = rotation({ missing: true, node: '', phase: 'scheduling' });
    expect(problems({ ongoing: [missing] })).toMatchObject([
      {
        title: 'gitlab/gl-gitaly-0 does not exist',
        detail: 'Because of its deletion: the new pod is not created yet.',
        fixes: [{ text: 'See why it is not created: kubectl -n gitlab describe statefulset gl-gitaly' }],
      },
    ]);
  });

  test('that terminates and is still Ready is a warning after five minutes', () => {
    const ongoing = (seconds: number) => [
      rotation({ phase: 'terminating', startedAt: (now - seconds) * 1000 }),
    ];
    expect(problems({ pods: [pod()], ongoing: ongoing(20) })).toEqual([]);
    expect(problems({ pods: [pod()], ongoing: ongoing(900) })).toMatchObject([
      { severity: 'warning', title: 'gitlab/gl-gitaly-0 has been terminating for 15 min' },
    ]);
  });

  test('that its finalizers keep names them, and its first step is how to remove them', () => {
    const deleted = {
      finalizers: ['example.com/backup'],
      terminated: 'container gitaly terminated: Completed',
    };
    const [kept] = problems({
      pods: [unready(60, deleted)],
      ongoing: [rotation({ phase: 'terminating' })],
    });
    expect(kept).toMatchObject({
      alert: 'GitalyDown',
      title: 'gitlab/gl-gitaly-0 is kept by its finalizers',
      detail: expect.stringContaining('It is removed only when its finalizers are: example.com/backup.'),
      fixes: [{ text: expect.stringContaining('kubectl -n gitlab patch pod gl-gitaly-0') }],
    });
    // While its containers run, it waits for its grace period.
    const { terminated, ...running } = deleted;
    expect(
      problems({ pods: [unready(5, running)], ongoing: [rotation({ phase: 'terminating' })] }),
    ).toMatchObject([{ title: 'gitlab/gl-gitaly-0 is being replaced' }]);
  });

  test('that is Ready and kept by a finalizer has the finalizer in its detail', () => {
    const ongoing = [rotation({ phase: 'terminating', startedAt: (now - 900) * 1000 })];
    expect(problems({ pods: [pod({ finalizers: ['example.com/backup'] })], ongoing })).toMatchObject([
      {
        id: 'pod_stuck_terminating',
        detail:
          'It is still Ready and serves requests. It is removed only when its finalizers are: example.com/backup.',
      },
    ]);
  });

  test.each([
    ['CrashLoopBackOff', 'is in a crash loop'],
    ['ImagePullBackOff', 'cannot pull its image'],
    ['CreateContainerConfigError', 'cannot create a container'],
  ] as const)('whose container waits with %s has that as its title', (reason, words) => {
    expect(
      problems({ pods: [unready(1, { waitingReasons: [reason] })], ongoing: [rotation()] }),
    ).toMatchObject([{ severity: 'critical', title: `gitlab/gl-gitaly-0 ${words}` }]);
  });

  test('that starts its containers has no special title', () => {
    const starting: readonly WaitingReason[] = ['ContainerCreating'];
    expect(problems({ pods: [unready(1, { waitingReasons: starting })] })).toMatchObject([
      { title: 'gitlab/gl-gitaly-0 is not Ready' },
    ]);
  });

  test('of a drained node has the cause and the phase of its rotation as the detail', () => {
    const [problem] = problems({
      pods: [unready(10)],
      ongoing: [rotation({ cause: 'node_drained', phase: 'scheduling' })],
    });
    expect(problem?.detail).toBe(
      'Because of its node being drained or shut down: the new pod is not scheduled yet.',
    );
  });
});

describe('a StatefulSet that was deleted', () => {
  const set = { namespace: 'gitlab', name: 'gl-gitaly', replicas: 2, deletedAt: (now - 60) * 1000 };

  test('is a problem while its pods still run, because no controller replaces them', () => {
    expect(problems({ pods: [pod()], deletedSets: [set] })).toMatchObject([
      {
        id: 'stateful_set_deleted',
        severity: 'warning',
        alert: undefined,
        title: 'StatefulSet gitlab/gl-gitaly was deleted',
        detail: expect.stringContaining('It wanted 2 pods, of which 1 is left'),
        since: now - 60,
      },
    ]);
  });

  test('has as its fix to create it again where its pods are missing', () => {
    const missing = rotation({ missing: true, node: '', phase: 'scheduling' });
    expect(problems({ ongoing: [missing], deletedSets: [set] })).toMatchObject([
      {
        id: 'pod_not_ready',
        alert: 'GitalyDown',
        fixes: [{ text: 'Create its StatefulSet gl-gitaly again, for example with helm upgrade.' }],
      },
      { id: 'stateful_set_deleted' },
    ]);
  });
});

test('a namespace without Gitaly is a problem with the alert of its collector', () => {
  expect(problems({ emptyNamespaces: ['gitlab'] })).toMatchObject([
    { id: 'namespace_without_gitaly', alert: 'GitalyExporterCollectorFailing', subject: 'gitlab' },
  ]);
  expect(problems({ emptyNamespaces: [''] })).toMatchObject([{ title: 'No Gitaly runs in any namespace' }]);
});

test('a clock of the API server beyond the tolerance is a problem in both directions', () => {
  const titles = (clockSkewSeconds: number) => problems({ clockSkewSeconds }).map(({ title }) => title);
  expect(titles(-7200)).toEqual(["The clock of the Kubernetes API server is 2 h behind the exporter's"]);
  expect(titles(11)).toEqual(["The clock of the Kubernetes API server is 11 s ahead of the exporter's"]);
  expect(titles(-9)).toEqual([]);
});

describe('a PodDisruptionBudget', () => {
  const budget = (allowed: number, healthy: number, desired: number, expected: number) =>
    problems({
      disruptionBudgets: [
        {
          ...{ namespace: 'gitlab', name: 'gl-gitaly', disruptionsAllowed: allowed },
          ...{ currentHealthy: healthy, desiredHealthy: desired, expectedPods: expected },
        } as PodDisruptionBudget,
      ],
    }).map(({ title }) => title);

  test('that allows no disruption while one pod is unavailable works as intended', () => {
    expect(budget(0, 2, 2, 3)).toEqual([]);
  });

  test('that allows none only during an eviction is no problem', () => {
    expect(budget(0, 3, 2, 3)).toEqual([]);
  });

  test('that can never allow a disruption blocks every drain', () => {
    expect(budget(0, 3, 3, 3)).toEqual(['PodDisruptionBudget gitlab/gl-gitaly never allows an eviction']);
  });

  test('that selects no pods blocks nothing', () => {
    expect(budget(0, 0, 1, 0)).toEqual([]);
  });
});

describe('a node with Gitaly pods', () => {
  test('that is not Ready is a warning that names its pods, whose own problem is critical', () => {
    expect(
      problems({ pods: [unready(60)], nodes: [{ name: 'n1', isReady: false, pressures: [] }] }),
    ).toMatchObject([
      { severity: 'critical', title: 'gitlab/gl-gitaly-0 is on a node that is not Ready' },
      {
        key: 'node_not_ready n1',
        severity: 'warning',
        detail: expect.stringContaining('Pods on it: gitlab/gl-gitaly-0.'),
      },
    ]);
  });

  test('with memory pressure is a warning', () => {
    expect(
      problems({ pods: [pod()], nodes: [{ name: 'n1', isReady: true, pressures: ['memory'] }] }).map(
        ({ title }) => title,
      ),
    ).toEqual(['Node n1 with Gitaly pods is short of memory']);
  });
});

describe('an OOM-killed container', () => {
  const killed = (ago: number) =>
    pod({
      lastTerminations: [
        { container: 'gitaly', reason: 'OOMKilled', finishedAt: (now - ago) * 1000 },
        { container: 'logger', reason: 'OOMKilled', finishedAt: (now - ago) * 1000 },
      ],
    });

  test('of Gitaly behind Praefect is a warning for the window of the alert', () => {
    expect(problems({ pods: [killed(60)] })).toMatchObject([
      {
        severity: 'warning',
        alert: 'GitalyOOMKilled',
        title: 'gitlab/gl-gitaly-0: container gitaly was OOM-killed and restarted',
        since: now - 60,
      },
    ]);
    expect(problems({ pods: [killed(1800)] })).toEqual([]);
  });

  test('of Gitaly without Praefect is critical, also where an exporter on the node reports its kills', () => {
    for (const watchedOnNode of [[], [identity]])
      expect(problems({ pods: [killed(60)] }, watchedOnNode, [])).toMatchObject([
        {
          ...{ id: 'gitaly_container_oom_killed', severity: 'critical', alert: 'GitalyContainerOOMKilled' },
          detail: expect.stringContaining('its repositories were unavailable'),
        },
      ]);
    expect(problems({ pods: [killed(1800)] }, [], [])).toEqual([]);
  });

  test('that is killed three times within the window is critical, unless an exporter on the node counts', () => {
    const looping = { ...killed(60), earlierOomKills: [300, 600, 4000].map((ago) => (now - ago) * 1000) };
    const once = { ...killed(60), earlierOomKills: [300, 4000].map((ago) => (now - ago) * 1000) };
    expect(problems({ pods: [looping] })).toMatchObject([
      {
        ...{ id: 'gitaly_oom_killed_repeatedly', severity: 'critical', since: now - 600 },
        title: 'gitlab/gl-gitaly-0: OOM-killed 3 times in 30 min',
      },
    ]);
    expect(problems({ pods: [looping] }, [identity])).toEqual([]);
    expect(problems({ pods: [once] })).toMatchObject([{ id: 'gitaly_oom_killed' }]);
    // The kills count while the newest termination is another one.
    const other = { ...looping, lastTerminations: [] };
    expect(problems({ pods: [other] })).toMatchObject([{ id: 'gitaly_oom_killed' }]);
  });

  test('is not reported twice where an exporter on the node reports its kills', () => {
    expect(problems({ pods: [killed(60)] }, [identity])).toEqual([]);
  });
});

describe('a completed rotation', () => {
  const completed = (total: number, ago: number) =>
    problems({
      lastRotations: [
        {
          ...{ ...identity, statefulSet: 'gl-gitaly', fromNode: 'n1', cause: 'deleted' },
          ...{ seconds: { total }, endedAt: (now - ago) * 1000 },
        },
      ],
    });

  test('that was slow is a warning for an hour', () => {
    expect(completed(121, 60)).toMatchObject([
      { id: 'rotation_slow', severity: 'warning', title: 'gitlab/gl-gitaly-0: rotation took 2 min 1 s' },
    ]);
    expect(completed(121, 3600)).toEqual([]);
  });

  test('within the threshold is no problem', () => {
    expect(completed(120, 60)).toEqual([]);
  });
});
