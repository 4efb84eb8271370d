/** What the demo's Praefects are configured with: two virtual storages, as two teams would run them. */

export interface VirtualStorage {
  readonly name: string;
  /** Storages in the demo have one Gitaly each, so that a storage's name is its Gitaly's name too. */
  readonly storages: readonly string[];
  /** `default_replication_factor`. Without one, Praefect assigns every storage and writes no assignments. */
  readonly replicationFactor?: number;
}

export interface Topology {
  readonly praefects: readonly string[];
  readonly virtualStorages: readonly VirtualStorage[];
}

export const demoTopology: Topology = {
  praefects: ['praefect-1', 'praefect-2', 'praefect-3'],
  virtualStorages: [
    { name: 'default', storages: ['gitaly-1', 'gitaly-2', 'gitaly-3'] },
    { name: 'archive', storages: ['archive-1', 'archive-2'], replicationFactor: 1 },
  ],
};

/** node_status.praefect_name: host name and listen address, as Praefect builds it. */
export const praefectName = (praefect: string): string => `${praefect}:0.0.0.0:2305`;

export const storagesOf = (topology: Topology): readonly string[] =>
  topology.virtualStorages.flatMap(({ storages }) => storages);

export function virtualStorageOf(topology: Topology, storage: string): VirtualStorage {
  const found = topology.virtualStorages.find(({ storages }) => storages.includes(storage));
  if (found === undefined) throw new RangeError(`no virtual storage has a storage ${storage}`);
  return found;
}
