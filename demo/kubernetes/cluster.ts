/**
 * The simulated control plane and kubelets of the demo: a StatefulSet of Gitaly with its pods, nodes, budget and
 * events. It reconciles continuously, as Kubernetes does: incidents delete pods or change a node or the template,
 * and the pods return when the cause is removed.
 */
import type { Clock } from '../../src/lib/clock.ts';
import type { DemoNode } from '../node/node.ts';
import { containerId, demoPods } from '../node/pods.ts';
import type { Random, World } from '../world.ts';
import { createObjectStore, type ObjectStore } from './api-server.ts';
import { createEventRecorder, type NewEvent } from './events.ts';
import { createDemoNodes, workerNames } from './nodes.ts';
import {
  allowedDisruptions,
  type ContainerTermination,
  configMapObject,
  disruptionBudgetObject,
  goodImage,
  graceSeconds,
  type PodModel,
  podObject,
  statefulSetObject,
  statefulSetReference,
  statsSummary,
} from './objects.ts';

interface DemoKubernetesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly world: Pick<World, 'gitaly'>;
  readonly node: Pick<DemoNode, 'pod' | 'startPod' | 'removePod'>;
  /** Port of the storage's /metrics on the loopback. */
  readonly metricsPort?: (storage: string) => number | undefined;
  /** config.toml.tpl of the pods. */
  readonly configuration?: string;
  /** Divides all durations; for tests. Default 1. */
  readonly speed?: number;
}

export interface DemoKubernetes {
  readonly store: ObjectStore;
  /** The kubelet's stats/summary; undefined for an unknown node. */
  statsSummary(node: string): object | undefined;
  /** The node of the storage's pod; undefined while it has none. */
  nodeOf(storage: string): string | undefined;
  isReady(storage: string): boolean;
  /** Deletes the pod, as `kubectl delete pod`. The StatefulSet replaces it. */
  deletePod(storage: string): void;
  /** Evicts the pod through the API, as `kubectl drain`. False: the disruption budget does not allow it. */
  evictPod(storage: string): boolean;
  /** The kubelet evicts the pod because of memory pressure on its node. */
  evictForMemory(storage: string): void;
  setCordoned(node: string, isCordoned: boolean): void;
  setMemoryPressure(node: string, isUnderPressure: boolean): void;
  /** Nodes without free memory for a Gitaly pod: the scheduler does not use them. */
  readonly fullNodes: Set<string>;
  /** Reports the OOM kill of Gitaly's container, which stays down until `restartContainer`. */
  containerOomKilled(storage: string): void;
  restartContainer(storage: string): void;
  /** Changes the StatefulSet's template, as `helm upgrade` or `kubectl rollout restart`; starts a rolling update. */
  updateTemplate(change: { readonly image?: string }): void;
  /** Restores the template before the last update, as `kubectl rollout undo`. */
  undoTemplate(): void;
  /** Whether all pods have the current template and are Ready. */
  isRolledOut(): boolean;
  run(signal: AbortSignal): Promise<void>;
}

const tickMs = 250;
const durations = {
  /** Gitaly's graceful shutdown. */
  terminate: 6000,
  /** From the scheduling to the attached volume. */
  volume: 4000,
  /** Until a volume is detached from the pod's previous node. */
  detach: 6000,
  init: 1500,
  /** From the start of the container to Ready. */
  start: 3000,
  /** Between two attempts of the scheduler. */
  schedule: 5000,
  /** Between two attempts to pull an image. */
  pull: 8000,
} as const;

type PodStage =
  | 'pending'
  | 'volume'
  | 'init'
  | 'pull_failed'
  | 'starting'
  | 'ready'
  /** The container is down: its process exited, or was killed. */
  | 'down'
  | 'terminating';

interface ManagedPod {
  readonly model: PodModel;
  stage: PodStage;
  /** Clock.monotonic() of the last change of the stage, or of the last attempt in it. */
  stageSince: number;
  /** In the current stage. */
  isFirstAttempt: boolean;
  /** It was scheduled on another node than its predecessor. */
  isMoved: boolean;
}

interface Template {
  readonly image: string;
  readonly revision: string;
  readonly generation: number;
}

