/** gitaly_server_info of pods whose cgroups nobody reads: what the API knows of them; the rest is empty. */

import { type Family, samplesOf } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { serverInfo } from '../../cgroup/metrics.ts';
import type { Pod } from '../objects/types.ts';
import type { Stores } from '../store.ts';
import { knownPod } from './known-pod.ts';

/** The collector, telling of info as well, where it tells of pods at all. Never beside a cgroup room, which tells it. */
export function tellingInfo(
  collector: Collector,
  { pods, nodes }: Pick<Stores, 'pods' | 'nodes'>,
  isGitaly: (pod: Pod) => boolean,
): Collector {
  return {
    ...collector,
    metrics: [...collector.metrics, serverInfo],
    async collect(run) {
      const outcome = await collector.collect(run);
      if (outcome.kind === 'empty' || outcome.block === undefined || !pods.state().current) return outcome;
      const info = infoFamily(pods.all().filter(isGitaly), nodes);
      return { ...outcome, block: { families: [...outcome.block.families, info] } };
    },
  };
}

function infoFamily(pods: readonly Pod[], nodes: Stores['nodes']): Family {
  const byName = new Map(nodes.state().current ? nodes.all().map((node) => [node.name, node]) : []);
  const info = samplesOf(serverInfo);
  // A pod that goes and the one that follows it share a name: the younger is the one that serves.
  const newest = Map.groupBy(pods, ({ namespace, name, node }) => JSON.stringify([namespace, name, node]));
  for (const sameName of newest.values()) {
    const [pod] = sameName.toSorted((a, b) => b.createdAt - a.createdAt);
    if (pod === undefined) continue;
    const { namespace, name, node, uid, version, qosClass, priorityClass, runtimeVersion, kernelVersion } =
      knownPod(pod, byName.get(pod.node));
    info.set(
      {
        namespace,
        pod: name,
        node,
        uid,
        version,
        qos_class: qosClass,
        priority_class: priorityClass,
        runtime_version: runtimeVersion,
        kernel_version: kernelVersion,
        cgroup_driver: '',
        cgroup_layout: '',
      },
      1,
    );
  }
  return info.family();
}
