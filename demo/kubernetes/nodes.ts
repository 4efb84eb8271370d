/** The demo's nodes, and the scheduler that chooses one for a pod. */
import type { Clock } from '../../src/lib/clock.ts';
import type { ObjectStore, StoredObject } from './api-server.ts';
import { timestamp } from './objects.ts';

export const workerNames: readonly string[] = ['worker-1', 'worker-2', 'worker-3', 'worker-4'];

interface NodeModel {
  readonly name: string;
  isCordoned: boolean;
  isUnderMemoryPressure: boolean;
  /** When one of these last changed. */
  changedAt: number;
}

export interface DemoNodes {
  has(name: string): boolean;
  /** Changes the node and its object. */
  set(name: string, change: Partial<Pick<NodeModel, 'isCordoned' | 'isUnderMemoryPressure'>>): void;
  /** Nodes without free memory for a Gitaly pod: the scheduler does not use them. */
  readonly full: Set<string>;
  /** A node for a pod, `preferred` if possible, or why there is none. `taken`: nodes with another Gitaly pod. */
  choose(
    taken: ReadonlySet<string>,
    preferred: string | undefined,
  ): { readonly node: string } | { readonly failure: string };
}

export function createDemoNodes(store: ObjectStore, clock: Clock): DemoNodes {
  const full = new Set<string>();
  const nodes = new Map<string, NodeModel>();

  for (const name of workerNames) {
    const node = { name, isCordoned: false, isUnderMemoryPressure: false, changedAt: clock.now() };
    nodes.set(name, node);
    store.put('nodes', nodeObject(node));
  }

  /** As the scheduler reports it; undefined for a node that can be used. */
  function exclusionOf(node: NodeModel, taken: ReadonlySet<string>): string | undefined {
    if (node.isCordoned) return 'node(s) were unschedulable';
    if (node.isUnderMemoryPressure) return 'node(s) had untolerated taint(s)';
    if (taken.has(node.name)) return "node(s) didn't match pod anti-affinity rules";
    return full.has(node.name) ? 'Insufficient memory' : undefined;
  }

  return {
    full,
    has: (name) => nodes.has(name),
    set(name, change) {
      const found = nodes.get(name);
      if (found === undefined) throw new RangeError(`no node ${name}`);
      Object.assign(found, change, { changedAt: clock.now() });
      store.put('nodes', nodeObject(found));
    },
    choose(taken, preferred) {
      const exclusions = [...nodes.values()].map((node) => ({ node, reason: exclusionOf(node, taken) }));
      const usable = exclusions.filter(({ reason }) => reason === undefined).map(({ node }) => node.name);
      const node = usable.find((name) => name === preferred) ?? usable[0];
      if (node !== undefined) return { node };
      const counts = new Map<string, number>();
      for (const { reason = '' } of exclusions) counts.set(reason, (counts.get(reason) ?? 0) + 1);
      const list = [...counts].map(([reason, count]) => `${count} ${reason}`).join(', ');
      return { failure: `0/${nodes.size} nodes are available: ${list}.` };
    },
  };
}

function nodeObject({ name, isCordoned, isUnderMemoryPressure, changedAt }: NodeModel): StoredObject {
  const installedAt = '2026-01-05T08:00:00Z';
  const condition = (type: string, isTrue: boolean, at: string) => ({
    ...{ type, status: isTrue ? 'True' : 'False', lastTransitionTime: at },
    reason: `Kubelet${isTrue ? 'Has' : 'HasNo'}${type}`,
  });
  const taint = (key: string) => ({ key, effect: 'NoSchedule', timeAdded: timestamp(changedAt) });
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: `0d9a7f62-5c1b-4e3d-8f70-2b6c4a1e9d3${workerNames.indexOf(name)}`,
      creationTimestamp: installedAt,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/os': 'linux',
        'topology.kubernetes.io/zone': 'zone-a',
      },
    },
    spec: {
      ...(isCordoned ? { unschedulable: true } : {}),
      taints: [
        ...(isCordoned ? [taint('node.kubernetes.io/unschedulable')] : []),
        ...(isUnderMemoryPressure ? [taint('node.kubernetes.io/memory-pressure')] : []),
      ],
    },
    status: {
      conditions: [
        condition('Ready', true, installedAt),
        condition('MemoryPressure', isUnderMemoryPressure, timestamp(changedAt)),
        condition('DiskPressure', false, installedAt),
        condition('PIDPressure', false, installedAt),
      ],
      nodeInfo: {
        kernelVersion: '6.12.48-amd64',
        containerRuntimeVersion: 'containerd://2.1.4',
        kubeletVersion: 'v1.35.4',
        osImage: 'Debian GNU/Linux 13 (trixie)',
        swap: { capacity: 0 },
      },
      allocatable: { memory: '31Gi', cpu: '8' },
    },
  } as StoredObject;
}
