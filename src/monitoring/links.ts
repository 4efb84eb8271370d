/**
 * What alerts, dashboards and runbooks need to link to each other: the dashboards' uids, the ids of their panels, and
 * the names of their variables. All are stable, so that links and bookmarks survive upgrades; the id of a removed panel
 * is never reused. Alerts and dashboards both import this file and never each other.
 */

/** Dashboards of Praefect's database. `namespace` is the exporter's own, because these series have no other. */
export const praefectVariables = [
  'cluster',
  'namespace',
  'job',
  'instance',
  'virtual_storage',
  'storage',
] as const;

/**
 * Dashboards of Gitaly servers, whose series have their own namespace. The variable has another name than the exporter's
 * namespace, so that a selection on one kind of dashboard does not empty the other kind.
 */
export const serverVariables = ['cluster', 'job', 'instance', 'gitaly_namespace', 'pod', 'node'] as const;

export type DashboardVariable = (typeof praefectVariables)[number] | (typeof serverVariables)[number];

/** The label that a variable selects by. */
export const labelOfVariable = (
  variable: DashboardVariable,
): Exclude<DashboardVariable, 'gitaly_namespace'> =>
  variable === 'gitaly_namespace' ? 'namespace' : variable;

export const replicationDashboard = {
  uid: 'gitaly-exporter-replication',
  variables: praefectVariables,
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

export const limitsDashboard = {
  uid: 'gitaly-exporter-limits',
  variables: serverVariables,
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

export const serversDashboard = {
  uid: 'gitaly-exporter-servers',
  variables: serverVariables,
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

/** A panel of a dashboard, as the link of an alert names it. */
export interface PanelLink {
  readonly uid: string;
  readonly panel: number;
  /** The dashboard's variables, in their order on it. */
  readonly variables: readonly DashboardVariable[];
}

interface LinkedDashboard {
  readonly uid: string;
  readonly variables: readonly DashboardVariable[];
  readonly panels: Readonly<Record<string, number>>;
}

export const panelLink = <D extends LinkedDashboard>(
  dashboard: D,
  panel: keyof D['panels'] & string,
): PanelLink => ({
  uid: dashboard.uid,
  panel: dashboard.panels[panel] ?? 0,
  variables: dashboard.variables,
});
