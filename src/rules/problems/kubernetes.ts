/** Problems of Gitaly's pods on Kubernetes, their nodes and disruption budgets. Pure. */
import { durationText, timeText } from '../../lib/format.ts';
import { type Identity, identityKey, identityText } from '../../sources/identity.ts';
import type { WaitingReason } from '../../sources/kubernetes/metrics.ts';
import type {
  OngoingRotation,
  RotationCause,
  RotationPhase,
} from '../../sources/kubernetes/rotation/rotation.ts';
import { isSamePod, type KubernetesView, type PodView } from '../../sources/kubernetes/view.ts';
import type { Thresholds } from '../thresholds.ts';
import { counted, type Problem, problem } from './problem.ts';

export interface KubernetesSituation {
  readonly view: KubernetesView;
  /** Gitalys whose OOM kills an exporter on their node reports, with the level. */
  readonly watchedOnNode: readonly Identity[];
  readonly thresholds: Thresholds;
  /** Seconds since 1970. */
  readonly now: number;
}

export const kubernetesProblems = (situation: KubernetesSituation): readonly Problem[] => [
  ...podProblems(situation),
  ...terminatingProblems(situation),
  ...oomProblems(situation),
  ...rotationProblems(situation),
  ...nodeProblems(situation.view),
  ...budgetProblems(situation.view),
];

/** One for each pod that is not Ready or missing. */
function podProblems({ view, now }: KubernetesSituation): Problem[] {
  const unready = view.pods
    .filter(({ isReady }) => !isReady)
    .map((pod) => ({
      identity: pod.identity,
      pod,
      since: pod.since / 1000,
      rotation: view.ongoing.find((each) => isSamePod(each, pod.identity)),
    }));
  const missing = view.ongoing
    .filter((each) => each.missing)
    .map((rotation) => ({
      identity: { namespace: rotation.namespace, pod: rotation.pod, node: rotation.node },
      pod: undefined,
      since: rotation.startedAt === undefined ? now : rotation.startedAt / 1000,
      rotation,
    }));
  return [...unready, ...missing].map(({ identity, pod, since: conditionSince, rotation }) => {
    const since = Math.min(conditionSince, (rotation?.startedAt ?? conditionSince * 1000) / 1000);
    const stuck = pod && stuckReason(pod);
    const isNodeLost = view.nodes.some(({ name, isReady }) => name === identity.node && !isReady);
    return problem('pod_not_ready', {
      of: `${identity.namespace}/${identity.pod}`,
      title: `${identityText(identity)} ${titleOf(stuck, rotation, isNodeLost)}`,
      subject: identityText(identity),
      labels: { namespace: identity.namespace, pod: identity.pod },
      detail: sentences([
        ...progressText(stuck, rotation, pod?.terminated),
        pod?.warning ??
          view.missing.find((each) => each.pod === identity.pod && each.namespace === identity.namespace)
            ?.reason,
      ]),
      action: actionOf(identity, stuck, rotation, isNodeLost),
      since,
      heldSince: since,
    });
  });
}

/** A pod that is Ready still serves while it terminates. */
const terminatingProblems = ({ view, thresholds, now }: KubernetesSituation): Problem[] =>
  view.ongoing
    .filter(
      (each) =>
        !each.missing &&
        !view.pods.some(({ identity, isReady }) => !isReady && isSamePod(each, identity)) &&
        each.startedAt !== undefined &&
        now - each.startedAt / 1000 > thresholds.gitalyDown.value,
    )
    .map(({ namespace, pod, node, startedAt = now * 1000 }) =>
      problem('pod_stuck_terminating', {
        of: `${namespace}/${pod}`,
        title: `${namespace}/${pod} has been terminating for ${durationText(now * 1000 - startedAt)}`,
        subject: identityText({ namespace, pod, node }),
        labels: { namespace, pod },
        detail: 'It is still Ready and serves requests.',
        action: `See what delays it, such as a finalizer: kubectl -n ${namespace} get pod ${pod} -o yaml`,
        since: startedAt / 1000,
      }),
    );

type StuckReason = 'crash' | 'image' | 'config';