export function createDemoKubernetes(options: DemoKubernetesOptions): DemoKubernetes {
  const { clock, random, world, node: cgroups, metricsPort = () => undefined, speed = 1 } = options;
  const store = createObjectStore();
  const startedAt = clock.now();
  const pods = new Map<string, ManagedPod>();
  const nodes = createDemoNodes(store, clock);
  const lastNodes = new Map(demoPods.map(({ storage }, index) => [storage, workerNames[index] ?? '']));
  /** Storages whose process a termination stopped; the next container starts it again. */
  const stoppedProcesses = new Set<string>();
  let template: Template = { image: goodImage, revision: 'gitaly-6c9f4d8b57', generation: 1 };
  let previousTemplate = template;
  let currentRevision = template.revision;

  const hex = (length: number): string =>
    Array.from({ length }, () => random.below(16).toString(16)).join('');
  const newUid = (): string => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
  const addEvent = createEventRecorder(store, clock, newUid);

  // --- Publishing

  function publish({ model }: ManagedPod): void {
    store.put('pods', podObject(model, metricsPort(model.spec.storage)));
    publishControllers();
  }

  /** Pods that are Ready and not being deleted. */
  const countHealthy = (): number =>
    [...pods.values()].filter(({ model }) => model.isReady && model.deletion === undefined).length;

  let lastControllers = '';
  function publishControllers(): void {
    const readyReplicas = countHealthy();
    const updated = [...pods.values()].filter(({ model }) => model.revision === template.revision);
    if (updated.length === demoPods.length && readyReplicas === demoPods.length)
      currentRevision = template.revision;
    const set = statefulSetObject({
      ...{ createdAt: startedAt, generation: template.generation, image: template.image },
      ...{ currentRevision, updateRevision: template.revision },
      ...{ readyReplicas, updatedReplicas: updated.length },
    });
    const budget = disruptionBudgetObject(startedAt, readyReplicas);
    const text = JSON.stringify([set, budget]);
    if (text === lastControllers) return;
    lastControllers = text;
    store.put('statefulsets', set);
    store.put('poddisruptionbudgets', budget);
  }

  const podEvent = (
    { model: { spec } }: ManagedPod,
    type: NewEvent['type'],
    reason: string,
    message: string,
    component = 'kubelet',
  ): void =>
    addEvent({
      about: { kind: 'Pod', name: spec.storage, uid: spec.uid },
      ...{ type, reason, message },
      component,
    });

  function setCondition(
    model: PodModel,
    type: string,
    isTrue: boolean,
    reason?: string,
    message?: string,
  ): void {
    const status = isTrue ? 'True' : 'False';
    const before = model.conditions.get(type);
    const at = before?.status === status ? before.at : clock.now();
    model.conditions.set(type, {
      ...{ status, at },
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
    });
  }

  function setReady(
    model: PodModel,
    isReady: boolean,
    reason = isReady ? undefined : 'ContainersNotReady',
  ): void {
    model.isReady = isReady;
    setCondition(model, 'ContainersReady', isReady, reason);
    setCondition(model, 'Ready', isReady, reason);
  }

  function enter(pod: ManagedPod, stage: PodStage): void {
    pod.stage = stage;
    pod.stageSince = clock.monotonic();
    pod.isFirstAttempt = true;
    publish(pod);
  }

  // --- Lifecycle of a pod

  function createPod(storage: string, uid: string): ManagedPod {
    const first = demoPods.find((pod) => pod.storage === storage);
    if (first === undefined) throw new RangeError(`no pod ${storage}`);
    const pod: ManagedPod = {
      model: {
        ...{ spec: { ...first, uid }, image: template.image, revision: template.revision },
        ...{ createdAt: clock.now(), node: '', startTime: undefined, deletion: undefined },
        ...{ phase: 'Pending', reason: '', message: '', conditions: new Map() },
        ...{ state: { kind: 'waiting', reason: 'PodInitializing' }, lastTermination: undefined },
        ...{ containerId: '', isStarted: false, isReady: false, restarts: 0 },
      },
      ...{ stage: 'pending', stageSince: Number.NEGATIVE_INFINITY, isFirstAttempt: true, isMoved: false },
    };
    pods.set(storage, pod);
    return pod;
  }

  function schedule(pod: ManagedPod): void {
    const { model } = pod;
    const taken = new Set([...pods.values()].map((each) => each.model.node));
    const preferred = lastNodes.get(model.spec.storage);
    const choice = nodes.choose(taken, preferred);
    if ('failure' in choice) {
      setCondition(model, 'PodScheduled', false, 'Unschedulable', choice.failure);
      podEvent(pod, 'Warning', 'FailedScheduling', choice.failure, 'default-scheduler');
      pod.stageSince = clock.monotonic();
      pod.isFirstAttempt = false;
      publish(pod);
      return;
    }
    const { node } = choice;
    model.node = node;
    pod.isMoved = node !== preferred;
    lastNodes.set(model.spec.storage, node);
    setCondition(model, 'PodScheduled', true);
    publish(pod);
    // The kubelet accepts the pod.
    model.startTime = clock.now();
    setCondition(model, 'PodReadyToStartContainers', false);
    setCondition(model, 'Initialized', false, 'ContainersNotInitialized');
    setReady(model, false);
    podEvent(pod, 'Normal', 'Scheduled', `assigned to ${node}`, 'default-scheduler');
    enter(pod, 'volume');
  }

  function pullAndStart(pod: ManagedPod): void {
    const { model } = pod;
    if (model.image === goodImage) {
      startContainer(pod);
      return;
    }
    const wait = { kind: 'waiting', message: `Back-off pulling image "${model.image}"` } as const;
    model.state = { ...wait, reason: pod.isFirstAttempt ? 'ErrImagePull' : 'ImagePullBackOff' };
    podEvent(pod, 'Warning', 'Failed', `Failed to pull image "${model.image}": not found`);
    if (pod.stage !== 'pull_failed') enter(pod, 'pull_failed');
    pod.stageSince = clock.monotonic();
    pod.isFirstAttempt = false;
    publish(pod);
  }

  function startContainer(pod: ManagedPod): void {
    const { model } = pod;
    const { storage } = model.spec;
    const started = cgroups.startPod(model.spec);
    model.containerId = started.containerId();
    setRunning(pod);
    if (stoppedProcesses.delete(storage)) world.gitaly(storage).process = 'running';
    podEvent(pod, 'Normal', 'Started', 'Started container gitaly');
  }

  function setRunning(pod: ManagedPod): void {
    const { model } = pod;
    model.phase = 'Running';
    model.state = { kind: 'running', startedAt: clock.now() };
    model.isStarted = true;
    enter(pod, 'starting');
  }

  function containerDown(pod: ManagedPod, reason: ContainerTermination['reason']): void {
    const { model } = pod;
    const now = clock.now();
    const since = model.state.kind === 'running' ? model.state.startedAt : now;
    const termination = { reason, exitCode: 137, startedAt: since, finishedAt: now };
    model.isStarted = false;
    setReady(model, false);
    // After its first restart, a container waits for its back-off before it is started again.
    if (model.restarts === 0) model.state = { kind: 'terminated', ...termination };
    else {
      const message = 'back-off restarting failed container=gitaly';
      model.state = { kind: 'waiting', reason: 'CrashLoopBackOff', message };
      model.lastTermination = termination;
      podEvent(pod, 'Warning', 'BackOff', 'Back-off restarting failed container gitaly');
    }
    enter(pod, 'down');
  }

  function restart(pod: ManagedPod): void {
    const { model } = pod;
    const group = cgroups.pod(model.spec.storage);
    group.restart();
    if (model.state.kind === 'terminated') {
      const { kind: _, ...termination } = model.state;
      model.lastTermination = termination;
    }
    model.restarts += 1;
    model.containerId = group.containerId();
    setRunning(pod);
    podEvent(pod, 'Normal', 'Started', 'Started container gitaly');
  }

  /**
   * Starts the deletion. A running Gitaly rejects new requests from here on, and its pod stays Ready until it ends.
   */
  function terminate(pod: ManagedPod): void {
    const { model } = pod;
    if (pod.stage === 'terminating') return;
    if (model.state.kind === 'running') {
      stopProcess(model.spec.storage);
      podEvent(pod, 'Normal', 'Killing', 'Stopping container gitaly');
    }
    model.deletion = { requestedAt: clock.now(), graceSeconds };
    enter(pod, 'terminating');
  }

  function stopProcess(storage: string): void {
    const gitaly = world.gitaly(storage);
    if (gitaly.process !== 'running') return;
    gitaly.process = 'dead';
    stoppedProcesses.add(storage);
  }

  /** The container ends permanently, as in a pod that is deleted or evicted. */
  function endContainer(pod: ManagedPod, phase: 'Succeeded' | 'Failed'): void {
    const { model } = pod;
    const now = clock.now();
    const startedAt = model.state.kind === 'running' ? model.state.startedAt : now;
    const outcome =
      phase === 'Succeeded'
        ? ({ reason: 'Completed', exitCode: 0 } as const)
        : ({ reason: 'Error', exitCode: 137 } as const);
    model.state = { kind: 'terminated', ...outcome, startedAt, finishedAt: now };
    model.isStarted = false;
    model.phase = phase;
    setReady(model, false, phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed');
    publish(pod);
  }

  function remove(pod: ManagedPod): void {
    const { model } = pod;
    const { storage, uid } = model.spec;
    if (model.state.kind === 'running') endContainer(pod, 'Succeeded');
    model.deletion = { requestedAt: clock.now(), graceSeconds: 0 };
    publish(pod);
    cgroups.removePod(storage);
    pods.delete(storage);
    store.remove('pods', uid);
    publishControllers();
  }

  // --- Reconciliation

  /** Advances a pod by the time in its stage, and by the state of its process in the simulated world. */
  function advance(storage: string, pod: ManagedPod): void {
    const { model, stage } = pod;
    const elapsed = (clock.monotonic() - pod.stageSince) * speed;
    const gitaly = world.gitaly(storage);
    switch (stage) {
      case 'pending':
        if (elapsed >= durations.schedule) schedule(pod);
        break;
      case 'volume':
        if (elapsed >= durations.volume + (pod.isMoved ? durations.detach : 0)) attachVolume(pod);
        break;
      case 'init':
        if (elapsed < durations.init) break;
        setCondition(model, 'Initialized', true);
        pullAndStart(pod);
        break;
      case 'pull_failed':
        if (elapsed >= durations.pull) pullAndStart(pod);
        break;
      case 'starting':
        if (gitaly.process === 'dead') containerDown(pod, 'Error');
        else if (elapsed >= durations.start && gitaly.process === 'running') {
          setReady(model, true);
          enter(pod, 'ready');
        }
        break;
      case 'ready':
        if (gitaly.process === 'dead') containerDown(pod, 'Error');
        else if (gitaly.process === 'stopped') probeFailed(pod);
        break;
      case 'down':
        if (gitaly.process !== 'dead') restart(pod);
        break;
      case 'terminating':
        if (elapsed >= (model.state.kind === 'running' ? durations.terminate : 0)) remove(pod);
        break;
    }
  }

  function attachVolume(pod: ManagedPod): void {
    setCondition(pod.model, 'PodReadyToStartContainers', true);
    const message = 'AttachVolume.Attach succeeded for volume "repo-data"';
    podEvent(pod, 'Normal', 'SuccessfulAttachVolume', message, 'attachdetach-controller');
    enter(pod, 'init');
  }

  /** The container keeps running without responding. */
  function probeFailed(pod: ManagedPod): void {
    setReady(pod.model, false);
    podEvent(pod, 'Warning', 'Unhealthy', 'Readiness probe failed: context deadline exceeded');
    enter(pod, 'starting');
  }

  /** Replaces one pod with an old revision at a time, the highest ordinal first, while all pods above are Ready. */
  function updatePods(): void {
    for (const { storage } of [...demoPods].reverse()) {
      const pod = pods.get(storage);
      if (pod === undefined || pod.stage === 'terminating') return;
      const isUpdated = pod.model.revision === template.revision;
      if (!isUpdated) terminate(pod);
      if (!isUpdated || !pod.model.isReady) return;
    }
  }

  function reconcile(): void {
    for (const { storage } of demoPods) {
      const pod = pods.get(storage);
      if (pod !== undefined) {
        advance(storage, pod);
        continue;
      }
      const created = createPod(storage, newUid());
      addEvent({
        about: statefulSetReference,
        ...{ type: 'Normal', reason: 'SuccessfulCreate', component: 'statefulset-controller' },
        message: `create Pod ${storage} in StatefulSet gitaly successful`,
      });
      publish(created);
    }
    updatePods();
  }

  function markDisrupted({ model }: ManagedPod, reason: string, message: string): void {
    setCondition(model, 'DisruptionTarget', true, reason, message);
  }

  // --- The start: all pods have been Ready for a while.

  store.put('configmaps', configMapObject(startedAt, options.configuration ?? ''));
  for (const { storage, uid } of demoPods) {
    const pod = createPod(storage, uid);
    const { model } = pod;
    model.node = lastNodes.get(storage) ?? '';
    model.startTime = startedAt;
    for (const type of ['PodScheduled', 'PodReadyToStartContainers', 'Initialized'])
      setCondition(model, type, true);
    model.containerId = containerId(model.spec, 'gitaly 0');
    setRunning(pod);
    setReady(model, true);
    enter(pod, 'ready');
  }

  return {
    store,
    fullNodes: nodes.full,
    statsSummary: (name) =>
      nodes.has(name)
        ? statsSummary(
            name,
            [...pods.values()]
              .filter(({ model }) => model.node === name)
              .map(({ model }) => model.spec.storage),
          )
        : undefined,
    nodeOf: (storage) => pods.get(storage)?.model.node || undefined,
    isReady: (storage) => pods.get(storage)?.stage === 'ready',
    deletePod(storage) {
      const pod = pods.get(storage);
      if (pod !== undefined) terminate(pod);
    },
    evictPod(storage) {
      const pod = pods.get(storage);
      if (pod === undefined || pod.stage === 'terminating') return true;
      if (allowedDisruptions(countHealthy()) === 0) return false;
      markDisrupted(pod, 'EvictionByEvictionAPI', 'Eviction API: evicting');
      publish(pod);
      terminate(pod);
      return true;
    },
    evictForMemory(storage) {
      const pod = pods.get(storage);
      if (pod === undefined || pod.stage === 'terminating') return;
      const message = 'The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi.';
      markDisrupted(pod, 'TerminationByKubelet', message);
      podEvent(pod, 'Warning', 'Evicted', message);
      stopProcess(storage);
      Object.assign(pod.model, { reason: 'Evicted', message });
      endContainer(pod, 'Failed');
      remove(pod);
    },
    setCordoned: (name, isCordoned) => nodes.set(name, { isCordoned }),
    setMemoryPressure(name, isUnderMemoryPressure) {
      nodes.set(name, { isUnderMemoryPressure });
      if (isUnderMemoryPressure)
        addEvent({
          about: { kind: 'Node', name, uid: name },
          ...{ type: 'Warning', reason: 'EvictionThresholdMet', component: 'kubelet' },
          message: 'Attempting to reclaim memory',
        });
    },
    containerOomKilled(storage) {
      world.gitaly(storage).process = 'dead';
      const pod = pods.get(storage);
      if (pod?.model.state.kind === 'running') containerDown(pod, 'OOMKilled');
    },
    restartContainer(storage) {
      const pod = pods.get(storage);
      if (pod?.stage === 'down') restart(pod);
      world.gitaly(storage).process = 'running';
    },
    updateTemplate({ image = template.image }) {
      previousTemplate = template;
      template = { image, revision: `gitaly-${hex(10)}`, generation: template.generation + 1 };
      publishControllers();
    },
    undoTemplate() {
      template = { ...previousTemplate, generation: template.generation + 1 };
      publishControllers();
    },
    isRolledOut: () =>
      demoPods.every(({ storage }) => {
        const pod = pods.get(storage);
        return pod?.stage === 'ready' && pod.model.revision === template.revision;
      }),
    async run(signal) {
      while (!signal.aborted) {
        reconcile();
        await clock.sleep(tickMs / speed, signal);
      }
    },
  };
}
