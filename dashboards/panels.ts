/**
 * Where things are on the boards: stable uids and panel ids, so that alerts can link to a panel and a bookmark
 * survives the next version. An id is never given to another panel.
 */

export const replication = {
  uid: 'gitaly-exporter-replication',
  rows: { trust: 101, queue: 102, replicas: 103, access: 104, verification: 105 },
  panels: {
    exporters: 1,
    database: 2,
    heartbeats: 3,
    praefects: 4,
    collectors: 5,
    answers: 6,
    jobsByState: 11,
    jobsByTarget: 12,
    oldestJob: 13,
    inAndOut: 14,
    timeToDrain: 15,
    staleJobs: 16,
    outdated: 21,
    stuck: 22,
    behindSince: 23,
    unscheduled: 24,
    generationsBehind: 25,
    unavailable: 31,
    atRisk: 32,
    primaries: 33,
    primaryMoves: 34,
    verification: 41,
    verificationOldest: 42,
  },
} as const;

export const limits = {
  uid: 'gitaly-exporter-limits',
  rows: { rpc: 101, packObjects: 102 },
  panels: {
    dropsByReason: 1,
    dropsByRpc: 2,
    queued: 3,
    wait: 4,
    inProgress: 5,
    limit: 6,
    packDropped: 11,
    packUse: 12,
    packLimit: 13,
    backoffs: 14,
    readable: 15,
  },
} as const;

export const servers = {
  uid: 'gitaly-exporter-servers',
  rows: {
    glance: 101,
    oom: 102,
    memory: 103,
    buckets: 104,
    cpu: 105,
    pressure: 106,
    pods: 107,
    rotation: 108,
    checks: 109,
  },
  panels: {
    found: 1,
    collectors: 2,
    answers: 3,
    gitalyKills: 4,
    gitKills: 5,
    gitMemory: 6,
    nearLimit: 7,
    throttled: 8,
    oomKills: 11,
    oomByBucket: 12,
    memoryShare: 21,
    gitMemoryBytes: 22,
    containerMemory: 23,
    podMemory: 24,
    bucketMemory: 31,
    bucketCpu: 32,
    bucketThrottled: 33,
    bucketCounts: 34,
    throttledShare: 41,
    throttledSeconds: 42,
    cores: 43,
    pressureMemory: 51,
    pressureCpu: 52,
    pressureIo: 53,
    ready: 61,
    restarts: 62,
    waiting: 63,
    disruptions: 64,
    rotationPhases: 71,
    rotations: 72,
    checksFailing: 81,
    checksUnknown: 82,
  },
} as const;

/** A board's panel, as an alert's link names it. */
export interface BoardPanel {
  readonly uid: string;
  readonly panel: number;
}

export const onReplicationBoard = (panel: keyof typeof replication.panels): BoardPanel => ({
  uid: replication.uid,
  panel: replication.panels[panel],
});

export const onLimitsBoard = (panel: keyof typeof limits.panels): BoardPanel => ({
  uid: limits.uid,
  panel: limits.panels[panel],
});

export const onServersBoard = (panel: keyof typeof servers.panels): BoardPanel => ({
  uid: servers.uid,
  panel: servers.panels[panel],
});
