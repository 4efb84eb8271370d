/** Parses StatefulSets, PodDisruptionBudgets, nodes, events and ConfigMaps. */
import {
  countOf,
  elementsOf,
  type Fields,
  fieldsOf,
  flagOf,
  integerOf,
  Malformed,
  messageOf,
  objectOf,
  type Parsed,
  parsed,
  shortText,
  textOf,
  timeOf,
} from './fields.ts';
import { anyLabel, conditionsOf, isNodeLabel, maxLabels, metaOf, stringsOf } from './meta.ts';
import { labelSelectorOf } from './selector.ts';
import type { ConfigMap, KubeEvent, Node, PodDisruptionBudget, StatefulSet } from './types.ts';

/** The API server writes it into each object that omits it. */
const defaultReplicas = 1;

const generationOf = (value: unknown, what: string): number => countOf(value, what, Number.MAX_SAFE_INTEGER);

/** apps/v1 */
export const statefulSetOf = (raw: unknown): Parsed<StatefulSet> =>
  parsed(() => {
    const object = objectOf(raw, 'StatefulSet');
    const spec = fieldsOf(object['spec']);
    const status = fieldsOf(object['status']);
    const strategy = fieldsOf(spec['updateStrategy']);
    return {
      kind: 'StatefulSet',
      ...metaOf(object),
      generation: generationOf(fieldsOf(object['metadata'])['generation'], 'metadata.generation'),
      observedGeneration: generationOf(status['observedGeneration'], 'status.observedGeneration'),
      replicas: countOf(spec['replicas'] ?? defaultReplicas, 'spec.replicas'),
      ordinalsStart: countOf(fieldsOf(spec['ordinals'])['start'], 'spec.ordinals.start'),
      readyReplicas: countOf(status['readyReplicas'], 'status.readyReplicas'),
      updatedReplicas: countOf(status['updatedReplicas'], 'status.updatedReplicas'),
      currentRevision: textOf(status['currentRevision'], 320),
      updateRevision: textOf(status['updateRevision'], 320),
      updateStrategy: textOf(strategy['type'], 64),
      partition: countOf(
        fieldsOf(strategy['rollingUpdate'])['partition'],
        'partition of the update strategy',
      ),
      selector: labelSelectorOf(spec['selector'])?.labels ?? {},
      template: templateOf(spec['template']),
    };
  });

/** Without it, it would be unknown which set wants Gitaly's pods. */
function templateOf(raw: unknown): StatefulSet['template'] {
  const { metadata, spec } = fieldsOf(raw);
  if (metadata === undefined && spec === undefined) throw new Malformed(`spec.template is ${shortText(raw)}`);
  return {
    labels: stringsOf(fieldsOf(metadata)['labels'], anyLabel, maxLabels),
    containers: elementsOf(fieldsOf(spec)['containers']).map((each) => ({
      name: textOf(fieldsOf(each)['name'], 253),
    })),
  };
}

/** policy/v1 */
export const disruptionBudgetOf = (raw: unknown): Parsed<PodDisruptionBudget> =>
  parsed(() => {
    const object = objectOf(raw, 'PodDisruptionBudget');
    const spec = fieldsOf(object['spec']);
    const status = fieldsOf(object['status']);
    const pods = (key: string): number => countOf(status[key], `status.${key}`);
    const selector = labelSelectorOf(spec['selector']);
    return {
      kind: 'PodDisruptionBudget',
      ...metaOf(object),
      selector: selector?.labels ?? {},
      labelSelector: selector,
      // The Eviction API refuses all evictions until the status is of the present generation.
      disruptionsAllowed: isStatusOutdated(object) ? 0 : pods('disruptionsAllowed'),
      currentHealthy: pods('currentHealthy'),
      desiredHealthy: pods('desiredHealthy'),
      expectedPods: pods('expectedPods'),
      maxUnavailable: intOrString(spec['maxUnavailable']),
      minAvailable: intOrString(spec['minAvailable']),
    };
  });

function isStatusOutdated(object: Fields): boolean {
  const generation = generationOf(fieldsOf(object['metadata'])['generation'], 'metadata.generation');
  const observed = generationOf(
    fieldsOf(object['status'])['observedGeneration'],
    'status.observedGeneration',
  );
  return observed < generation;
}

