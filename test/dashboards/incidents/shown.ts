/**
 * What the panels show in each recorded incident of the demo: a query returns data, or a value that meets the
 * condition, in the middle or at the end of the incident.
 */
export type Shown = readonly (string | readonly [query: string, condition: string])[];

const storageDies: Shown = [
  ['overview: Storages unhealthy [Storages unhealthy]', '== 1'],
  ['overview: Storage health [{{cluster}} {{virtual_storage}} / {{storage}}]', '== 0'],
  ['overview: Gitaly servers down [Gitaly servers down]', '== 1'],
  [
    'praefect: Storage health as seen by each Praefect [{{praefect}}: {{virtual_storage}} / {{storage}}]',
    '== 0',
  ],
  ['limits: Unreadable servers [Unreadable servers]', '== 1'],
  'overview: Failing collectors by exporter [State]',
  'overview: Failing collectors by exporter [Last success]',
];

const failover: Shown = ['praefect: Moved primaries [Repositories]', 'annotation: Failovers'];

const behind: Shown = [
  'overview: Status by cluster [Oldest job]',
  ['replication: Queued jobs [Queued jobs]', '> 0'],
  ['replication: Outdated replicas [Outdated replicas]', '> 0'],
  'replication: Age of the oldest waiting job [{{virtual_storage}} / {{storage}}]',
  'replication: Replicas by storage [Behind for]',
  'replication: Time behind [{{virtual_storage}} / {{storage}}]',
];

const praefectsDie: Shown = [
  ['praefect: Praefects alive [Praefects alive]', '< 1'],
  ['praefect: Praefects [State]', '== 0'],
];

const oomKilled: Shown = [
  ['overview: OOM kills of Gitaly [OOM kills of Gitaly]', '> 0'],
  'servers: OOM kills by server and level [Killed]',
  'servers: OOM kills by server and level [Events]',
  'servers: Container restarts [Restarts]',
  'annotation: OOM kills',
];

const replaced: Shown = [
  'overview: Events [Count]',
  'servers: Last rotation by phase [{{pod}} {{phase}}]',
  'servers: Rotations by cause [Last one]',
  'servers: Rotations by cause [Rotations]',
];

const notReady: Shown = [
  ['overview: Gitaly servers down [Gitaly servers down]', '== 1'],
  ['servers: Pod readiness [{{pod}} {{node}}]', '== 0'],
  ['servers: StatefulSets [Ready]', '== 2'],
  ['servers: Disruption budgets [Allowed]', '== 0'],
];

/** By the name of the incident. */
export const shownInIncidents: Readonly<Record<string, Shown>> = {
  'storage-dies': [...storageDies, ...failover, ...behind],
  'storage-hangs': [...storageDies, ...failover, ...behind],
  'archive-storage-dies': storageDies,
  'only-copy-dies': [...storageDies, ...failover, ...behind],
  'praefect-cut-off': [
    [
      'praefect: Storage health as seen by each Praefect [{{praefect}}: {{virtual_storage}} / {{storage}}]',
      '== 0',
    ],
    ['praefect: Storages unhealthy [Storages unhealthy]', '== 0'],
  ],
  'praefect-dies': praefectsDie,
  'all-praefects-die': [
    ...praefectsDie,
    ['overview: Storages unhealthy [Storages unhealthy]', '== 5'],
    // Both virtual storages: what depends on health is not valid.
    ['overview: Telemetry [Telemetry]', '== 2'],
  ],
  'repository-lost': [
    ['praefect: Lost [Lost]', '> 0'],
    ['overview: Repos unavailable [Repos unavailable]', '> 0'],
  ],
  'database-read-only': [
    ['praefect: State of the database by cluster [Writable]', '== 1'],
    ['overview: Telemetry [Telemetry]', '> 0'],
  ],
  'database-stops': [
    ['praefect: Database [Database]', '== 0'],
    // UNKNOWN, not "no Praefect".
    ['overview: Repos unavailable [Repos unavailable]', '== -9'],
    ['overview: Storages unhealthy [Storages unhealthy]', '== -9'],
    ['overview: Telemetry [Telemetry]', '> 0'],
    'overview: Failing collectors by exporter [State]',
  ],
  'database-blocked': [
    ['praefect: Blocked sessions [{{cluster}} {{namespace}}]', '> 0'],
    ['overview: Stale collectors [Stale collectors]', '> 0'],
  ],
  'oom-pod': oomKilled,
  'crash-loop': [
    ...oomKilled,
    ...replaced,
    'servers: Containers waiting to start [Containers]',
    'servers: Ongoing rotations [Unavailable for]',
  ],
  'limit-saturated': [
    ['overview: Dropped requests [Dropped requests]', '> 0'],
    'overview: Gitaly servers closest to their limits [Dropped requests]',
    ['limits: Dropped requests by reason [{{reason}}]', '> 0'],
    ['limits: Dropped requests by RPC [{{grpc_method}}]', '> 0'],
    ['limits: Limited RPCs [Queued]', '> 0'],
  ],
  'node-drained': [...replaced, ...failover],
  'pod-deleted': [...replaced, ...failover, 'capacity: Rotation time by phase, 95th percentile [{{phase}}]'],
  'pod-evicted': [...replaced, ...failover],
  rollout: [...replaced, ...failover, 'annotation: Rollouts', 'overview: Maintenance windows [State]'],
  'image-pull-fails': [...notReady, ['servers: Containers waiting to start [Containers]', '== 1']],
  'drain-blocked': [...notReady, ['servers: Nodes [Scheduling]', '== 1']],
  'pod-pending': [...notReady, ...failover, ['servers: Ongoing rotations [Unavailable for]', '> 60']],
  'oom-bucket': [
    ['servers: OOM kills of Git [OOM kills of Git]', '> 0'],
    ['servers: OOM kills by bucket [Killed]', '> 0'],
    'servers: OOM kills by server and level [Killed]',
    // Gitaly itself is not affected.
    ['overview: OOM kills of Gitaly [OOM kills of Gitaly]', '== 0'],
  ],
  'replication-stalls': [
    ...behind,
    ['replication: Oldest waiting job [Oldest waiting job]', '> 120'],
    ['replication: Jobs by target storage [{{virtual_storage}} / {{storage}}]', '> 10'],
  ],
  backlog: [
    ...behind,
    ['replication: Writes behind, worst replica [{{virtual_storage}} / {{storage}}]', '> 1'],
  ],
  'replication-refused': [
    ['replication: Outdated replicas [Outdated replicas]', '> 0'],
    ['replication: Outdated replicas without a replication job [{{virtual_storage}} / {{storage}}]', '> 0'],
    ['replication: Stuck replicas [Stuck replicas]', '> 0'],
  ],
  'replica-lost': [['replication: Replicas by storage [Missing]', '> 0']],
  'stuck-replica': [
    ['replication: Stuck replicas [Stuck replicas]', '> 0'],
    ['replication: Stuck replicas by storage [{{virtual_storage}} / {{storage}}]', '> 0'],
    'replication: Replicas by storage [Behind for]',
  ],
};
