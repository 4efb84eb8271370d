/** StatefulSets. */
import { metaOf } from './meta.ts';
import { count, fields, objectOf, type Parsed, parsed, text } from './reading.ts';
import { labelSelectorOf } from './selector.ts';
import type { StatefulSet } from './types.ts';

/** apps/v1 StatefulSet. */
export const statefulSetOf = (raw: unknown): Parsed<StatefulSet> =>
  parsed(() => {
    const object = objectOf(raw, 'StatefulSet');
    const spec = fields(object['spec']);
    const status = fields(object['status']);
    const strategy = fields(spec['updateStrategy']);
    return {
      kind: 'StatefulSet',
      ...metaOf(object),
      generation: count(fields(object['metadata'])['generation'], 'metadata.generation'),
      observedGeneration: count(status['observedGeneration'], 'status.observedGeneration'),
      replicas: count(spec['replicas'], 'spec.replicas'),
      ...ordinalsOf(spec['ordinals']),
      readyReplicas: count(status['readyReplicas'], 'status.readyReplicas'),
      updatedReplicas: count(status['updatedReplicas'], 'status.updatedReplicas'),
      currentRevision: text(status['currentRevision'], 320),
      updateRevision: text(status['updateRevision'], 320),
      updateStrategy: text(strategy['type'], 64),
      partition: count(fields(strategy['rollingUpdate'])['partition'], 'partition of the update strategy'),
      selector: labelSelectorOf(spec['selector'])?.labels ?? {},
    };
  });

function ordinalsOf(raw: unknown): Pick<StatefulSet, 'ordinalsStart'> {
  const start = fields(raw)['start'];
  return start === undefined ? {} : { ordinalsStart: count(start, 'spec.ordinals.start') };
}
