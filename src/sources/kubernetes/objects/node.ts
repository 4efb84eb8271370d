/** Nodes. */
import { conditionsOf } from './condition.ts';
import { metaOf, nodeLabel } from './meta.ts';
import { quantityOf } from './quantity.ts';
import { fields, flag, integer, members, objectOf, type Parsed, parsed, text } from './reading.ts';
import { timeOf } from './time.ts';
import type { Node } from './types.ts';

/** core/v1 Node. */
export const nodeOf = (raw: unknown): Parsed<Node> =>
  parsed(() => {
    const object = objectOf(raw, 'Node');
    const spec = fields(object['spec']);
    const status = fields(object['status']);
    const info = fields(status['nodeInfo']);
    const allocatable = fields(status['allocatable']);
    return {
      kind: 'Node',
      ...metaOf(object, nodeLabel),
      unschedulable: flag(spec['unschedulable'], 'spec.unschedulable'),
      conditions: conditionsOf(status['conditions']),
      taints: members(spec['taints'])
        .map(fields)
        .map(({ key, effect, timeAdded }) => ({
          key: text(key, 320),
          effect: text(effect, 64),
          since: timeOf(timeAdded),
        })),
      kubeletVersion: text(info['kubeletVersion'], 128),
      runtimeVersion: text(info['containerRuntimeVersion'], 128),
      kernelVersion: text(info['kernelVersion'], 128),
      osImage: text(info['osImage'], 256),
      swapBytes: integer(fields(info['swap'])['capacity']),
      allocatable: { memory: quantityOf(allocatable['memory']), cpu: quantityOf(allocatable['cpu']) },
    };
  });