const stuckReasons: Readonly<Partial<Record<WaitingReason, StuckReason>>> = {
  CrashLoopBackOff: 'crash',
  ImagePullBackOff: 'image',
  ErrImagePull: 'image',
  InvalidImageName: 'image',
  CreateContainerConfigError: 'config',
  CreateContainerError: 'config',
  RunContainerError: 'config',
};

function stuckReason({ waitingReasons }: PodView): StuckReason | undefined {
  const found = waitingReasons.flatMap((reason) => stuckReasons[reason] ?? []);
  return (['crash', 'image', 'config'] as const).find((each) => found.includes(each));
}

const stuckTitles: Readonly<Record<StuckReason, string>> = {
  crash: 'is in a crash loop',
  image: 'cannot pull its image',
  config: 'cannot create a container',
};

function titleOf(
  stuck: StuckReason | undefined,
  rotation: OngoingRotation | undefined,
  isNodeLost: boolean,
): string {
  if (isNodeLost) return 'is on a node that is not Ready';
  if (stuck !== undefined) return stuckTitles[stuck];
  if (rotation?.missing === true) return 'does not exist';
  return rotation === undefined || rotation.isNew || rotation.cause === 'container_restart'
    ? 'is not Ready'
    : 'is being replaced';
}

const causes: Readonly<Partial<Record<RotationCause, string>>> = {
  rollout: 'a rollout',
  eviction_api: 'an eviction through the API',
  eviction_pressure: 'an eviction by its kubelet',
  preemption: 'a preemption',
  node_drained: 'its node being drained or shut down',
  node_lost: 'the loss of its node',
  deleted: 'its deletion',
  container_restart: 'a container restart',
};

const phases: Readonly<Record<RotationPhase, string>> = {
  terminating: 'the old pod is still terminating',
  scheduling: 'the new pod is not scheduled yet',
  volume: 'it waits for its volume and sandbox',
  init: 'its init containers run',
  startup: 'its containers start',
  readiness: 'it runs, and its readiness probe has not passed yet',
};

/** Ended containers are normal in a pod that is being replaced. */
function progressText(
  stuck: StuckReason | undefined,
  rotation: OngoingRotation | undefined,
  terminated: string | undefined,
): readonly (string | undefined)[] {
  if (stuck !== undefined || rotation === undefined || rotation.cause === 'container_restart')
    return [terminated];
  const { cause, phase, isNew } = rotation;
  const why = causes[cause];
  return [`${isNew || why === undefined ? 'Starting' : `Because of ${why}`}: ${phases[phase]}`];
}

function actionOf(
  { namespace, pod, node }: Identity,
  stuck: StuckReason | undefined,
  rotation: OngoingRotation | undefined,
  isNodeLost: boolean,
): string {
  if (isNodeLost)
    return `Recover node ${node}, or, once it is certainly off, taint it (kubectl taint node ${node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute): only then is the pod created again.`;
  if (stuck === 'crash')
    return `Read its log: kubectl -n ${namespace} logs ${pod} --all-containers --previous`;
  if (rotation?.missing === true)
    return `See why it is not created: kubectl -n ${namespace} describe statefulset ${rotation.statefulSet}`;
  return `See what it waits for: kubectl -n ${namespace} describe pod ${pod}`;
}

/** In GitLab's chart and operator. A sidecar that is killed is not Gitaly. */
const gitalyContainerName = 'gitaly';

/** Where an exporter on the node reports kills with their level, these would be the same kills again. */
function oomProblems({ view, watchedOnNode, thresholds, now }: KubernetesSituation): Problem[] {
  return view.pods
    .filter(({ identity }) => !watchedOnNode.some((each) => isSamePod(each, identity)))
    .flatMap(({ identity, lastTerminations }) =>
      lastTerminations
        .filter(
          ({ container, reason, finishedAt }) =>
            container === gitalyContainerName &&
            reason === 'OOMKilled' &&
            now - finishedAt / 1000 < thresholds.oomWindow.value,
        )
        .map(({ container, finishedAt }) =>
          problem('gitaly_oom_killed', {
            of: identityKey(identity),
            title: `${identityText(identity)}: container ${container} was OOM-killed and restarted`,
            subject: identityText(identity),
            labels: { ...identity, level: 'container' },
            detail: `At ${timeText(finishedAt)}. All requests in progress failed.`,
            action:
              "Compare its memory limit with its usage, and cgroups.memory_bytes with the limit: Git's processes should reach their limit before the container does.",
            since: finishedAt / 1000,
          }),
        ),
    );
}

