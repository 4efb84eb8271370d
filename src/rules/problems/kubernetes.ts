/** What is wrong with Gitaly's pods on Kubernetes right now, in words. Pure. */
import { type Identity, identityText } from '../../sources/identity.ts';
import * as metrics from '../../sources/kubernetes/metrics.ts';
import type {
  OngoingRotation,
  RotationCause,
  RotationPhase,
} from '../../sources/kubernetes/rotation/rotation.ts';
import { isSamePod, type KubernetesView } from '../../sources/kubernetes/view.ts';
import type { MaintenanceView } from '../../sources/maintenance/source.ts';
import type { Problem } from './praefect.ts';
import type { Reading } from './reading.ts';

export interface KubernetesSituation {
  readonly reading: Reading;
  readonly view: KubernetesView;
  readonly maintenance: MaintenanceView | undefined;
  /** Seconds since 1970. */
  readonly now: number;
}

/** A rotation is an outage of that pod's data from its first second, and by then no short one. */
export const longRotationSeconds = 300;

/** How long the page recalls a container that was OOM-killed. */
const recentSeconds = 3600;

export const kubernetesProblems = (situation: KubernetesSituation): readonly Problem[] => [
  ...podProblems(situation),
  ...oomProblems(situation),
  ...nodeProblems(situation),
  ...budgetProblems(situation),
  ...(situation.maintenance?.mistakes ?? []).map((mistake) => ({ ...mistake, severity: 'warning' as const })),
];

/** One for each pod that is not Ready, or takes too long to go. */
function podProblems({ reading, view, maintenance, now }: KubernetesSituation): Problem[] {
  const unready = view.unready.map(({ identity, since, ended, warning }) => ({
    identity,
    since: since / 1000,
    rotation: view.ongoing.find((each) => isSamePod(each, identity)),
    ended,
    warning,
  }));
  const others = view.ongoing
    .filter((each) => !unready.some(({ identity }) => isSamePod(each, identity)))
    .map((rotation) => ({
      identity: { namespace: rotation.namespace, pod: rotation.pod, node: rotation.node },
      since: rotation.startedAt === undefined ? now : rotation.startedAt / 1000,
      ...{ rotation, ended: undefined, warning: undefined },
    }))
    // One that is Ready still serves while it is being deleted.
    .filter(({ rotation, since }) => rotation.missing || now - since > longRotationSeconds);
  const planned = maintenance?.open.map(({ name }) => name) ?? [];
  return [...unready, ...others].map(({ identity, since: conditionSince, rotation, ended, warning }) => {
    const since = Math.min(conditionSince, (rotation?.startedAt ?? conditionSince * 1000) / 1000);
    const stuck = stuckReason(reading, identity);
    const onLostNode = reading.value(metrics.nodeReady, { node: identity.node }) === 0;
    const critical = stuck !== undefined || rotation === undefined || now - since > longRotationSeconds;
    return {
      key: `pod ${identity.namespace}/${identity.pod}`,
      severity: critical ? ('critical' as const) : ('warning' as const),
      title: `${identityText(identity)} ${titleOf(stuck, rotation, onLostNode)}`,
      detail: sentences([
        ...whatGoesOn(stuck, rotation, ended),
        warning,
        planned.length === 0 ? undefined : `Maintenance is under way: ${planned.join(', ')}`,
      ]),
      action: actionOf(identity, stuck, rotation, onLostNode),
      since,
    };
  });
}

type Stuck = 'crash' | 'image' | 'config';

function stuckReason(reading: Reading, identity: Identity): Stuck | undefined {
  const waits = (reason: metrics.WaitingReason): boolean =>
    (reading.value(metrics.podWaitingContainers, { ...identity, reason }) ?? 0) > 0;
  if (waits('CrashLoopBackOff')) return 'crash';
  if (waits('ImagePullBackOff') || waits('ErrImagePull') || waits('InvalidImageName')) return 'image';
  if (waits('CreateContainerConfigError') || waits('CreateContainerError') || waits('RunContainerError'))
    return 'config';
  return undefined;
}

const stuckTitles: Readonly<Record<Stuck, string>> = {
  crash: 'crash-loops',
  image: 'cannot pull its image',
  config: 'cannot create a container',
};

function titleOf(
  stuck: Stuck | undefined,
  rotation: OngoingRotation | undefined,
  onLostNode: boolean,
): string {
  if (onLostNode) return 'is on a lost node';
  if (stuck !== undefined) return stuckTitles[stuck];
  if (rotation?.missing === true) return 'is not there';
  return rotation === undefined || rotation.isNew || rotation.cause === 'container_restart'
    ? 'is not Ready'
    : 'is being rotated';
}

const causes: Readonly<Partial<Record<RotationCause, string>>> = {
  rollout: 'a roll-out',
  eviction_api: 'an eviction through the API',
  eviction_pressure: 'an eviction by its kubelet',
  preemption: 'a preemption',
  node_drained: 'its node being drained or shut down',
  node_lost: 'the loss of its node',
  deleted: 'its deletion',
  container_restart: 'the end of a container',
};

