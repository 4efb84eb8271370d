/** Problems of Gitaly's pods on Kubernetes, their nodes and disruption budgets. Pure. */
import { durationText, listText, timeText } from '../../lib/format.ts';
import { type Identity, identityKey, identityText } from '../../sources/identity.ts';
import type {
  OngoingRotation,
  RotationCause,
  RotationPhase,
} from '../../sources/kubernetes/rotation/rotation.ts';
import { isSamePod, type KubernetesView, type PodView } from '../../sources/kubernetes/view.ts';
import { type StartFailure, startFailureOf } from '../../sources/kubernetes/waiting.ts';
import type { Thresholds } from '../thresholds.ts';
import { kubernetesClusterProblems } from './kubernetes-cluster.ts';
import { type Problem, problem } from './problem.ts';

export interface KubernetesSituation {
  readonly view: KubernetesView;
  /** Gitalys whose OOM kills an exporter on their node reports, with the level. */
  readonly watchedOnNode: readonly Identity[];
  /** Gitalys that serve a storage of Praefect: other replicas may serve while one of them does not. */
  readonly behindPraefect: readonly Pick<Identity, 'namespace' | 'pod'>[];
  readonly thresholds: Thresholds;
  /** Seconds since 1970. */
  readonly now: number;
}

export const kubernetesProblems = (situation: KubernetesSituation): readonly Problem[] => [
  ...podProblems(situation),
  ...terminatingProblems(situation),
  ...oomProblems(situation),
  ...rotationProblems(situation),
  ...kubernetesClusterProblems(situation.view, situation.thresholds),
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
    const stuck = pod && startFailureOf(pod.waitingReasons);
    const isNodeLost = view.nodes.some(({ name, isReady }) => name === identity.node && !isReady);
    return problem('pod_not_ready', {
      of: `${identity.namespace}/${identity.pod}`,
      title: `${identityText(identity)} ${isKept(pod) ? 'is kept by its finalizers' : titleOf(stuck, rotation, isNodeLost)}`,
      subject: identityText(identity),
      labels: { namespace: identity.namespace, pod: identity.pod },
      detail: sentences([
        ...progressText(stuck, rotation, pod?.terminated),
        ...finalizersText(pod?.finalizers),
        pod?.warning ?? view.missing.find((each) => isSamePod(each, identity))?.reason,
      ]),
      action: isKept(pod)
        ? finalizersAction(identity, pod.finalizers)
        : actionOf(identity, stuck, rotation, isNodeLost, view),
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
    .map(({ namespace, pod, node, startedAt = now * 1000 }) => {
      const finalizers = view.pods.find(({ identity }) =>
        isSamePod(identity, { namespace, pod }),
      )?.finalizers;
      return problem('pod_stuck_terminating', {
        of: `${namespace}/${pod}`,
        title: `${namespace}/${pod} has been terminating for ${durationText(now * 1000 - startedAt)}`,
        subject: identityText({ namespace, pod, node }),
        labels: { namespace, pod },
        detail: sentences(['It is still Ready and serves requests', ...finalizersText(finalizers)]),
        action:
          finalizers === undefined
            ? `See what delays it: kubectl -n ${namespace} get pod ${pod} -o yaml`
            : finalizersAction({ namespace, pod }, finalizers),
        since: startedAt / 1000,
      });
    });

type KeptPod = PodView & { readonly finalizers: readonly string[] };

/** Its containers have ended, and its finalizers keep the object, so that no new pod of its name can be created. */
const isKept = (pod: PodView | undefined): pod is KeptPod =>
  pod?.finalizers !== undefined && pod.terminated !== undefined;

const finalizersText = (finalizers: readonly string[] | undefined): readonly string[] =>
  finalizers === undefined ? [] : [`It is removed only when its finalizers are: ${listText(finalizers)}`];

const finalizersAction = (
  { namespace, pod }: Pick<Identity, 'namespace' | 'pod'>,
  finalizers: readonly string[],
): string =>
  `Find out why the controller of ${listText(finalizers)} does not remove it. Once it is certain that nothing needs it: kubectl -n ${namespace} patch pod ${pod} --type=merge -p '{"metadata":{"finalizers":null}}'`;

const stuckTitles: Readonly<Record<StartFailure, string>> = {
  crash: 'is in a crash loop',
  image: 'cannot pull its image',
  config: 'cannot create a container',
};

function titleOf(
  stuck: StartFailure | undefined,
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
  stuck: StartFailure | undefined,
  rotation: OngoingRotation | undefined,
  terminated: string | undefined,
): readonly (string | undefined)[] {
  if (stuck !== undefined || rotation === undefined || rotation.cause === 'container_restart')
    return [terminated];
  const { cause, missing, phase, isNew } = rotation;
  const why = causes[cause];
  if (missing && phase !== 'terminating')
    return [why === undefined ? undefined : `Because of ${why}: the new pod is not created yet`];
  return [`${isNew || why === undefined ? 'Starting' : `Because of ${why}`}: ${phases[phase]}`];
}

function actionOf(
  { namespace, pod, node }: Identity,
  stuck: StartFailure | undefined,
  rotation: OngoingRotation | undefined,
  isNodeLost: boolean,
  { deletedSets }: KubernetesView,
): string {
  if (isNodeLost)
    return `Recover node ${node}, or, once it is certainly off, taint it (kubectl taint node ${node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute): only then is the pod created again.`;
  if (stuck === 'crash')
    return `Read its log: kubectl -n ${namespace} logs ${pod} --all-containers --previous`;
  if (rotation?.missing === true && deletedSets.some((set) => isSetOf(set, rotation)))
    return `Create its StatefulSet ${rotation.statefulSet} again, for example with helm upgrade.`;
  if (rotation?.missing === true)
    return `See why it is not created: kubectl -n ${namespace} describe statefulset ${rotation.statefulSet}`;
  return `See what it waits for: kubectl -n ${namespace} describe pod ${pod}`;
}

/** As the view names the container that runs Gitaly. A sidecar that is killed is not Gitaly. */
const gitalyContainerName = 'gitaly';

/**
 * Without Praefect each kill is an outage of the pod's repositories. Behind it, where an exporter on the node reports kills
 * with their level, these would be the same kills again.
 */
function oomProblems({
  behindPraefect,
  view,
  watchedOnNode,
  thresholds,
  now,
}: KubernetesSituation): Problem[] {
  const { oomRepeatedEvents, oomWindow } = thresholds;
  return view.pods.flatMap(({ earlierOomKills = [], identity, lastTerminations }): Problem[] => {
    const isReplicated = behindPraefect.some((each) => isSamePod(each, identity));
    const isWatched = watchedOnNode.some((each) => isSamePod(each, identity));
    if (isReplicated && isWatched) return [];
    const last = lastTerminations.filter(
      ({ container, reason }) => container === gitalyContainerName && reason === 'OOMKilled',
    );
    const kills = [...last.map(({ finishedAt }) => finishedAt), ...earlierOomKills].filter(
      (at) => now - at / 1000 < oomWindow.value,
    );
    const [newest] = kills;
    if (newest === undefined) return [];
    const isLoop = !isWatched && kills.length >= oomRepeatedEvents.value;
    const kind = isReplicated ? 'gitaly_oom_killed' : 'gitaly_container_oom_killed';
    return [
      problem(isLoop ? 'gitaly_oom_killed_repeatedly' : kind, {
        of: identityKey(identity),
        title: isLoop
          ? `${identityText(identity)}: OOM-killed ${kills.length} times in ${durationText(oomWindow.value * 1000)}`
          : `${identityText(identity)}: container ${gitalyContainerName} was OOM-killed and restarted`,
        subject: identityText(identity),
        labels: { ...identity, ...(isReplicated ? { level: 'container' } : {}) },
        detail: `${isLoop ? 'Newest at' : 'At'} ${timeText(newest)}. All requests in progress failed${isReplicated ? '' : ', and its repositories were unavailable until it was Ready again'}.`,
        action:
          "Compare its memory limit with its usage, and cgroups.memory_bytes with the limit: Git's processes should reach their limit before the container does.",
        since: (kills.at(-1) ?? newest) / 1000,
      }),
    ];
  });
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

const isSetOf = (
  { namespace, name }: KubernetesView['deletedSets'][number],
  rotation: OngoingRotation,
): boolean => namespace === rotation.namespace && name === rotation.statefulSet;

const sentences = (parts: readonly (string | undefined)[]): string =>
  parts
    .filter((part) => part !== undefined && part !== '')
    .map((part) => `${part?.charAt(0).toUpperCase()}${part?.slice(1).replace(/\.$/, '')}.`)
    .join(' ');