function rotationProblems({ view, thresholds, now }: KubernetesSituation): Problem[] {
  const { rotationSlow, rotationWindow } = thresholds;
  return view.lastRotations.flatMap(({ namespace, pod, node, cause, seconds, endedAt }): Problem[] => {
    const { total } = seconds;
    if (total === undefined || endedAt === undefined || total <= rotationSlow.value) return [];
    if (now - endedAt / 1000 >= rotationWindow.value) return [];
    const identity = { namespace, pod, node };
    return [
      problem('rotation_slow', {
        of: `${namespace}/${pod}`,
        title: `${identityText(identity)}: rotation took ${durationText(total * 1000)}`,
        subject: identityText(identity),
        labels: { namespace, pod },
        detail: `Because of ${causes[cause] ?? 'an unknown cause'}, until ${timeText(endedAt)}. Its repositories were unavailable for that time.`,
        action: 'See which phase took the time: gitaly_server_pod_rotation_seconds.',
        since: endedAt / 1000,
      }),
    ];
  });
}

function nodeProblems({ nodes, pods }: KubernetesView): Problem[] {
  const podsOn = (node: string): string =>
    pods
      .filter(({ identity }) => identity.node === node)
      .map(({ identity }) => identityText(identity))
      .join(', ');
  return nodes.flatMap(({ name, isReady, pressures }) => [
    ...(isReady
      ? []
      : [
          problem('node_not_ready', {
            of: name,
            title: `Node ${name} with Gitaly pods is not Ready`,
            subject: name,
            labels: { node: name },
            detail: `Pods on it: ${podsOn(name)}. Their state in the API is the last one that their kubelet reported.`,
            action: `kubectl describe node ${name}; check the machine itself.`,
          }),
        ]),
    ...pressures.map((resource) =>
      problem('node_pressure', {
        of: `${name} ${resource}`,
        title: `Node ${name} with Gitaly pods is short of ${resource === 'pid' ? 'process IDs' : resource}`,
        subject: name,
        labels: { node: name, resource },
        detail: `Its kubelet evicts pods, first those that use more than they request. Pods on it: ${podsOn(name)}.`,
        action: 'Move other load off the node. Guaranteed pods with a high PriorityClass are evicted last.',
      }),
    ),
  ]);
}

/** While one pod is unavailable, 0 is as intended; a budget that never allows a disruption is a mistake. */
function budgetProblems({ disruptionBudgets }: KubernetesView): Problem[] {
  return disruptionBudgets.flatMap((budget): Problem[] => {
    const { namespace, name, disruptionsAllowed, desiredHealthy, expectedPods } = budget;
    if (disruptionsAllowed > 0 || expectedPods === 0 || desiredHealthy < expectedPods) return [];
    return [
      problem('disruption_budget_blocks', {
        of: `${namespace}/${name}`,
        title: `PodDisruptionBudget ${namespace}/${name} never allows an eviction`,
        subject: `${namespace}/${name}`,
        labels: { namespace, poddisruptionbudget: name },
        detail: `It requires ${counted(desiredHealthy, 'healthy pod', 'healthy pods')} of ${expectedPods}: draining their nodes never completes.`,
        action: 'Set maxUnavailable to 1 (gitlab.gitaly.maxUnavailable in the chart).',
      }),
    ];
  });
}

const sentences = (parts: readonly (string | undefined)[]): string =>
  parts
    .filter((part) => part !== undefined && part !== '')
    .map((part) => `${part?.charAt(0).toUpperCase()}${part?.slice(1).replace(/\.$/, '')}.`)
    .join(' ');