const phases: Readonly<Record<RotationPhase, string>> = {
  terminating: 'the old pod is not gone yet',
  scheduling: 'the new pod has no node yet',
  volume: 'it waits for its volume and sandbox',
  init: 'its init containers run',
  startup: 'its containers start',
  readiness: 'it runs, and its readiness probe has not passed yet',
};

/** That containers of a pod on its way out end is no news. */
function whatGoesOn(
  stuck: Stuck | undefined,
  rotation: OngoingRotation | undefined,
  ended: string | undefined,
): readonly (string | undefined)[] {
  if (stuck !== undefined || rotation === undefined || rotation.cause === 'container_restart') return [ended];
  return [rotationDetail(rotation)];
}

function rotationDetail({ cause, phase, isNew }: OngoingRotation): string {
  const why = causes[cause];
  return `${isNew || why === undefined ? 'On its way' : `Because of ${why}`}: ${phases[phase]}`;
}

function actionOf(
  { namespace, pod, node }: Identity,
  stuck: Stuck | undefined,
  rotation: OngoingRotation | undefined,
  onLostNode: boolean,
): string {
  if (onLostNode)
    return `Bring node ${node} back, or, once it is certainly off, take it away (kubectl taint node ${node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute): the pod is made anew only then.`;
  if (stuck === 'crash')
    return `See why it ended: kubectl -n ${namespace} logs ${pod} --all-containers --previous`;
  if (rotation?.missing === true)
    return `See why it is not made: kubectl -n ${namespace} describe statefulset ${rotation.statefulSet}`;
  return `See what it waits for: kubectl -n ${namespace} describe pod ${pod}`;
}

/** The container died: its limit, or the node's memory. A Git process killed in its bucket is the cgroups' to tell. */
function oomProblems({ reading, view, now }: KubernetesSituation): Problem[] {
  return (
    reading
      .series(metrics.podLastRestart)
      .filter(({ labels, value }) => labels.reason === 'OOMKilled' && now - value < recentSeconds)
      // Of one that is not back, its own problem says it.
      .filter(({ labels }) => !view.unready.some(({ identity }) => isSamePod(identity, labels)))
      .map(({ labels, value }) => ({
        key: `oom ${labels.namespace}/${labels.pod} ${labels.container}`,
        severity: 'warning',
        title: `Container ${labels.container} of ${identityText(labels)} was killed for want of memory`,
        detail: 'Everything that it did at that moment failed. It has been restarted.',
        action:
          "Compare its memory limit with its use, and Gitaly's [cgroups] memory_bytes with the limit: Git's processes should run out of memory before the container does.",
        since: value,
      }))
  );
}

function nodeProblems({ reading }: KubernetesSituation): Problem[] {
  const lost = reading
    .series(metrics.nodeReady)
    .filter(({ value }) => value !== 1)
    .map(
      ({ labels: { node } }): Problem => ({
        key: `node ${node}`,
        severity: 'critical',
        title: `Node ${node}, which has pods of Gitaly, is not Ready`,
        detail: `On it: ${podsOn(reading, node)}. What the API says of them is what their kubelet said last.`,
        action: `kubectl describe node ${node}; look at the machine itself.`,
      }),
    );
  const pressed = reading
    .series(metrics.nodePressure)
    .filter(({ value }) => value === 1)
    .map(
      ({ labels: { node, resource } }): Problem => ({
        key: `pressure ${node} ${resource}`,
        severity: 'warning',
        title: `Node ${node}, which has pods of Gitaly, is short of ${resource === 'pid' ? 'process ids' : resource}`,
        detail: `Its kubelet evicts pods, those first that use more than they request. On it: ${podsOn(reading, node)}.`,
        action: 'Take other load off the node. Guaranteed pods of a high PriorityClass go last.',
      }),
    );
  return [...lost, ...pressed];
}

const podsOn = (reading: Reading, node: string): string => {
  const pods = reading.series(metrics.podReady).filter(({ labels }) => labels.node === node);
  return pods.map(({ labels }) => identityText(labels)).join(', ');
};

/** While one pod is away, 0 is what the budget is for; what never lets any go is a mistake. */
function budgetProblems({ reading }: KubernetesSituation): Problem[] {
  return reading.series(metrics.disruptionsAllowed).flatMap(({ labels, value }): Problem[] => {
    const desired = reading.value(metrics.disruptionDesired, labels);
    const expected = reading.value(metrics.disruptionExpected, labels);
    if (value > 0 || desired === undefined || expected === undefined || expected === 0 || desired < expected)
      return [];
    const { namespace, poddisruptionbudget: name } = labels;
    return [
      {
        key: `budget ${namespace}/${name}`,
        severity: 'warning',
        title: `PodDisruptionBudget ${namespace}/${name} lets no pod be evicted, ever`,
        detail: `It wants ${desired} healthy pods and there are ${expected} in all: a drain of their nodes never ends.`,
        action: 'Set maxUnavailable to 1 (gitlab.gitaly.maxUnavailable of the chart).',
      },
    ];
  });
}

const sentences = (parts: readonly (string | undefined)[]): string =>
  parts
    .filter((part) => part !== undefined && part !== '')
    .map((part) => `${part?.charAt(0).toUpperCase()}${part?.slice(1).replace(/\.$/, '')}.`)
    .join(' ');
