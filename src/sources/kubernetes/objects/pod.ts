/** Parses core/v1 Pods; spec and status of each container are merged into one value. */
import {
  countOf,
  elementsOf,
  type Fields,
  fieldsOf,
  flagOf,
  integerOf,
  Malformed,
  nameIn,
  objectOf,
  type Parsed,
  parsed,
  quantityOf,
  textOf,
  timeOf,
} from './fields.ts';
import { conditionsOf, metaOf } from './meta.ts';
import { labelSelectorOf, selects } from './selector.ts';
import type { Container, ContainerProbe, Meta, Pod, Resources, Termination } from './types.ts';

export const podOf = (raw: unknown): Parsed<Pod> =>
  parsed(() => {
    const object = objectOf(raw, 'Pod');
    const meta = metaOf(object);
    const spec = fieldsOf(object['spec']);
    const status = fieldsOf(object['status']);
    const { containers, initContainers, resources, ...ofSpec } = specOf(spec);
    return {
      kind: 'Pod',
      ...meta,
      phase: textOf(status['phase'], 64),
      reason: textOf(status['reason'], 256),
      qosClass: textOf(status['qosClass'], 64),
      ip: textOf(status['podIP'], 64),
      conditions: conditionsOf(status['conditions']),
      containers: withStatuses(containers, status['containerStatuses']),
      initContainers: withStatuses(initContainers, status['initContainerStatuses']),
      startTime: timeOf(status['startTime']),
      resources: appliedResources(status['resources'], resources),
      ...ofSpec,
      antiAffinity: antiAffinityOf(fieldsOf(fieldsOf(spec['affinity'])['podAntiAffinity']), meta),
    };
  });

/** What a pod has of its spec alone. */
type PodSpec = ReturnType<typeof parseSpec>;

/** By the object that JSON.parse made, which is the same in several events of one pod. */
const knownSpecs = new WeakMap<Fields, PodSpec>();

function specOf(raw: Fields): PodSpec {
  const known = knownSpecs.get(raw);
  if (known !== undefined) return known;
  const spec = parseSpec(raw);
  knownSpecs.set(raw, spec);
  return spec;
}

function parseSpec(raw: Fields) {
  const security = fieldsOf(raw['securityContext']);
  return {
    node: textOf(raw['nodeName'], 253),
    priorityClass: textOf(raw['priorityClassName'], 253),
    priority: integerOf(raw['priority']),
    containers: elementsOf(raw['containers']).map(containerSpecOf),
    initContainers: elementsOf(raw['initContainers']).map(containerSpecOf),
    terminationGracePeriodSeconds: integerOf(raw['terminationGracePeriodSeconds']),
    fsGroupChangePolicy: textOf(security['fsGroupChangePolicy'], 64),
    fsGroup: integerOf(security['fsGroup']),
    runAsUser: integerOf(security['runAsUser']),
    hostUsers: typeof raw['hostUsers'] === 'boolean' ? raw['hostUsers'] : undefined,
    preemptionPolicy: textOf(raw['preemptionPolicy'], 64),
    resources: resourcesOf(raw['resources']),
    overhead: overheadOf(raw['overhead']),
    ...volumesOf(raw['volumes']),
  };
}

function overheadOf(raw: unknown): Pod['overhead'] {
  if (raw === undefined || raw === null) return undefined;
  const { memory, cpu } = fieldsOf(raw);
  return { memory: quantityOf(memory), cpu: quantityOf(cpu) };
}

function antiAffinityOf(raw: Fields, pod: Meta): Pod['antiAffinity'] {
  const required = elementsOf(raw['requiredDuringSchedulingIgnoredDuringExecution']);
  const preferred = elementsOf(raw['preferredDuringSchedulingIgnoredDuringExecution']).map(
    (each) => fieldsOf(each)['podAffinityTerm'],
  );
  const topologyKeys = (terms: readonly unknown[]): string[] =>
    terms
      .map(fieldsOf)
      .flatMap((term) => (matchesOwnPod(term, pod) ? [textOf(term['topologyKey'], 320)] : []));
  return { required: topologyKeys(required), preferred: topologyKeys(preferred) };
}

/** A namespaceSelector matches the pod's own namespace for certain only when it is empty. */
function matchesOwnPod(term: Fields, pod: Meta): boolean {
  const selector = labelSelectorOf(term['labelSelector']);
  if (selector === undefined || !selects(selector, pod.labels)) return false;
  const namespaces = elementsOf(term['namespaces']);
  const namespaceSelector = term['namespaceSelector'];
  if (namespaceSelector === undefined || namespaceSelector === null)
    return namespaces.length === 0 || namespaces.includes(pod.namespace);
  return Object.keys(fieldsOf(namespaceSelector)).length === 0 || namespaces.includes(pod.namespace);
}

function volumesOf(raw: unknown): Pick<Pod, 'claims' | 'configMaps'> {
  const volumes = elementsOf(raw).map(fieldsOf);
  const sources = volumes.flatMap((volume) => [
    volume,
    ...elementsOf(fieldsOf(volume['projected'])['sources']).map(fieldsOf),
  ]);
  return {
    claims: distinctNames(volumes.map((volume) => fieldsOf(volume['persistentVolumeClaim'])['claimName'])),
    configMaps: distinctNames(sources.map((source) => fieldsOf(source['configMap'])['name'])),
  };
}

