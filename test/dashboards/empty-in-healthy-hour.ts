/**
 * Queries over metrics of the recorded demo that return nothing in its healthy hour, by reason. Their panels show
 * `noValue`, or an empty cell.
 */
export const emptyInHealthyHour: Readonly<Record<string, readonly string[]>> = {
  'nothing is wrong': [
    'overview: Failing collectors by exporter [Last success]',
    'overview: Failing collectors by exporter [State]',
    'overview: Failed runs and watches [{{instance}} watch of {{resource}}: {{reason}}]',
    'overview: Failed runs and watches [{{instance}} {{collector}}: {{reason}}]',
    'overview: Firing alerts [Active for]',
    'overview: Gitaly servers closest to their limits [Dropped requests]',
    'servers: OOM kills by bucket [Killed]',
    'servers: OOM kills by server and level [Events]',
    'servers: OOM kills by server and level [Killed]',
    'servers: Container restarts [Restarts]',
    'servers: Containers waiting to start [Containers]',
    'servers: Rotations by cause [Rotations]',
    'capacity: Rotation time by phase, 95th percentile [{{phase}}]',
  ],
  'no maintenance window is open': ['overview: Maintenance windows [State]'],
  'nothing happens at this moment': ['overview: Events [Count]', 'praefect: Moved primaries [Repositories]'],
  'the recorded scrape does not change, so that no counter increases': [
    'capacity: CPU by server [Git throttled]',
    'capacity: Growth of Git memory [Limit reached in]',
    'limits: Limited RPCs [Wait, p95]',
    'overview: Gitaly servers closest to their limits [CPU throttled]',
    'servers: CPU-throttled buckets [Throttled]',
    'servers: CPU-throttled periods [{{level}} of {{pod}} {{node}}]',
  ],
  'nothing scrapes Gitaly or the kubelet': [
    'capacity: Available space of the volumes [{{persistentvolumeclaim}} {{instance}} {{mountpoint}}]',
    'capacity: Free inodes of the volumes [{{persistentvolumeclaim}} {{instance}} {{mountpoint}}]',
    'limits: Error ratio of all RPCs [{{cluster}} {{namespace}} {{job}}]',
  ],
};