/** policy/v1beta1, served up to Kubernetes 1.24: there an empty selector covers no pod, in v1 all of them. */
export const betaDisruptionBudgetOf = (raw: unknown): Parsed<PodDisruptionBudget> => {
  const budget = disruptionBudgetOf(raw);
  if (!budget.ok) return budget;
  const { labelSelector, ...others } = budget.object;
  const isEmpty =
    labelSelector === undefined ||
    (Object.keys(labelSelector.labels).length === 0 && labelSelector.expressions.length === 0);
  return isEmpty ? { ok: true, object: others } : budget;
};

/** Kubernetes' IntOrString: 1, "25%". */
const intOrString = (value: unknown): string =>
  typeof value === 'number' && Number.isInteger(value) ? String(value) : textOf(value, 64);

/** core/v1 */
export const nodeOf = (raw: unknown): Parsed<Node> =>
  parsed(() => {
    const object = objectOf(raw, 'Node');
    const spec = fieldsOf(object['spec']);
    const status = fieldsOf(object['status']);
    const info = fieldsOf(status['nodeInfo']);
    return {
      kind: 'Node',
      ...metaOf(object, isNodeLabel),
      unschedulable: flagOf(spec['unschedulable'], 'spec.unschedulable'),
      conditions: conditionsOf(status['conditions']),
      taints: elementsOf(spec['taints'])
        .map(fieldsOf)
        .map(({ key, effect }) => ({ key: textOf(key, 320), effect: textOf(effect, 64) })),
      kubeletVersion: textOf(info['kubeletVersion'], 128),
      runtimeVersion: textOf(info['containerRuntimeVersion'], 128),
      kernelVersion: textOf(info['kernelVersion'], 128),
      swapBytes: integerOf(fieldsOf(info['swap'])['capacity']),
    };
  });

/**
 * core/v1 and events.k8s.io/v1, which name the same fields differently. Events of the scheduler and of newer
 * controllers have eventTime and perhaps a series, with firstTimestamp, lastTimestamp and count null; those of a
 * kubelet have the latter three.
 */
export const eventOf = (raw: unknown): Parsed<KubeEvent> =>
  parsed(() => {
    const event = objectOf(raw, 'Event');
    const about = fieldsOf(event['involvedObject'] ?? event['regarding']);
    const series = fieldsOf(event['series']);
    const eventTime = timeOf(event['eventTime']);
    return {
      kind: 'Event',
      ...metaOf(event),
      reason: textOf(event['reason'], 256),
      type: textOf(event['type'], 64),
      message: messageOf(event['message'] ?? event['note']),
      about: {
        kind: textOf(about['kind'], 253),
        namespace: textOf(about['namespace'], 253),
        name: textOf(about['name'], 253),
        uid: textOf(about['uid'], 128),
      },
      count: Math.max(
        1,
        countOf(event['count'] ?? event['deprecatedCount'], 'count'),
        countOf(series['count'], 'series.count'),
      ),
      firstAt: timeOf(event['firstTimestamp']) ?? timeOf(event['deprecatedFirstTimestamp']) ?? eventTime,
      lastAt:
        timeOf(series['lastObservedTime']) ??
        timeOf(event['lastTimestamp']) ??
        timeOf(event['deprecatedLastTimestamp']) ??
        eventTime,
    };
  });

const configurationKeys = ['config.toml.tpl', 'config.toml'] as const;
const maxConfigurationLength = 1024 * 1024;

/** core/v1. A configuration over the limit is absent: a part of it would be another configuration. */
export const configMapOf = (raw: unknown): Parsed<ConfigMap> =>
  parsed(() => {
    const object = objectOf(raw, 'ConfigMap');
    const data = fieldsOf(object['data']);
    const used = configurationKeys.flatMap((key) => {
      const value = data[key];
      return typeof value === 'string' && value.length <= maxConfigurationLength
        ? [[key, value] as const]
        : [];
    });
    return { kind: 'ConfigMap', ...metaOf(object), data: Object.fromEntries(used) };
  });