const distinctNames = (values: readonly unknown[]): string[] => [
  ...new Set(values.map((value) => textOf(value, 253)).filter((value) => value !== '')),
];

/** What a container has of its spec alone. */
type ContainerSpec = Omit<Container, keyof ContainerStatus>;
type ContainerStatus = Pick<Container, 'id' | 'started' | 'restartCount' | 'state' | 'lastTermination'>;

function containerSpecOf(raw: unknown): ContainerSpec {
  const spec = fieldsOf(raw);
  return {
    name: nameIn(spec['name'], 'the name of a container'),
    image: textOf(spec['image'], 1024),
    resources: resourcesOf(spec['resources']),
    env: envOf(spec['env']),
    ports: portsOf(spec['ports']),
    portNumbers: elementsOf(spec['ports']).flatMap(
      (each) => integerOf(fieldsOf(each)['containerPort']) ?? [],
    ),
    startupProbe: probeOf(spec['startupProbe']),
    readinessProbe: probeOf(spec['readinessProbe']),
    runAsUser: integerOf(fieldsOf(spec['securityContext'])['runAsUser']),
    sidecar: spec['restartPolicy'] === 'Always',
  };
}

/** Spec and status are matched by the container's name. */
function withStatuses(specs: readonly ContainerSpec[], statuses: unknown): readonly Container[] {
  const byName = new Map(elementsOf(statuses).map((each) => [fieldsOf(each)['name'], fieldsOf(each)]));
  return specs.map((spec) => {
    const status = byName.get(spec.name) ?? {};
    const resources = appliedResources(status['resources'], spec.resources);
    return { ...spec, resources, ...containerStatusOf(spec.name, status) };
  });
}

/**
 * Those that the kubelet applied, where it reports them (Kubernetes >= 1.33): the spec has what a resize in place is to
 * reach, also while the node has too little memory for it.
 */
const appliedResources = (reported: unknown, wanted: Resources): Resources =>
  Object.keys(fieldsOf(reported)).length === 0 ? wanted : resourcesOf(reported);

const containerStatusOf = (name: string, status: Fields): ContainerStatus => ({
  id: textOf(status['containerID'], 256),
  started: flagOf(status['started'], `started of container ${name}`),
  restartCount: countOf(status['restartCount'], `restartCount of container ${name}`),
  state: stateOf(status['state']),
  lastTermination: terminationOf(fieldsOf(status['lastState'])['terminated']),
});

/** Requests and limits of memory (bytes) and CPU (cores). What is not set, or is not a quantity, is absent. */
function resourcesOf(raw: unknown): Resources {
  const { requests, limits } = fieldsOf(raw);
  return {
    memoryRequest: quantityOf(fieldsOf(requests)['memory']),
    memoryLimit: quantityOf(fieldsOf(limits)['memory']),
    cpuRequest: quantityOf(fieldsOf(requests)['cpu']),
    cpuLimit: quantityOf(fieldsOf(limits)['cpu']),
  };
}

const usedVariables: ReadonlySet<unknown> = new Set(['GOMEMLIMIT']);

function envOf(raw: unknown): Container['env'] {
  const used = elementsOf(raw, 2048).flatMap((each) => {
    const { name, value } = fieldsOf(each);
    return typeof name === 'string' && usedVariables.has(name) && typeof value === 'string'
      ? [[name, textOf(value)] as const]
      : [];
  });
  return Object.fromEntries(used);
}

function portsOf(raw: unknown): Container['ports'] {
  const named = elementsOf(raw).flatMap((each) => {
    const { name, containerPort } = fieldsOf(each);
    const port = integerOf(containerPort);
    return typeof name === 'string' && name !== '' && port !== undefined
      ? [[textOf(name), port] as const]
      : [];
  });
  return Object.fromEntries(named);
}

/** The API server fills in defaults, and omits zeros. */
function probeOf(raw: unknown): ContainerProbe | undefined {
  if (raw === undefined || raw === null) return undefined;
  const probe = fieldsOf(raw);
  const seconds = (key: keyof ContainerProbe): number => countOf(probe[key], `${key} of a probe`);
  return {
    initialDelaySeconds: seconds('initialDelaySeconds'),
    periodSeconds: seconds('periodSeconds'),
    successThreshold: seconds('successThreshold'),
  };
}

function stateOf(raw: unknown): Container['state'] {
  const { waiting, running, terminated } = fieldsOf(raw);
  const termination = terminationOf(terminated);
  if (termination !== undefined) return { kind: 'terminated', ...termination };
  if (isObject(running)) return { kind: 'running', startedAt: timeOf(fieldsOf(running)['startedAt']) };
  if (isObject(waiting)) return { kind: 'waiting', reason: textOf(fieldsOf(waiting)['reason'], 256) };
  return { kind: 'unknown' };
}

function terminationOf(raw: unknown): Termination | undefined {
  if (!isObject(raw)) return undefined;
  const { reason, exitCode, startedAt, finishedAt } = fieldsOf(raw);
  return {
    reason: textOf(reason, 256),
    exitCode: exitCodeOf(exitCode),
    startedAt: timeOf(startedAt),
    finishedAt: timeOf(finishedAt),
  };
}

/** No default: 0 would mean that the container succeeded. */
function exitCodeOf(value: unknown): number {
  const code = integerOf(value);
  if (code === undefined) throw new Malformed('the exit code of a container is not a number');
  return code;
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
