/** Pods. */
import { conditionsOf } from './condition.ts';
import { containersOf, resourcesOf } from './container.ts';
import { metaOf } from './meta.ts';
import { quantityOf } from './quantity.ts';
import { type Fields, fields, integer, members, objectOf, type Parsed, parsed, text } from './reading.ts';
import { labelSelectorOf, selects } from './selector.ts';
import { timeOf } from './time.ts';
import type { Meta, Pod } from './types.ts';

/** core/v1 Pod. */
export const podOf = (raw: unknown): Parsed<Pod> =>
  parsed(() => {
    const object = objectOf(raw, 'Pod');
    const meta = metaOf(object);
    const spec = fields(object['spec']);
    const status = fields(object['status']);
    const security = fields(spec['securityContext']);
    return {
      kind: 'Pod',
      ...meta,
      node: text(spec['nodeName'], 253),
      phase: text(status['phase'], 64),
      reason: text(status['reason'], 256),
      message: text(status['message'], 1024),
      qosClass: text(status['qosClass'], 64),
      priorityClass: text(spec['priorityClassName'], 253),
      priority: integer(spec['priority']),
      ip: text(status['podIP'], 64),
      conditions: conditionsOf(status['conditions']),
      containers: containersOf(spec['containers'], status['containerStatuses']),
      initContainers: containersOf(spec['initContainers'], status['initContainerStatuses']),
      startTime: timeOf(status['startTime']),
      terminationGracePeriodSeconds: integer(spec['terminationGracePeriodSeconds']),
      fsGroupChangePolicy: text(security['fsGroupChangePolicy'], 64),
      runAsUser: integer(security['runAsUser']),
      resources: resourcesOf(spec['resources']),
      ...overheadOf(spec['overhead']),
      antiAffinity: antiAffinityOf(fields(fields(spec['affinity'])['podAntiAffinity']), meta),
      ...volumesOf(spec['volumes']),
    };
  });

function overheadOf(raw: unknown): Pick<Pod, 'overhead'> {
  if (raw === undefined || raw === null) return {};
  const { memory, cpu } = fields(raw);
  return { overhead: { memory: quantityOf(memory), cpu: quantityOf(cpu) } };
}

function antiAffinityOf(raw: Fields, pod: Meta): Pod['antiAffinity'] {
  const required = members(raw['requiredDuringSchedulingIgnoredDuringExecution']);
  const preferred = members(raw['preferredDuringSchedulingIgnoredDuringExecution']).map(
    (each) => fields(each)['podAffinityTerm'],
  );
  const keys = (terms: readonly unknown[]): string[] =>
    terms.map(fields).flatMap((term) => (isOfItsOwn(term, pod) ? [text(term['topologyKey'], 320)] : []));
  return { required: keys(required), preferred: keys(preferred) };
}

/** The term keeps the pod away from its like. A namespaceSelector says that for sure only when it is empty. */
function isOfItsOwn(term: Fields, pod: Meta): boolean {
  const selector = labelSelectorOf(term['labelSelector']);
  if (selector === undefined || !selects(selector, pod.labels)) return false;
  const listed = members(term['namespaces']);
  const others = term['namespaceSelector'];
  if (others !== undefined && others !== null && Object.keys(fields(others)).length === 0) return true;
  return listed.includes(pod.namespace) || (listed.length === 0 && (others === undefined || others === null));
}

function volumesOf(raw: unknown): Pick<Pod, 'claims' | 'configMaps'> {
  const volumes = members(raw).map(fields);
  const sources = volumes.flatMap((volume) => [
    volume,
    ...members(fields(volume['projected'])['sources']).map(fields),
  ]);
  return {
    claims: names(volumes.map((volume) => fields(volume['persistentVolumeClaim'])['claimName'])),
    configMaps: names(sources.map((source) => fields(source['configMap'])['name'])),
  };
}

const names = (values: readonly unknown[]): string[] => [
  ...new Set(values.map((value) => text(value, 253)).filter((value) => value !== '')),
];
